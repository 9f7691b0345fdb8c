"""A Toxiproxy server as the harness talks to it: the toxiproxy-python library behind checks of our own.

What the library lacks and this adds:
- a server per instance: the library keeps host and port on one class, so each adapter loads the library's
  modules once more under a private name, and the copies share nothing with each other or with the user's own;
- time-outs, and 5xx answers taken for the errors they are;
- attributes, streams, toxicity and names checked before anything is sent (toxics.py);
- updates of proxies and toxics;
- every change read back from the server, StateMismatch when it is not what was asked for.

All calls block; asyncio callers go through targets.links, which runs them on one thread.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import quote

import requests
from gauntlet.harness.toxiproxy.toxics import check_attributes, check_stream, check_toxicity, check_type


class ToxiproxyError(Exception):
    """Something about the Toxiproxy server went wrong, said in one line."""


class ToxiproxyUnreachable(ToxiproxyError):
    """No answer in time."""


class ToxiproxyRefused(ToxiproxyError):
    """The server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"toxiproxy answered {status}: {message}")
        self.status = status
        self.message = message


class StateMismatch(ToxiproxyError):
    """The server said yes and did something else."""


@dataclass(frozen=True, slots=True)
class ToxicState:
    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True, slots=True)
class ProxyState:
    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[ToxicState, ...] = field(default=())

    def toxic(self, name: str) -> ToxicState | None:
        return next((toxic for toxic in self.toxics if toxic.name == name), None)


class _TimedRequests:
    """Stands in for the module `requests` in one private copy of the library."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._session = requests.Session()
        # A proxy in the environment is for the outside world, never for a server on this machine.
        self._session.trust_env = False

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._call("GET", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._call("POST", url, **options)

    def delete(self, url: str, **options: Any) -> requests.Response:
        return self._call("DELETE", url, **options)

    def close(self) -> None:
        self._session.close()

    def _call(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            response = self._session.request(method, url, timeout=self._timeout, **options)
        except requests.RequestException as error:
            raise ToxiproxyUnreachable(f"no answer from toxiproxy to {method} {url}: {error}") from error
        if response.status_code >= 300:
            raise ToxiproxyRefused(response.status_code, _message(response))
        return response


def _message(response: requests.Response) -> str:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("error"), str):
        return str(body["error"])
    return response.text.strip() or response.reason


_copies = itertools.count(1)


def _private_library() -> ModuleType:
    """The toxiproxy-python package once more, under a name of its own."""
    public = importlib.util.find_spec("toxiproxy")
    if public is None or public.origin is None:
        raise ToxiproxyError("the package toxiproxy-python is not installed")
    alias = f"_gauntlet_toxiproxy_{next(_copies)}"
    spec = importlib.util.spec_from_file_location(
        alias, public.origin, submodule_search_locations=list(public.submodule_search_locations or ())
    )
    if spec is None or spec.loader is None:
        raise ToxiproxyError(f"cannot load toxiproxy-python from {public.origin}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    spec.loader.exec_module(module)
    return module


class Toxiproxy:
    """One server. Methods raise ToxiproxyError (or InvalidToxic before anything is sent)."""

    def __init__(self, host: str, port: int, timeout: float = 10.0) -> None:
        if not 0 < port < 65536:
            raise ToxiproxyError(f"{port} is not a port")
        self.host, self.port = host, port
        self._library = _private_library()
        api = sys.modules[f"{self._library.__name__}.api"]
        self._requests = _TimedRequests(timeout)
        vars(api)["requests"] = self._requests
        self._exceptions: Any = sys.modules[f"{self._library.__name__}.exceptions"]
        self._consumer: Any = api.APIConsumer
        self._server: Any = self._library.Toxiproxy()
        self._server.update_api_consumer(f"[{host}]" if ":" in host else host, port)

    def close(self) -> None:
        """Drops the connection and the private copy of the library."""
        self._requests.close()
        name = self._library.__name__
        for module in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(name + ".")]:
            del sys.modules[module]

    def version(self) -> str:
        body = _object(self._consumer.get("/version"))
        return str(body.get("version", ""))

    def proxies(self) -> dict[str, ProxyState]:
        return {name: _proxy_state(value) for name, value in _object(self._consumer.get("/proxies")).items()}

    def proxy(self, name: str) -> ProxyState:
        return _proxy_state(_object(self._consumer.get(f"/proxies/{_quoted(name)}")))

    def create(self, name: str, upstream: str, listen: str, enabled: bool = True) -> ProxyState:
        _quoted(name)
        _check_address("upstream", upstream)
        _check_address("listen", listen)
        try:
            self._server.create(upstream=upstream, name=name, listen=listen, enabled=enabled)
        except self._exceptions.ProxyExists as error:
            raise ToxiproxyRefused(409, f"proxy {name} already exists") from error
        state = self.proxy(name)
        _demand(state, upstream=upstream, enabled=enabled)
        return state

    def update(
        self,
        name: str,
        *,
        upstream: str | None = None,
        listen: str | None = None,
        enabled: bool | None = None,
    ) -> ProxyState:
        """Changes what is given; the server drops the proxy's connections when an address changes."""
        change: dict[str, Any] = {}
        if upstream is not None:
            change["upstream"] = _check_address("upstream", upstream)
        if listen is not None:
            change["listen"] = _check_address("listen", listen)
        if enabled is not None:
            change["enabled"] = enabled
        if not change:
            raise ToxiproxyError(f"proxy {name}: nothing to change was given")
        self._consumer.post(f"/proxies/{_quoted(name)}", json=change)
        state = self.proxy(name)
        _demand(state, upstream=upstream, enabled=enabled)
        return state

    def disable(self, name: str) -> ProxyState:
        """Kills the proxy's connections and refuses new ones."""
        self._handle(name).disable()
        state = self.proxy(name)
        _demand(state, enabled=False)
        return state

    def enable(self, name: str) -> ProxyState:
        self._handle(name).enable()
        state = self.proxy(name)
        _demand(state, enabled=True)
        return state

    def delete(self, name: str) -> None:
        self._handle(name).destroy()
        if name in self.proxies():
            raise StateMismatch(f"proxy {name} is still there after it was deleted")

    def toxics(self, name: str) -> tuple[ToxicState, ...]:
        return self.proxy(name).toxics

    def add_toxic(
        self,
        proxy: str,
        type: str,  # the word of Toxiproxy's API
        *,
        name: str | None = None,
        stream: str = "downstream",
        toxicity: float = 1.0,
        attributes: Mapping[str, object] | None = None,
    ) -> ToxicState:
        check_type(type)
        check_stream(stream)
        wanted = ToxicState(
            name=f"{type}_{stream}" if name is None else name,
            type=type,
            stream=stream,
            toxicity=check_toxicity(toxicity),
            attributes=check_attributes(type, attributes or {}),
        )
        _quoted(wanted.name)
        self._handle(proxy).add_toxic(**wanted.as_json())
        return self._demand_toxic(proxy, wanted)

    def update_toxic(
        self,
        proxy: str,
        name: str,
        *,
        toxicity: float | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> ToxicState:
        """Attributes that are not given keep their values."""
        before = self.proxy(proxy).toxic(name)
        if before is None:
            raise ToxiproxyRefused(404, "toxic not found")
        wanted = ToxicState(
            name=name,
            type=before.type,
            stream=before.stream,
            toxicity=before.toxicity if toxicity is None else check_toxicity(toxicity),
            attributes=check_attributes(before.type, {**before.attributes, **(attributes or {})}),
        )
        change = {"toxicity": wanted.toxicity, "attributes": dict(wanted.attributes)}
        self._consumer.post(f"/proxies/{_quoted(proxy)}/toxics/{_quoted(name)}", json=change)
        return self._demand_toxic(proxy, wanted)

    def remove_toxic(self, proxy: str, name: str) -> None:
        self._handle(proxy).destroy_toxic(_quoted(name))
        if self.proxy(proxy).toxic(name) is not None:
            raise StateMismatch(f"toxic {name} of {proxy} is still there after it was removed")

    def populate(self, proxies: Iterable[Mapping[str, object]]) -> tuple[ProxyState, ...]:
        """Makes or replaces proxies in one request; each has name, upstream and perhaps listen, enabled."""
        wanted = [dict(proxy) for proxy in proxies]
        for proxy in wanted:
            _quoted(str(proxy.get("name", "")))
            _check_address("upstream", str(proxy.get("upstream", "")))
        self._consumer.post("/populate", json=wanted)
        present = self.proxies()
        for proxy in wanted:
            name = str(proxy["name"])
            if name not in present:
                raise StateMismatch(f"proxy {name} is not there after populate")
            _demand(present[name], upstream=str(proxy["upstream"]))
        return tuple(present[str(proxy["name"])] for proxy in wanted)

    def reset(self) -> None:
        """Enables every proxy and removes every toxic, of everybody who uses this server."""
        self._server.reset()
        for state in self.proxies().values():
            if not state.enabled or state.toxics:
                raise StateMismatch(f"proxy {state.name} is not clean after a reset")

    def _handle(self, name: str) -> Any:
        """The library's proxy object; it builds its URLs from the name as it stands, so it gets it quoted."""
        proxy = self._library.Proxy
        return proxy(name=_quoted(name), upstream="", enabled=True, listen="")

    def _demand_toxic(self, proxy: str, wanted: ToxicState) -> ToxicState:
        found = self.proxy(proxy).toxic(wanted.name)
        if found is None:
            raise StateMismatch(f"toxic {wanted.name} of {proxy} is not there after it was set")
        same = (found.type, found.stream, dict(found.attributes)) == (
            wanted.type,
            wanted.stream,
            dict(wanted.attributes),
        )
        # The server keeps toxicity in 32 bits.
        if not same or not math.isclose(found.toxicity, wanted.toxicity, rel_tol=1e-6, abs_tol=1e-9):
            raise StateMismatch(
                f"toxic {wanted.name} of {proxy}: asked for {json.dumps(wanted.as_json())}, "
                f"got {json.dumps(found.as_json())}"
            )
        return found


def _quoted(name: str) -> str:
    if not name:
        raise ToxiproxyError("a proxy or toxic needs a name")
    # The server's router splits at every slash, escaped or not, and cleans dots away.
    if "/" in name or name in (".", ".."):
        raise ToxiproxyError(f"the name {name!r} cannot be part of a path")
    return quote(name, safe="")


def _check_address(what: str, address: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ToxiproxyError(f"{what} {address!r} is not HOST:PORT")
    if what == "upstream" and (not host or int(port) == 0):
        raise ToxiproxyError(f"{what} {address!r} is not HOST:PORT")
    return address


def _object(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except requests.JSONDecodeError as error:
        raise ToxiproxyError(f"{response.url} did not answer JSON; is it a toxiproxy?") from error
    if not isinstance(body, dict):
        raise ToxiproxyError(f"{response.url} did not answer an object; is it a toxiproxy?")
    return body


def _proxy_state(body: Mapping[str, Any]) -> ProxyState:
    try:
        toxics = tuple(
            ToxicState(
                name=str(toxic["name"]),
                type=str(toxic["type"]),
                stream=str(toxic["stream"]),
                toxicity=float(toxic["toxicity"]),
                attributes={name: int(value) for name, value in toxic["attributes"].items()},
            )
            for toxic in body["toxics"]
        )
        return ProxyState(
            name=str(body["name"]),
            listen=str(body["listen"]),
            upstream=str(body["upstream"]),
            enabled=bool(body["enabled"]),
            toxics=toxics,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ToxiproxyError(f"toxiproxy described a proxy in a way we do not know: {body!r}") from error


def _demand(state: ProxyState, *, upstream: str | None = None, enabled: bool | None = None) -> None:
    if upstream is not None and state.upstream != upstream:
        raise StateMismatch(f"proxy {state.name}: upstream is {state.upstream}, not {upstream}")
    if enabled is not None and state.enabled != enabled:
        raise StateMismatch(f"proxy {state.name}: enabled is {state.enabled}, not {enabled}")
