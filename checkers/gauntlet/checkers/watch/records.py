"""What watchers were told, one JSON line for each thing that happened to one watcher.

Every line has ``kind``, ``client``, ``watcher`` (unique for the client) and ``at_ns`` (ns since the run
began, on the same clock as the history). In a watcher's own order, the kinds are::

    {"kind": "create", "client": 3, "watcher": "w1", "at_ns": 90, "member": "m1",
     "request": {"key": "a", "range_end": "b", "start_revision": 0, "filters": ["noput"],
                 "prev_kv": true, "progress_notify": true, "fragment": false}}
    {"kind": "created", ..., "revision": 12}
    {"kind": "events", ..., "revision": 15, "fragment": false, "events": [
        {"type": "put", "key": "a1", "value": "x", "mod_revision": 15, "create_revision": 15,
         "version": 1, "lease": 0, "prev_kv": null},
        {"type": "delete", "key": "a2", "mod_revision": 15, "prev_kv":
            {"value": "y", "mod_revision": 9, "create_revision": 8, "version": 2, "lease": 0}}]}
    {"kind": "progress", ..., "revision": 20}
    {"kind": "canceled", ..., "revision": 30, "compact_revision": 25, "reason": "..."}
    {"kind": "error", ..., "error": {"code": "UNAVAILABLE", "message": "..."}}
    {"kind": "closed", ...}

- `create` is written before the request leaves, the others after the answer arrived. `revision` is the one of
  the answer's header.
- `range_end` is etcd's: empty for one key, "\\0" for every key from `key` on. `filters` are "noput" and
  "nodelete". What a request does not name has etcd's default.
- A progress notification for all watchers of a stream (watch id -1) is one line for each of them.
- An answer with `fragment` true is continued by the watcher's next one; together they are one list of events.
- `error`: the stream broke; `closed`: the client ended it. A watcher that comes back is a new watcher that
  starts at a revision.

Keys and values are text where they are UTF-8, and otherwise ``{"base64": text}`` (in memory they are text in
which lone surrogates stand for the bytes that are none, Python's ``surrogateescape``). Fields of a kv that a
recorder could not see may be left out; nothing is then concluded from them.
"""

from __future__ import annotations

import base64
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from porcupine.history import HistoryError
from porcupine.jsonl import Record, read_records

ALL_FROM = "\0"  # as a range's end


def order(key: str) -> bytes:
    """Keys compare as bytes; what is no UTF-8 is in the text as lone surrogates."""
    return key.encode("utf-8", "surrogateescape")


class Event(NamedTuple):
    """One change of one key. A delete has no value, and 0 for the rest."""

    mod_revision: int
    key: str
    value: str | None
    is_create: bool | None
    create_revision: int | None
    version: int | None
    lease: int | None

    def __str__(self) -> str:
        what = f"delete {self.key!r}" if self.value is None else f"put {self.key!r} = {_short(self.value)}"
        return f"{what} at revision {self.mod_revision}"


class KeyValue(NamedTuple):
    """What a key held before an event."""

    value: str
    mod_revision: int
    create_revision: int | None
    version: int | None
    lease: int | None

    def __str__(self) -> str:
        return f"{_short(self.value)} of revision {self.mod_revision}"


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")


@dataclass(frozen=True, slots=True)
class Request:
    key: str
    range_end: str = ""
    start_revision: int = 0
    noput: bool = False
    nodelete: bool = False
    prev_kv: bool = False
    progress_notify: bool = False
    fragment: bool = False

    def covers(self, key: str) -> bool:
        if not self.range_end:
            return key == self.key
        here = order(key)
        return here >= order(self.key) and (self.range_end == ALL_FROM or here < order(self.range_end))

    def wants(self, event: Event) -> bool:
        unwanted = self.nodelete if event.value is None else self.noput
        return not unwanted and self.covers(event.key)

    @property
    def filtered(self) -> bool:
        return self.noput or self.nodelete

    def __str__(self) -> str:
        if not self.range_end:
            keys = f"key {self.key!r}"
        elif self.range_end == ALL_FROM:
            keys = f"all keys from {self.key!r} on"
        else:
            keys = f"keys from {self.key!r} to before {self.range_end!r}"
        without = " without puts" * self.noput + " without deletes" * self.nodelete
        start = f" from revision {self.start_revision}" if self.start_revision else ""
        return f"{keys}{without}{start}"


@dataclass(slots=True)
class Delivery:
    """Something a watcher was told; fragments are joined. `prev` stands beside `events`.

    `whole` is False for a list of events whose last fragment never came.
    """

    kind: str
    at_ns: int
    line: int
    revision: int = 0
    events: list[Event] = field(default_factory=list)
    prev: list[KeyValue | None] = field(default_factory=list)
    compact_revision: int = 0
    reason: str = ""
    whole: bool = True


@dataclass(slots=True)
class Watcher:
    client: Hashable
    id: Hashable
    member: str
    request: Request
    call_ns: int
    line: int = 0
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.client}/{self.id}"

    def __str__(self) -> str:
        where = f" on {self.member}" if self.member else ""
        return f"watcher {self.id} of client {self.client}{where} ({self.request})"


_KINDS = frozenset({"create", "created", "events", "progress", "canceled", "error", "closed"})
_FILTERS = frozenset({"noput", "nodelete"})


def read_watches(lines: Iterable[str]) -> list[Watcher]:
    """The watchers of a file, in the order of their creation. HistoryError names a broken line by its
    number."""
    watchers: dict[tuple[Hashable, Hashable], Watcher] = {}
    unfinished: dict[tuple[Hashable, Hashable], Delivery] = {}
    for number, record in read_records(lines):
        try:
            _take(record, number, watchers, unfinished)
        except KeyError as error:
            raise HistoryError(f"the field {error.args[0]!r} is missing", number) from error
        except (TypeError, ValueError) as error:
            raise HistoryError(str(error), number) from error
    return list(watchers.values())


def _take(
    record: Record,
    number: int,
    watchers: dict[tuple[Hashable, Hashable], Watcher],
    unfinished: dict[tuple[Hashable, Hashable], Delivery],
) -> None:
    kind, identity, at_ns = record["kind"], (record["client"], record["watcher"]), record["at_ns"]
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}, not one of {', '.join(sorted(_KINDS))}")
    if not isinstance(at_ns, int):
        raise ValueError(f"at_ns is {at_ns!r}, not an integer")
    if kind == "create":
        if identity in watchers:
            raise ValueError(f"watcher {identity[1]} of client {identity[0]} is created twice")
        member = str(record.get("member") or "")
        request = request_of(record["request"])
        watchers[identity] = Watcher(identity[0], identity[1], member, request, at_ns, number)
        return
    if identity not in watchers:
        raise ValueError(f"watcher {identity[1]} of client {identity[0]} has no line that creates it")
    delivery = unfinished.pop(identity, None)
    if kind != "events":
        watchers[identity].deliveries.append(_control(record, kind, at_ns, number))
        return
    if delivery is None:
        delivery = Delivery(kind, at_ns, number, _integer(record["revision"]))
        watchers[identity].deliveries.append(delivery)
    delivery.at_ns = at_ns
    for item in record["events"]:
        event, prev = event_of(item)
        delivery.events.append(event)
        delivery.prev.append(prev)
    delivery.whole = not record.get("fragment")
    if not delivery.whole:
        unfinished[identity] = delivery


def _control(record: Record, kind: str, at_ns: int, number: int) -> Delivery:
    delivery = Delivery(kind, at_ns, number)
    if kind in ("created", "progress"):
        delivery.revision = _integer(record["revision"])
    elif kind == "canceled":
        delivery.revision = _integer(record.get("revision") or 0)
        delivery.compact_revision = _integer(record.get("compact_revision") or 0)
        delivery.reason = str(record.get("reason") or "")
    elif kind == "error":
        error = record["error"]
        delivery.reason = f"{error.get('code')}: {error.get('message')}"
    return delivery


def request_of(value: Mapping[str, Any]) -> Request:
    """ValueError or KeyError for what is no request. The empty key is the smallest one, as in etcd."""
    filters = value.get("filters") or ()
    unknown = set(filters) - _FILTERS
    if unknown:
        raise ValueError(f"filters has {sorted(unknown)[0]!r}, not one of {', '.join(sorted(_FILTERS))}")
    return Request(
        key=_text(value["key"]) or "\0",
        range_end=_text(value.get("range_end") or ""),
        start_revision=_integer(value.get("start_revision") or 0),
        noput="noput" in filters,
        nodelete="nodelete" in filters,
        prev_kv=bool(value.get("prev_kv")),
        progress_notify=bool(value.get("progress_notify")),
        fragment=bool(value.get("fragment")),
    )


def event_of(item: Mapping[str, Any]) -> tuple[Event, KeyValue | None]:
    revision, key, kind = _integer(item["mod_revision"]), _text(item["key"]), item["type"]
    before = item.get("prev_kv")
    prev = None if before is None else _kv_of(before)
    if kind == "delete":
        return Event(revision, key, None, False, 0, 0, 0), prev
    if kind != "put":
        raise ValueError(f"an event's type is {kind!r}, not put or delete")
    created = item.get("create_revision")
    is_create = item.get("is_create", None if created is None else created == revision)
    version, lease = item.get("version"), item.get("lease")
    return Event(revision, key, _text(item["value"]), is_create, created, version, lease), prev


def _kv_of(value: Mapping[str, Any]) -> KeyValue:
    return KeyValue(
        _text(value["value"]),
        _integer(value["mod_revision"]),
        value.get("create_revision"),
        value.get("version"),
        value.get("lease"),
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("base64"), str):
        return text_of(base64.b64decode(value["base64"], validate=True))
    raise ValueError(f"{value!r} is neither text nor base64")


def text_of(data: bytes) -> str:
    """Bytes as they stand in events and requests."""
    return data.decode("utf-8", "surrogateescape")


def _plain(value: Any) -> Any:
    """Text that JSON can hold."""
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"base64": base64.b64encode(order(value)).decode()}
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not an integer")
    return value


def write_watches(watchers: Sequence[Watcher]) -> Iterator[dict[str, Any]]:
    """The watchers as lines again, one watcher after the other; fragments stay joined."""
    for watcher in watchers:
        who = {"client": watcher.client, "watcher": watcher.id}
        request = watcher.request
        yield {
            "kind": "create",
            **who,
            "at_ns": watcher.call_ns,
            "member": watcher.member,
            "request": {
                "key": _plain(request.key),
                "range_end": _plain(request.range_end),
                "start_revision": request.start_revision,
                "filters": ["noput"] * request.noput + ["nodelete"] * request.nodelete,
                "prev_kv": request.prev_kv,
                "progress_notify": request.progress_notify,
                "fragment": request.fragment,
            },
        }
        for delivery in watcher.deliveries:
            yield {"kind": delivery.kind, **who, "at_ns": delivery.at_ns, **_delivery_json(delivery)}


def _delivery_json(delivery: Delivery) -> dict[str, Any]:
    match delivery.kind:
        case "created" | "progress":
            return {"revision": delivery.revision}
        case "canceled":
            return {
                "revision": delivery.revision,
                "compact_revision": delivery.compact_revision,
                "reason": delivery.reason,
            }
        case "error":
            code, _, message = delivery.reason.partition(": ")
            return {"error": {"code": code, "message": message}}
        case "events":
            events = [
                event_json(event, prev) for event, prev in zip(delivery.events, delivery.prev, strict=True)
            ]
            return {"revision": delivery.revision, "fragment": not delivery.whole, "events": events}
    return {}


def event_json(event: Event, prev: KeyValue | None = None) -> dict[str, Any]:
    kept = event._asdict()
    if event.value is None:
        kept = {"key": event.key, "mod_revision": event.mod_revision}
    before = None if prev is None else {name: _plain(field) for name, field in prev._asdict().items()}
    fields = {name: _plain(field) for name, field in kept.items()}
    return {"type": "delete" if event.value is None else "put", **fields, "prev_kv": before}
