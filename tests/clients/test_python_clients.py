"""Python's clients of etcd: one session each, the same on our node and on real etcd."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

SESSIONS = Path(__file__).with_name("sessions")
# The module, the distribution it comes from, and how many lines its session has at least.
CLIENTS = [("aetcd", "aetcd", 30), ("pyetcd", "etcd-sdk-python", 25), ("etcd3gw", "etcd3gw", 25)]
# What the users' session does first, through the gateway.
USERS = [
    ("auth/user/add", {"name": "root", "password": "root"}),
    ("auth/user/add", {"name": "alice", "password": "secret"}),
    ("auth/role/add", {"name": "root"}),
    ("auth/role/add", {"name": "reader"}),
    ("auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": "YQ==", "range_end": "Yg=="}}),
    ("auth/user/grant", {"user": "root", "role": "root"}),
    ("auth/user/grant", {"user": "alice", "role": "reader"}),
    ("kv/put", {"key": "YQ==", "value": "MQ=="}),
    ("auth/enable", {}),
]


def session_of(module: str, distribution: str) -> str:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{distribution} is not installed")
    return str(SESSIONS / f"{module}_session.py")


@pytest.mark.parametrize(("module", "distribution", "least"), CLIENTS, ids=[name for _, name, _ in CLIENTS])
def test_session(
    compare: Callable[..., list[str]],
    transcript: Callable[..., list[str]],
    module: str,
    distribution: str,
    least: int,
) -> None:
    session = session_of(module, distribution)
    lines = compare(lambda member: transcript([sys.executable, session, member.address]))
    assert len(lines) >= least


@pytest.mark.parametrize(("module", "distribution", "least"), CLIENTS[:2], ids=["aetcd", "etcd-sdk-python"])
def test_session_of_a_user(
    compare: Callable[..., list[str]],
    transcript: Callable[..., list[str]],
    module: str,
    distribution: str,
    least: int,
) -> None:
    session = session_of(module, distribution)

    def play(member: Any) -> list[str]:
        for path, body in USERS:
            requests.post(f"{member.url}/v3/{path}", json=body, timeout=20).raise_for_status()
        return transcript([sys.executable, session, member.address, "alice", "secret"])

    assert len(compare(play)) >= 3
