"""What each toxic does to the bytes of one direction of one connection.

A direction is a chain of stages. Rules:
1. A stage gets chunks by `push` and the end of the stream by `end`, in order, and hands them on by `_emit`
   and `_finish`. A chunk carries the loop time at which it was read, so delays are counted from there.
2. Order is kept: the end comes after every chunk before it.
3. A stage that holds much says so by `full`; the connection then stops reading until it has room again.
4. `flush` hands on what is held, at once: a toxic is being removed or changed, and no byte is lost. `removed`
   is asked after that: true means the toxic closes the connection when it goes.
5. After `finish` a stage is dead: it holds nothing and has no timer.
What each toxic does, the quirks of the real server included, is in toxics.py and in each class.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import ClassVar

_SPLIT_SECONDS = 0.1  # a narrow link passes a large chunk in parts, one each so often
_FULL = 64 * 1024

Chunk = tuple[bytes, float]


class Next:
    """Where a stage's output goes."""

    def push(self, data: bytes, at: float) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """Closes the connection with a reset, dropping what is on its way."""
        raise NotImplementedError


class Stage(Next):
    """The noop toxic, and the base of all."""

    def __init__(
        self,
        attributes: Mapping[str, int],
        loop: asyncio.AbstractEventLoop,
        random: Random,
        drained: Callable[[], None],
    ) -> None:
        self.next: Next | None = None  # set by the chain
        self._loop = loop
        self._random = random
        self._drained = drained  # called when a full stage has room again
        self._timer: asyncio.TimerHandle | None = None
        self._done = False
        self.configure(attributes)

    def configure(self, attributes: Mapping[str, int]) -> None:
        """New attributes; the caller has flushed."""

    @property
    def full(self) -> bool:
        return False

    @property
    def done(self) -> bool:
        return self._done

    def push(self, data: bytes, at: float) -> None:
        self._emit(data, at)

    def end(self) -> None:
        self._finish()

    def abort(self) -> None:
        self.close()
        assert self.next is not None
        self.next.abort()

    def flush(self) -> None:
        """Rule 4."""

    def removed(self) -> bool:
        return False

    def close(self) -> None:
        """The connection is gone: forget everything."""
        self._done = True
        self._cancel()

    def _emit(self, data: bytes, at: float) -> None:
        assert self.next is not None
        self.next.push(data, at)

    def _finish(self) -> None:
        if not self._done:
            self.close()
            assert self.next is not None
            self.next.end()

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self._loop.call_later(seconds, call)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HoldingStage(Stage):
    """Keeps chunks for a while; the end of the stream waits behind them."""

    most: ClassVar[int] = _FULL

    def __init__(
        self,
        attributes: Mapping[str, int],
        loop: asyncio.AbstractEventLoop,
        random: Random,
        drained: Callable[[], None],
    ) -> None:
        self._queue: deque[Chunk] = deque()
        self._held = 0
        self._ending = False
        super().__init__(attributes, loop, random, drained)

    @property
    def full(self) -> bool:
        return self._held >= self.most

    def push(self, data: bytes, at: float) -> None:
        if self._done:
            return
        self._queue.append((data, at))
        self._held += len(data)
        if len(self._queue) == 1:
            self.begin()

    def end(self) -> None:
        if self._queue:
            self._ending = True
        else:
            self._finish()

    def begin(self) -> None:
        """The first chunk of the queue may start its wait."""
        raise NotImplementedError

    def flush(self) -> None:
        self._cancel()
        while self._queue:
            self._release()
        if self._ending:
            self._finish()

    def close(self) -> None:
        super().close()
        self._queue.clear()
        self._held = 0

    def _release(self) -> None:
        """Hands on the first chunk."""
        data, at = self._queue.popleft()
        self._passed(len(data))
        self._emit(data, at)

    def _passed(self, size: int) -> None:
        was_full = self.full
        self._held -= size
        if was_full and not self.full:
            self._drained()

    def _go_on(self) -> None:
        if self._done:
            return
        if self._queue:
            self.begin()
        elif self._ending:
            self._finish()


class Latency(HoldingStage):
    """Each chunk leaves latency +- jitter after it was read, but never before the one ahead of it."""

    most: ClassVar[int] = 16 * 1024 * 1024  # a long, fat link has much under way

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._latency, self._jitter = attributes["latency"], attributes["jitter"]

    def begin(self) -> None:
        delay = self._latency
        if self._jitter > 0:
            delay += self._random.randrange(-self._jitter, self._jitter)
        data, at = self._queue[0]
        due = at + delay / 1000
        self._queue[0] = (data, max(due, at))
        self._after(max(0.0, due - self._loop.time()), self._due)

    def _due(self) -> None:
        self._release()
        self._go_on()


class Bandwidth(HoldingStage):
    """At most rate KB/s (1 KB is 1000 bytes). Rate 0 holds everything back, losing nothing."""

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._rate = attributes["rate"]
        self._free = self._loop.time()  # when the link has passed what it was given

    def begin(self) -> None:
        if self._rate == 0:
            return
        now = self._loop.time()
        data, at = self._queue[0]
        part = self._rate * int(1000 * _SPLIT_SECONDS)
        if len(data) > part:
            self._queue[0] = (data[:part], at)
            self._queue.insert(1, (data[part:], at))
            data = data[:part]
        self._free = max(self._free, now) + len(data) / (self._rate * 1000)
        self._after(self._free - now, self._due)

    def _due(self) -> None:
        self._release()
        self._go_on()


class SlowClose(Stage):
    """The end of the stream comes delay ms late."""

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._delay = attributes["delay"]
        self._ending = False

    def end(self) -> None:
        self._ending = True
        self._after(self._delay / 1000, self._finish)

    def flush(self) -> None:
        if self._ending:
            self._finish()


class Timeout(Stage):
    """Swallows everything; closes after timeout ms in which nothing came, or never when it is 0.

    The timer starts again at every chunk, as in the real server. Removal closes the connection, for the
    stream has a hole now.
    """

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._timeout = attributes["timeout"]
        self._restart()

    def push(self, data: bytes, at: float) -> None:
        self._restart()

    def removed(self) -> bool:
        return True

    def _restart(self) -> None:
        if self._timeout > 0:
            self._after(self._timeout / 1000, self._finish)
        else:
            self._cancel()


class ResetPeer(Stage):
    """timeout ms after the first data (or the end), both sides get a TCP reset.

    The real server resets only connections that were opened after the toxic was added, and closes the others
    politely; this one resets all of them.
    """

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._timeout = attributes["timeout"]

    def push(self, data: bytes, at: float) -> None:
        self._fire()

    def end(self) -> None:
        self._fire()

    def _fire(self) -> None:
        if self._timer is None and not self._done:
            self._after(self._timeout / 1000, self.abort)


class Slicer(HoldingStage):
    """Cuts chunks into pieces of about average_size bytes, with delay us after each."""

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._size, self._vary = attributes["average_size"], attributes["size_variation"]
        self._delay = attributes["delay"]
        self._pieces: deque[int] = deque()

    def begin(self) -> None:
        data, at = self._queue[0]
        if not self._pieces:
            self._pieces.extend(self._cut(len(data)))
        size = self._pieces.popleft()
        if size < len(data):
            self._queue[0] = (data[size:], at)
            self._passed(size)
            self._emit(data[:size], at)
        else:
            self._release()
        if not self._done:
            self._after(self._delay / 1_000_000, self._go_on)

    def push(self, data: bytes, at: float) -> None:
        if self._done:
            return
        self._queue.append((data, at))
        self._held += len(data)
        if len(self._queue) == 1 and self._timer is None:
            self.begin()

    def end(self) -> None:
        # The pause after the last piece comes before the end, as it comes before a next piece.
        if self._queue or self._timer is not None:
            self._ending = True
        else:
            self._finish()

    def flush(self) -> None:
        self._pieces.clear()
        super().flush()

    def _go_on(self) -> None:
        self._timer = None
        super()._go_on()

    def _cut(self, length: int) -> list[int]:
        """Lengths that sum up: halves, moved by the variation, until each is small enough."""
        pieces: list[int] = []
        rest = [length]
        while rest:
            size = rest.pop()
            if size - self._size <= self._vary:
                pieces.append(size)
                continue
            middle = size // 2
            if self._vary > 0:
                middle += self._random.randrange(-self._vary, self._vary)
            rest += [size - middle, middle]
        return [piece for piece in pieces if piece > 0]


class LimitData(Stage):
    """Closes after so many bytes of this connection; the count survives changes of the limit."""

    def configure(self, attributes: Mapping[str, int]) -> None:
        self._limit = attributes["bytes"]
        self._sent: int = getattr(self, "_sent", 0)

    def push(self, data: bytes, at: float) -> None:
        if self._done:
            return
        left = max(0, self._limit - self._sent)
        data = data[:left]
        if data:
            self._sent += len(data)
            self._emit(data, at)
        if self._sent >= self._limit:
            self._finish()


STAGES: dict[str, type[Stage]] = {
    "noop": Stage,
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
}
