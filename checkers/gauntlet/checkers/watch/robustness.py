"""Import of ``watch.json``, in which etcd's own robustness tests keep what a client's watches were told.

The file is a sequence of JSON objects, not separated by commas, each indented over many lines: one for each
watch, with ``Request`` (Key, Revision, WithPrefix, WithProgressNotify, WithPrevKV) and ``Responses``
(Events, IsProgressNotify, Revision, Time in ns, Error). Fields with an empty value are mostly left out, and a
watch that was told nothing has null for its responses.

- An event has Type ("put-operation" or "delete-operation"), Key, Value, Revision, IsCreate and PrevValue
  (Value, ModRevision, Version). It tells no version, create revision or lease.
- A value of 20 bytes or more is only there as its 32-bit FNV-1a hash; `shown_value` gives the form in which
  values compare here.
- The recorder writes down no "created" answer, no start time and no compaction: compact notices appear as the
  Error of a response, without their revision.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gauntlet.checkers.watch.records import ALL_FROM, Delivery, Event, KeyValue, Request, Watcher
from gauntlet.checkers.watch.stream import JsonStream
from porcupine.history import HistoryError

HASHED_FROM = 20  # bytes


def read_robustness_watches(lines: Iterable[str], client: Hashable) -> list[Watcher]:
    """The watches of one file, which is read as a stream: what is held is what becomes of it. HistoryError
    names the line, and the watch and response, where something is broken."""
    stream = JsonStream(lines)
    watchers: list[Watcher] = []
    while found := stream.next():
        number, line = len(watchers) + 1, stream.line
        if found != "{":
            raise HistoryError(f"watch {number} is no object", line)
        with _named(f"watch {number}", line):
            watchers.append(_watcher(stream, client, number, line))
    return watchers


@contextmanager
def _named(what: str, line: int) -> Iterator[None]:
    try:
        yield
    except HistoryError:
        raise
    except KeyError as error:
        raise HistoryError(f"{what}: the field {error.args[0]!r} is missing", line) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise HistoryError(f"{what}: {error}", line) from error


def shown_value(value: bytes) -> str:
    """A value as such a file shows it: itself when it is short, else its hash."""
    if len(value) < HASHED_FROM:
        return value.decode("utf-8", "surrogateescape")
    digest = 0x811C9DC5
    for byte in value:
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return _hash_text(digest)


def _hash_text(digest: int) -> str:
    return f"fnv32a:{digest:08x}"


def _watcher(stream: JsonStream, client: Hashable, number: int, line: int) -> Watcher:
    asked: Any = None
    deliveries: list[Delivery] = []
    for name in stream.fields():
        if name == "Request":
            asked = stream.value()
        elif name == "Responses" and stream.next() == "[":
            for _ in stream.elements():
                stream.next()
                at = stream.line
                with _named(f"watch {number}: response {len(deliveries) + 1}", at):
                    deliveries.append(_delivery(stream.value(), at))
        else:
            stream.value()
    if asked is None:
        raise KeyError("Request")
    called = deliveries[0].at_ns if deliveries else 0
    return Watcher(client, number, "", _request(asked), called, line, deliveries)


def _request(asked: Mapping[str, Any]) -> Request:
    key, end = asked["Key"], ""
    if asked.get("WithPrefix"):
        end = _after(key)
    return Request(
        key or "\0",
        end,
        int(asked.get("Revision") or 0),
        prev_kv=bool(asked.get("WithPrevKV")),
        progress_notify=bool(asked.get("WithProgressNotify")),
    )


def _after(prefix: str) -> str:
    """The end of the range of all keys with the prefix."""
    data = prefix.encode("utf-8", "surrogateescape").rstrip(b"\xff")
    return (data[:-1] + bytes([data[-1] + 1])).decode("utf-8", "surrogateescape") if data else ALL_FROM


def _delivery(response: Mapping[str, Any], line: int) -> Delivery:
    at_ns, revision = int(response.get("Time") or 0), int(response.get("Revision") or 0)
    if response.get("Error"):
        return Delivery("error", at_ns, line, revision, reason=str(response["Error"]))
    if response.get("IsProgressNotify"):
        return Delivery("progress", at_ns, line, revision)
    delivery = Delivery("events", at_ns, line, revision)
    for item in response.get("Events") or ():
        delivery.events.append(_event(item))
        before = item.get("PrevValue")
        delivery.prev.append(None if before is None else _previous(before))
    return delivery


def _event(item: Mapping[str, Any]) -> Event:
    revision, key = int(item["Revision"]), str(item["Key"])
    match item["Type"]:
        case "delete-operation":
            return Event(revision, key, None, False, 0, 0, 0)
        case "put-operation":
            created = bool(item.get("IsCreate"))
            value = _value(item.get("Value") or {})
            return Event(revision, key, value, created, revision if created else None, None, None)
    raise ValueError(f"an event's Type is {item['Type']!r}")


def _previous(before: Mapping[str, Any]) -> KeyValue:
    revision, version = before.get("ModRevision"), before.get("Version")
    return KeyValue(_value(before.get("Value") or {}), int(revision or 0), None, version, None)


def _value(value: Mapping[str, Any]) -> str:
    return _hash_text(int(value["Hash"])) if value.get("Hash") else str(value.get("Value") or "")
