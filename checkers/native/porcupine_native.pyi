from collections.abc import Callable, Sequence
from typing import Any

__version__: str

class Columns:
    def __new__(cls, operations: list[Any]) -> Columns: ...
    def __len__(self) -> int: ...

class EtcdColumns:
    def __new__(cls, operations: list[Any], words: Sequence[tuple[Any, ...]]) -> EtcdColumns: ...
    def __len__(self) -> int: ...
    def witness(self) -> tuple[list[Any], dict[int, Any]] | None: ...
    def certify(self, order: Sequence[int]) -> str | None: ...
    def proof(self) -> tuple[int, int] | None: ...
    @property
    def outcomes(self) -> tuple[int, int, int]: ...

class EtcdLines:
    def __new__(cls, refusals: Sequence[bytes]) -> EtcdLines: ...
    def feed(self, piece: bytes) -> None: ...
    def columns(self) -> EtcdColumns: ...

class Judged:
    @property
    def verdict(self) -> str: ...
    def __len__(self) -> int: ...
    def unjudged(self) -> list[Any]: ...
    def part(self, index: int) -> tuple[Any, str, list[Any], list[Any]]: ...
    def stats(self, index: int) -> tuple[int, int, int, int, int, int]: ...
    def stuck(self, index: int) -> tuple[list[tuple[Any, list[Any]]], Any, str, list[Any], list[Any]]: ...

Switches = tuple[bool, bool, bool, bool, bool, int | None, int]

def check(
    columns: Columns,
    model: str,
    *,
    initial: Any = None,
    learn: bool = True,
    reductions: Switches = (True, True, True, True, True, None, 32),
    configurations: int | None = None,
    memory: int | None = None,
    clock: Callable[[], float] | None = None,
    deadline: float = 0.0,
    threads: int = 1,
    first_failure: bool = False,
    hasty: bool = False,
    quick: bool = True,
) -> Judged: ...
def certify(columns: Columns, model: str, order: Sequence[int], *, initial: Any = None) -> str | None: ...
def search(
    rows: Sequence[tuple[int, int, bool, bool, int, bool, int | None, int | None, int, int]],
    kinds: int,
    step: Callable[[int, int], int | tuple[int, ...]],
    token: Callable[[int], int] | None,
    *,
    contradiction: int | None = None,
    reductions: Switches = (True, True, True, True, True, None, 32),
    configurations: int | None = None,
    memory: int | None = None,
    clock: Callable[[], float] | None = None,
    deadline: float = 0.0,
) -> tuple[
    str,
    list[int],
    int | None,
    list[tuple[int, list[int]]],
    str,
    list[int],
    tuple[int, int, int, int, int, int],
]: ...
