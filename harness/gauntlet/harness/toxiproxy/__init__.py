"""Toxiproxy, three ways behind one adapter: a real server, the embedded one, or one that runs already.

server = await start_toxiproxy("auto", log=path)     # auto | real | embedded | http://HOST:PORT
api = Toxiproxy("127.0.0.1", 8474)                   # validates first, reads back after; every call blocks
"""

from gauntlet.harness.toxiproxy.adapter import (
    ProxyState,
    StateMismatch,
    ToxicState,
    Toxiproxy,
    ToxiproxyError,
    ToxiproxyRefused,
    ToxiproxyUnreachable,
)
from gauntlet.harness.toxiproxy.launch import ToxiproxyServer, ToxiproxySpecError, start_toxiproxy
from gauntlet.harness.toxiproxy.toxics import InvalidToxic

__all__ = [
    "InvalidToxic",
    "ProxyState",
    "StateMismatch",
    "ToxicState",
    "Toxiproxy",
    "ToxiproxyError",
    "ToxiproxyRefused",
    "ToxiproxyServer",
    "ToxiproxySpecError",
    "ToxiproxyUnreachable",
    "start_toxiproxy",
]
