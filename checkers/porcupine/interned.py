"""States and kinds of operations as small integers, and each pair of them stepped once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from porcupine.history import Operation, Outcome
from porcupine.model import Model, OneOf, Rejected

REJECTED = -1
Step = int | tuple[int, ...]


class Interned:
    """States as integers, and each (state, kind of operation) stepped once.

    A state behaves the same wherever it is met, so its row of answers is shared by all configurations. Rows
    are a cache: they are dropped together when they have grown past `limit` answers.
    """

    __slots__ = (
        "_full_at",
        "_ids",
        "_kinds",
        "_model",
        "_plain_identity",
        "kinds",
        "limit",
        "rows",
        "states",
        "steps",
    )

    def __init__(self, model: Model[Any], limit: int = 2_000_000) -> None:
        self._model = model
        self._plain_identity = type(model).identity is Model.identity and not model.uses_client
        self._kinds: dict[Hashable, int] = {}
        self._ids: dict[Hashable, int] = {}
        self._full_at = self.limit = limit
        self.kinds: list[Operation] = []
        self.states: list[Any] = []
        self.rows: dict[int, dict[int, Step]] = {}
        self.steps = 0
        self.state(model.init())

    def kind_of(self, operation: Operation) -> int:
        """The number of those that behave as this one does in every state."""
        key: Hashable
        if self._plain_identity:
            key = (operation.call, operation.response, operation.outcome is Outcome.OK)
        else:
            key = self._model.identity(operation)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = len(self.kinds)
            self.kinds.append(operation)
        return kind

    def state(self, value: Any) -> int:
        number = self._ids.get(value)
        if number is None:
            number = self._ids[value] = len(self.states)
            self.states.append(value)
        return number

    def row(self, state: int) -> dict[int, Step]:
        row = self.rows.get(state)
        if row is None:
            if self.steps > self._full_at:
                self.rows.clear()
                self._full_at = self.steps + self.limit
            row = self.rows[state] = {}
        return row

    def step(self, state: int, kind: int) -> Step:
        """The state that follows, several for `OneOf`, or REJECTED."""
        row = self.row(state)
        known = row.get(kind)
        if known is None:
            known = self.ask(row, state, kind)
            if known not in (state, REJECTED) and self._model.is_read(self.kinds[kind]):
                raise self.no_read(kind)
        return known

    def ask(self, row: dict[int, Step], state: int, kind: int) -> Step:
        """The step that the state's row does not know yet."""
        self.steps += 1
        answer = self._model.step(self.states[state], self.kinds[kind])
        following: Step | None
        if isinstance(answer, Rejected):
            following = REJECTED
        elif isinstance(answer, OneOf):
            numbers = tuple(self.state(value) for value in answer.states)
            following = numbers if len(numbers) > 1 else (numbers[0] if numbers else REJECTED)
        else:
            following = self._ids.get(answer)
            if following is None:
                following = self.state(answer)
        row[kind] = following
        return following

    def no_read(self, kind: int) -> ValueError:
        return ValueError(f"the model calls {self.kinds[kind]!r} a read, but it changes the state")

    def rejection(self, state: int, operation: Operation) -> Rejected | None:
        answer = self._model.step(self.states[state], operation)
        return answer if isinstance(answer, Rejected) else None
