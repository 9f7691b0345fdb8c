"""Which errors there are, what they look like on the wire, and which of them mean "it did not happen"."""

from __future__ import annotations

import copy
import os
import pickle
import re
from pathlib import Path

import pytest
from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError, classify
from gauntlet.api.messages import services

PUT = "/etcdserverpb.KV/Put"


def constants() -> dict[str, RpcError]:
    return {name: value for name, value in vars(errors).items() if isinstance(value, RpcError)}


# ---- the value ----


def test_an_error_cannot_be_changed() -> None:
    for name in ("code", "message", "definite"):
        with pytest.raises(AttributeError, match=name):
            setattr(errors.COMPACTED, name, getattr(errors.NO_LEADER, name))
        with pytest.raises(AttributeError, match=name):
            delattr(errors.COMPACTED, name)
    assert errors.COMPACTED.code is Code.OUT_OF_RANGE


def test_equality_is_what_the_wire_shows() -> None:
    message = errors.COMPACTED.message
    assert RpcError(Code.OUT_OF_RANGE, message) == errors.COMPACTED
    assert RpcError(Code.UNKNOWN, message) != errors.COMPACTED
    assert len({errors.COMPACTED, errors.COMPACTED.fresh(), errors.FUTURE_REV}) == 2
    assert errors.COMPACTED != "OUT_OF_RANGE"


@pytest.mark.parametrize("error", [errors.COMPACTED, errors.NO_SPACE], ids=["definite", "indefinite"])
def test_copies_and_pickles_keep_everything(error: RpcError) -> None:
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error)), error.fresh()):
        assert twin == error
        assert twin.definite == error.definite


def test_a_fresh_copy_keeps_the_constant_clean() -> None:
    with pytest.raises(RpcError) as caught:
        raise errors.COMPACTED.fresh()
    assert caught.value == errors.COMPACTED
    assert errors.COMPACTED.__traceback__ is None


def test_text_for_people() -> None:
    assert str(errors.NO_LEADER) == "UNAVAILABLE: etcdserver: no leader"
    assert repr(errors.NO_LEADER) == "RpcError(UNAVAILABLE, 'etcdserver: no leader', definite)"


# ---- the constants ----


def test_texts_are_unique_and_known() -> None:
    assert len({error.message for error in errors.KNOWN}) == len(errors.KNOWN) == 64
    assert set(constants().values()) == set(errors.KNOWN)


def test_classify_returns_the_constant() -> None:
    for error in errors.KNOWN:
        again = classify(error.code, error.message, PUT)
        assert again == error
        assert again.definite == error.definite


def test_the_open_ones_are_these() -> None:
    """A change of this list changes verdicts: it needs a reason from etcd's code."""
    assert {name for name, error in constants().items() if not error.definite} == {
        "CANCELED",
        "CORRUPT",
        "DEADLINE_EXCEEDED",
        "LEADER_CHANGED",
        "NO_SPACE",
        "STOPPED",
        "TIMEOUT",
        "TIMEOUT_DUE_TO_CONNECTION_LOST",
        "TIMEOUT_DUE_TO_LEADER_FAIL",
        "TIMEOUT_WAIT_APPLIED_INDEX",
        "WATCH_CANCELED",
    }


@pytest.mark.upstream
def test_codes_and_texts_are_upstreams() -> None:
    cache = os.environ.get("GOMODCACHE")
    gopath = Path(os.environ.get("GOPATH") or Path.home() / "go")
    root = Path(cache) if cache else gopath / "pkg" / "mod"
    source = root / "go.etcd.io/etcd/api/v3@v3.7.1/v3rpc/rpctypes/error.go"
    if not source.exists():
        pytest.skip("go.etcd.io/etcd/api/v3@v3.7.1 is not in Go's module cache")
    rows = re.findall(r'ErrGRPC(\w+)\s*= status\.Error\(codes\.(\w+), "([^"]+)"\)', source.read_text())
    assert len(rows) == 63

    def plain(name: str) -> str:
        return name.replace("_", "").lower()

    # Go spells Canceled with one l; the names are compared without their underscores and case.
    theirs = {
        (plain(name), plain(code.replace("Canceled", "Cancelled")), message) for name, code, message in rows
    }
    ours = {
        (plain(name), plain(error.code.name), error.message)
        for name, error in constants().items()
        if name != "PROPOSAL_DROPPED"
    }
    assert ours == theirs


# ---- definite or not ----


@pytest.mark.parametrize(
    ("code", "message", "definite"),
    [
        # etcd sends these two with code Unknown; the text decides.
        (Code.UNKNOWN, "etcdserver: too many requests", True),
        (Code.UNKNOWN, "etcdserver: re-configuration failed due to not enough started members", True),
        (Code.UNKNOWN, "raft proposal dropped", True),
        (Code.UNKNOWN, "something else", False),
        (Code.UNIMPLEMENTED, "unknown method", True),
        # As grpcio 1.85 words them.
        (
            Code.UNAVAILABLE,
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connect: refused",
            True,
        ),
        (Code.UNAVAILABLE, "Socket closed", False),
        (Code.UNAVAILABLE, "recvmsg:Connection reset by peer", False),
        (Code.UNAVAILABLE, "GOAWAY received", False),
        (Code.INTERNAL, "failed to connect to all addresses", False),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", False),
        (Code.CANCELLED, "Channel closed!", False),
        (Code.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (5 vs. 4)", False),
        (Code.DATA_LOSS, "", False),
        (Code.ABORTED, "", False),
        # Refusals in words that are not etcd's: we do not know what they follow.
        (Code.INVALID_ARGUMENT, "no", False),
        (Code.PERMISSION_DENIED, "no", False),
        # A known text must be the whole of it.
        (Code.UNKNOWN, "retried: etcdserver: too many requests", False),
    ],
)
def test_classification(code: Code, message: str, definite: bool) -> None:
    assert classify(code, message, PUT).definite is definite
    assert classify(code, message).definite is definite


@pytest.mark.parametrize(
    "path",
    [
        "/v3lockpb.Lock/Lock",
        "/v3electionpb.Election/Campaign",
        "/etcdserverpb.Cluster/MemberPromote",
        "/etcdserverpb.Lease/LeaseKeepAlive",
    ],
)
def test_methods_of_several_steps_leave_everything_open(path: str) -> None:
    assert path in services
    for error in errors.KNOWN:
        assert not classify(error.code, error.message, path).definite
    # What never arrived did not happen, whatever the method.
    assert classify(Code.UNAVAILABLE, "failed to connect to all addresses", path).definite
    assert classify(Code.UNIMPLEMENTED, "", path).definite


def test_unknown_numbers_are_unknown() -> None:
    assert classify(17, "x").code is Code.UNKNOWN
    assert classify(-1, "x").code is Code.UNKNOWN
    with pytest.raises(ValueError, match="OK"):
        classify(0, "")
