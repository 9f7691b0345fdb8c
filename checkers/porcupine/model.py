"""How to tell the checker what a system should do: the model interface.

A model is the system as it would be if it ran one operation at a time. It has two duties and some options::

    from porcupine import History, Model, Operation, Rejected, check

    class Counter(Model[int]):
        name = "counter"

        def init(self) -> int:                     # the state before the first operation
            return 0

        def step(self, state: int, operation: Operation) -> int | Rejected:
            match operation.call:
                case ("add", int(amount)):
                    return state + amount          # the state after it
                case ("get",):
                    if operation.is_unknown or operation.response == state:
                        return state               # reading changes nothing
                    return Rejected("the counter holds another number", state, operation.response)
            raise ValueError(f"not an operation of a counter: {operation.call!r}")

    history = History([
        Operation(client=1, call=("add", 1), call_time_ns=0, return_time_ns=10),
        Operation(client=2, call=("get",), call_time_ns=20, return_time_ns=30, response=0),
    ])
    result = check(history, Counter())
    assert result.verdict == "invalid"             # the add had returned, and still the get answered 0
    print(result.explanation.text)

Rules for `step`:

1. It is pure: same state and operation, same answer; it never changes the state it is given.
2. States are hashable, and equal states behave equally from then on.
3. An operation of unknown outcome has no response to compare: answer with the state that it would leave
   behind, or reject it where it could not have taken effect.
4. It looks at `operation.call` and `operation.response`, never at times or tags; at `operation.client`
   only when the class says ``uses_client = True``.
5. An operation whose effect is not determined returns `OneOf` with every state that may follow.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from porcupine.history import Operation

S = TypeVar("S", bound=Hashable)


class Rejected:
    """The operation cannot come next. Says why, and what was expected against what was answered."""

    __slots__ = ("expected", "got", "reason")

    def __init__(self, reason: str, expected: object = None, got: object = None) -> None:
        self.reason = reason
        self.expected = expected
        self.got = got

    def __repr__(self) -> str:
        return f"Rejected({self.reason!r}, expected={self.expected!r}, got={self.got!r})"


class OneOf(Generic[S]):
    """Any of these states may follow; the search tries them in the order given."""

    __slots__ = ("states",)

    def __init__(self, states: Iterable[S]) -> None:
        self.states = tuple(dict.fromkeys(states))


class _Mark:
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NOTHING: Final = _Mark("NOTHING")
"""Of `LastWriter.reads` and `writes`: the operation does not do that."""

ANYTHING: Final = _Mark("ANYTHING")
"""Of `LastWriter.reads`: it depends on the state in a way that no single value names."""


class Model(Generic[S]):
    """The sequential specification of a system. See the module's text for the rules and an example."""

    name: ClassVar[str] = ""
    uses_client: ClassVar[bool] = False

    def init(self) -> S:
        """The state before the first operation."""
        raise NotImplementedError

    def step(self, state: S, operation: Operation) -> S | Rejected | OneOf[S]:
        """The state after the operation, or the reason why it cannot come next."""
        raise NotImplementedError

    def partition(self, operations: Sequence[Operation]) -> Mapping[Hashable, Sequence[Operation]]:
        """Split into parts that never touch each other (keys of a map); each is checked on its own.

        A history is linearizable if and only if each part is (Herlihy and Wing's locality).
        """
        return {None: operations}

    def for_part(self, operations: Sequence[Operation]) -> Model[S]:
        """The model to check one part with, when looking at the whole of it first teaches something: which
        revision a write of unknown outcome got, which writes a value was put together from.
        """
        return self

    def plain(self, operations: Sequence[Operation]) -> Model[S]:
        """The model that an order of one part is verified with: as it is written, without what `for_part`
        learns to save the search work.
        """
        return self

    def describe(self, operation: Operation) -> str:
        """The operation in words, for people: ``get() -> 7``."""
        call = operation.call
        if isinstance(call, tuple) and call and isinstance(call[0], str):
            text = f"{call[0]}({', '.join(repr(argument) for argument in call[1:])})"
        else:
            text = repr(call)
        if operation.is_unknown:
            return f"{text} -> unknown"
        return text if operation.response is None else f"{text} -> {operation.response!r}"

    def is_read(self, operation: Operation) -> bool:
        """True when the operation, answered as it was, never changes any state.

        The search places such operations without trying alternatives, and explanations leave them out freely.
        """
        return False

    def without(
        self, operations: Sequence[Operation], chunk: Collection[Operation]
    ) -> Sequence[tuple[Operation, Operation]] | None:
        """For explanations: (operation, what stands for it) of those that stay when the chunk goes, with all
        that has to go with it. An answer that tells of what is gone is given anew.

        What stays must be linearizable whenever the whole is. None: nothing may go but what `is_read` allows.
        """
        return None

    def told(self, value: Any, given: Operation, recorded: Operation) -> Any:
        """What `Rejected` said of an operation that `without` gave, in terms of the one recorded."""
        return value

    def sequence(self, operation: Operation) -> int | None:
        """The place in the order of effects, when the system itself tells it (a revision, a log index).

        Give it only where `step` rejects every order in which these do not grow strictly.
        """
        return None

    def hint(self, operation: Operation) -> int | None:
        """A guess at the place in the order, of reads as well. It decides only what is tried first."""
        return self.sequence(operation)

    def identity(self, operation: Operation) -> Hashable:
        """Operations with equal identity behave equally in every state: the search treats them as one
        kind."""
        identity = (operation.call, operation.response, operation.outcome)
        return (operation.client, identity) if self.uses_client else identity


class LastWriter(Model[S]):
    """A model whose state is what the last effective write left: registers, compare-and-swap, one key.

    `writes` and `reads` name that value by a token. They let the checker narrow the time in which an
    operation can have happened, shrink a failing history soundly, and say "stale read" instead of "no".
    """

    def initial_token(self) -> Hashable:
        """The token of the state before the first write."""
        raise NotImplementedError

    def writes(self, operation: Operation) -> Hashable:
        """The token it leaves behind if it takes effect, or NOTHING. For ok operations: it did so."""
        raise NotImplementedError

    def reads(self, operation: Operation) -> Hashable:
        """The token that must be there for it to happen as recorded; NOTHING (blind), or ANYTHING."""
        raise NotImplementedError

    def weaker(self, operation: Operation) -> Operation | None:
        """An ok operation that leaves the same behind and is accepted in more states: a plain write for a
        compare-and-swap that succeeded. Lets explanations stay small; None when there is none.
        """
        return None

    def token(self, state: S) -> Hashable:
        """The token that a state holds: what `reads` must name for an operation to be accepted there."""
        raise NotImplementedError

    def is_read(self, operation: Operation) -> bool:
        return self.writes(operation) is NOTHING

    def agrees(self, reader: Operation, writer: Operation) -> bool:
        """Can `reader` have been answered as it was by what `writer`, which wrote the token it read, left?

        False only where tokens are less than the whole state, for example a revision without its value.
        """
        return True

    def resembles(self, reader: Operation, writer: Operation) -> bool:
        """Did `reader` see what `writer` wrote, only under another token (a value, at another revision)?"""
        return False

    def claims(self, reader: Operation, write: Operation) -> bool | None:
        """Did the answer to `reader` claim to come from a state that includes `write` (by a revision)?

        Tells a lost write from a stale read; None when answers claim no such thing.
        """
        return None

    def describe_token(self, token: Hashable) -> str:
        return repr(token)
