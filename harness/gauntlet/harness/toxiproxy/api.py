"""The embedded server's HTTP API: the paths, bodies, statuses and messages of Toxiproxy 2.12.

Where the real server takes attributes that it cannot carry out, and dies of some, this one answers 400.
"""

from __future__ import annotations

import asyncio
import json
import posixpath
import struct
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

from gauntlet.harness.toxiproxy import gojson
from gauntlet.harness.toxiproxy.connection import ActiveToxic
from gauntlet.harness.toxiproxy.gojson import BadBody, Field
from gauntlet.harness.toxiproxy.http import Request, Response
from gauntlet.harness.toxiproxy.proxy import AddressError, Proxy, toxic_json
from gauntlet.harness.toxiproxy.toxics import (
    STREAMS,
    TYPES,
    InvalidToxic,
    check_attributes,
    check_toxicity,
)

VERSION = "2.12.0"

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_PROXY_FIELDS = {
    field.name: field
    for field in (
        Field("name", "string"),
        Field("listen", "string"),
        Field("upstream", "string"),
        Field("enabled", "bool"),
    )
}
_TOXIC_FIELDS = {
    field.name: field
    for field in (
        Field("attributes", "raw"),
        Field("name", "string"),
        Field("type", "string"),
        Field("stream", "string"),
        Field("toxicity", "float32"),
    )
}
_STRUCTS = {
    "noop": "NoopToxic",
    "latency": "LatencyToxic",
    "bandwidth": "BandwidthToxic",
    "slow_close": "SlowCloseToxic",
    "timeout": "TimeoutToxic",
    "reset_peer": "ResetToxic",
    "slicer": "SlicerToxic",
    "limit_data": "LimitDataToxic",
}

_POPULATE_TYPE = r'struct { toxiproxy.Proxy; Enabled *bool "json:\"enabled\"" }'
_UPDATE_TYPE = (
    r'struct { Attributes interface {} "json:\"attributes\""; Toxicity float32 "json:\"toxicity\"" }'
)

# What messages call a field, and the value that holds it (gojson.fill).
_PROXY_WORDS = ("Proxy.", "value of type toxiproxy.Proxy")
_TOXIC_WORDS = ("ToxicWrapper.", "value of type toxics.ToxicWrapper")
_NEW_TOXIC = "ToxicWrapper.attributes of type toxics.NoopToxic"

Action = Callable[[Request, list[str]], Awaitable[Response]]


class ApiError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    def as_json(self) -> dict[str, Any]:
        return {"error": self.message, "status": self.status}


def _bad_body(error: Exception) -> ApiError:
    return ApiError(400, f"bad request body: {error}")


class Api:
    """All state of the server. Requests that change something run one at a time."""

    def __init__(self, random: Random, metrics: bool = False) -> None:
        self.proxies: dict[str, Proxy] = {}
        self._random = random
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._routes: list[tuple[tuple[str, ...], dict[str, Action]]] = [
            (("reset",), {"POST": self._reset}),
            (("proxies",), {"GET": self._list, "POST": self._create}),
            (("populate",), {"POST": self._populate}),
            (
                ("proxies", "*"),
                {"GET": self._show, "POST": self._update, "PATCH": self._update, "DELETE": self._delete},
            ),
            (("proxies", "*", "toxics"), {"GET": self._toxics, "POST": self._add_toxic}),
            (
                ("proxies", "*", "toxics", "*"),
                {
                    "GET": self._show_toxic,
                    "POST": self._update_toxic,
                    "PATCH": self._update_toxic,
                    "DELETE": self._remove_toxic,
                },
            ),
            (("version",), {"GET": self._version}),
        ]
        if metrics:
            self._routes.append((("metrics",), {"GET": self._show_metrics}))

    async def handle(self, request: Request) -> Response:
        path = request.path
        clean = posixpath.normpath("/" + path.lstrip("/")) + (
            "/" if path.endswith("/") and path != "/" else ""
        )
        if clean != path:
            return Response(301, location=clean)
        parts = path.split("/")[1:]
        for pattern, methods in self._routes:
            if not _matches(pattern, parts):
                continue
            action = methods.get(request.method)
            if action is None:
                return Response(405)
            if request.headers.get("user-agent", "").startswith("Mozilla/"):
                return Response(403, b"User agent not allowed\n", _TEXT)
            names = [part for part, wanted in zip(parts, pattern, strict=True) if wanted == "*"]
            try:
                async with self._lock:
                    return await action(request, names)
            except ApiError as error:
                return Response(error.status, _dump(error.as_json()) + b"\n", _TEXT)
        return Response(404, b"404 page not found\n", _TEXT)

    def close(self) -> None:
        for proxy in self.proxies.values():
            proxy.stop()

    # Proxies.

    async def _list(self, _request: Request, _names: list[str]) -> Response:
        return _ok({name: self.proxies[name].as_json() for name in sorted(self.proxies)})

    async def _create(self, request: Request, _names: list[str]) -> Response:
        try:
            given = gojson.fill(gojson.decode(request.body), _PROXY_FIELDS, *_PROXY_WORDS)
        except BadBody as error:
            raise _bad_body(error) from error
        for name in ("name", "upstream"):
            if not given.get(name):
                raise ApiError(400, f"missing required field: {name}")
        if given["name"] in self.proxies:
            raise ApiError(409, "proxy already exists")
        proxy = await self._make(given)
        return _ok(proxy.as_json(), 201)

    async def _make(self, given: Mapping[str, Any]) -> Proxy:
        proxy = Proxy(given["name"], given.get("listen", ""), given["upstream"], self._random)
        if given.get("enabled", True):
            await _started(proxy)
        self.proxies[proxy.name] = proxy
        return proxy

    async def _populate(self, request: Request, _names: list[str]) -> Response:
        made: list[Proxy] = []
        error: ApiError | None = None
        try:
            for given in self._populate_input(request.body):
                made.append(await self._make_or_keep(given))
        except ApiError as caught:
            error = caught
        body = error.as_json() if error is not None else {}
        body["proxies"] = [proxy.as_json() for proxy in made] or None
        return _ok(body, error.status if error is not None else 201)

    def _populate_input(self, body: bytes | bytearray) -> list[dict[str, Any]]:
        try:
            items = gojson.decode(bytes(body))
            if items is None:
                items = []
            if not isinstance(items, list):
                kind = gojson.kind_of(items)
                raise BadBody(f"json: cannot unmarshal {kind} into Go value of type []{_POPULATE_TYPE}")
            given = [_populate_item(item) for item in items]
        except BadBody as error:
            raise _bad_body(error) from error
        for number, item in enumerate(given, 1):
            for name in ("name", "upstream"):
                if not item.get(name):
                    raise ApiError(400, f"missing required field: {name} at proxy {number}")
        return given

    async def _make_or_keep(self, given: Mapping[str, Any]) -> Proxy:
        existing = self.proxies.get(given["name"])
        if existing is not None:
            try:
                same = (
                    await existing.listens_on(given.get("listen", ""))
                    and existing.upstream == given["upstream"]
                )
            except AddressError as error:
                raise ApiError(500, str(error)) from error
            if same:
                return existing
            existing.stop()
        return await self._make(given)

    async def _show(self, _request: Request, names: list[str]) -> Response:
        return _ok(self._proxy(names[0]).as_json())

    async def _update(self, request: Request, names: list[str]) -> Response:
        proxy = self._proxy(names[0])
        try:
            given = gojson.fill(gojson.decode(request.body), _PROXY_FIELDS, *_PROXY_WORDS)
        except BadBody as error:
            raise _bad_body(error) from error
        try:
            await proxy.change(
                given.get("listen", proxy.listen),
                given.get("upstream", proxy.upstream),
                given.get("enabled", proxy.enabled),
            )
        except AddressError as error:
            raise ApiError(500, str(error)) from error
        return _ok(proxy.as_json())

    async def _delete(self, _request: Request, names: list[str]) -> Response:
        self._proxy(names[0]).stop()
        del self.proxies[names[0]]
        return Response(204)

    async def _reset(self, _request: Request, _names: list[str]) -> Response:
        for proxy in self.proxies.values():
            await _started(proxy)
            for toxic in proxy.all_toxics():
                proxy.remove_toxic(toxic)
        return Response(204)

    # Toxics.

    async def _toxics(self, _request: Request, names: list[str]) -> Response:
        return _ok([toxic_json(toxic) for toxic in self._proxy(names[0]).all_toxics()])

    async def _add_toxic(self, request: Request, names: list[str]) -> Response:
        proxy = self._proxy(names[0])
        try:
            given = gojson.fill(
                gojson.decode(request.body),
                _TOXIC_FIELDS,
                "ToxicWrapper.",
                "value of type toxics.ToxicWrapper",
            )
        except BadBody as error:
            raise _bad_body(error) from error
        stream = given.get("stream", "downstream")
        if stream.lower() not in STREAMS:
            raise ApiError(400, "stream was invalid, can be either upstream or downstream")
        kind = given.get("type", "")
        if kind not in TYPES:
            raise ApiError(400, "invalid toxic type")
        name = given.get("name") or f"{kind}_{stream}"
        if proxy.toxic(name) is not None:
            raise ApiError(409, "toxic already exists")
        toxic = ActiveToxic(
            name=name,
            type=kind,
            stream=stream,
            direction=stream.lower(),
            toxicity=_toxicity(given.get("toxicity", 1.0)),
            attributes=_attributes(
                kind, given.get("attributes"), {}, "ToxicWrapper.attributes of type toxics.NoopToxic"
            ),
        )
        proxy.add_toxic(toxic)
        return _ok(toxic_json(toxic))

    async def _show_toxic(self, _request: Request, names: list[str]) -> Response:
        return _ok(toxic_json(self._toxic(names)))

    async def _update_toxic(self, request: Request, names: list[str]) -> Response:
        toxic = self._toxic(names)
        try:
            fields = {name: _TOXIC_FIELDS[name] for name in ("attributes", "toxicity")}
            given = gojson.fill(gojson.decode(request.body), fields, ".", f"value of type {_UPDATE_TYPE}")
        except BadBody as error:
            raise _bad_body(error) from error
        attributes = _attributes(
            toxic.type,
            given.get("attributes"),
            toxic.attributes,
            f".attributes of type toxics.{_STRUCTS[toxic.type]}",
        )
        self._proxy(names[0]).update_toxic(
            toxic, _toxicity(given.get("toxicity", toxic.toxicity)), attributes
        )
        return _ok(toxic_json(toxic))

    async def _remove_toxic(self, _request: Request, names: list[str]) -> Response:
        self._proxy(names[0]).remove_toxic(self._toxic(names))
        return Response(204)

    # The rest.

    async def _version(self, _request: Request, _names: list[str]) -> Response:
        return Response(200, f'{{"version": "{VERSION}"}}\n'.encode(), "application/json;charset=utf-8")

    async def _show_metrics(self, _request: Request, _names: list[str]) -> Response:
        lines = []
        for what in ("received", "sent"):
            metric = f"toxiproxy_proxy_{what}_bytes_total"
            lines.append(f"# HELP {metric} Bytes {what} by the proxy.")
            lines.append(f"# TYPE {metric} counter")
            for proxy in self.proxies.values():
                totals = proxy.counters()
                for stream in STREAMS:
                    labels = {
                        "direction": stream,
                        "listener": proxy.listen,
                        "proxy": proxy.name,
                        "upstream": proxy.upstream,
                    }
                    shown = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
                    lines.append(f"{metric}{{{shown}}} {totals[stream, what]}")
        return Response(200, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4; charset=utf-8")

    def _proxy(self, name: str) -> Proxy:
        if name not in self.proxies:
            raise ApiError(404, "proxy not found")
        return self.proxies[name]

    def _toxic(self, names: list[str]) -> ActiveToxic:
        toxic = self._proxy(names[0]).toxic(names[1])
        if toxic is None:
            raise ApiError(404, "toxic not found")
        return toxic


def _populate_item(item: Any) -> dict[str, Any]:
    """The real server lays a field `enabled` of its own over the proxy's; that shows in its messages."""
    of_proxy = {name: field for name, field in _PROXY_FIELDS.items() if name != "enabled"}
    given = gojson.fill(item, of_proxy, ".Proxy.", f"value of type {_POPULATE_TYPE}")
    over = gojson.fill(item, {"enabled": _PROXY_FIELDS["enabled"]}, ".", "")
    return given | over


def _matches(pattern: tuple[str, ...], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(
        part != "" if wanted == "*" else part == wanted for wanted, part in zip(pattern, parts, strict=True)
    )


async def _started(proxy: Proxy) -> None:
    try:
        await proxy.start()
    except AddressError as error:
        raise ApiError(500, str(error)) from error


def _attributes(kind: str, given: Any, present: Mapping[str, int], wanted: str) -> dict[str, int]:
    """The attributes after the request; 400 for a wrong type, and for what the real server would die of."""
    go_type = "int" if kind == "slicer" else "int64"
    fields = {attribute.name: Field(attribute.name, go_type) for attribute in TYPES[kind].attributes}
    try:
        changes = gojson.fill(given, fields, f"{_STRUCTS[kind]}.attributes.", f"struct field {wanted}")
    except BadBody as error:
        raise _bad_body(error) from error
    try:
        return check_attributes(kind, {**present, **changes})
    except InvalidToxic as error:
        raise _bad_body(error) from error


def _toxicity(value: float) -> float:
    try:
        checked = check_toxicity(value)
    except InvalidToxic as error:
        raise _bad_body(error) from error
    # The real server keeps 32 bits and writes the fewest digits that mean the same number.
    wanted = struct.pack("f", checked)
    digits = (float(f"{checked:.{count}g}") for count in range(1, 10))
    return next((short for short in digits if struct.pack("f", short) == wanted), checked)


def _ok(body: Any, status: int = 200) -> Response:
    return Response(status, _dump(body), _JSON)


def _dump(body: Any) -> bytes:
    """As Go writes it: no spaces, and HTML's special characters escaped."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode()
