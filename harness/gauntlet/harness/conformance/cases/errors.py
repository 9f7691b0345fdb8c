"""Errors: requests that are refused, and calls that are no calls."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from gauntlet.api import errors
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import expect, expect_that
from gauntlet.harness.conformance.talk import Talk
from google.protobuf.message import Message


def refusal(title: str, error: RpcError, make: Callable[[Talk], Message], since: str = "3.4") -> None:
    """Given: the key k with the value b"1"."""

    async def body(t: Talk) -> None:
        await t.put("k", "1")
        before = await t.revision()
        await t.refused(make(t), error)
        expect("revision after the refusal", await t.revision(), before)

    body.__name__ = title
    case("errors", since=since)(body)


refusal("range_without_key", errors.EMPTY_KEY, lambda t: pb.RangeRequest())
refusal("range_without_key_but_end", errors.EMPTY_KEY, lambda t: pb.RangeRequest(range_end=b"z"))
refusal("put_without_key", errors.EMPTY_KEY, lambda t: pb.PutRequest(value=b"1"))
refusal("delete_without_key", errors.EMPTY_KEY, lambda t: pb.DeleteRangeRequest())
refusal("delete_without_key_but_end", errors.EMPTY_KEY, lambda t: pb.DeleteRangeRequest(range_end=b"\0"))
refusal(
    "range_with_an_unknown_order",
    errors.INVALID_SORT_OPTION,
    lambda t: t.all(sort_order=9),
)
refusal(
    "range_with_an_unknown_sort_target",
    errors.INVALID_SORT_OPTION,
    lambda t: t.all(sort_target=9),
)
refusal(
    "put_with_value_and_ignore_value",
    errors.VALUE_PROVIDED,
    lambda t: pb.PutRequest(key=t.k("k"), value=b"2", ignore_value=True),
)
refusal(
    "put_with_lease_and_ignore_lease",
    errors.LEASE_PROVIDED,
    lambda t: pb.PutRequest(key=t.k("k"), lease=5, ignore_lease=True),
)
refusal(
    "put_ignoring_the_value_of_an_absent_key",
    errors.KEY_NOT_FOUND,
    lambda t: pb.PutRequest(key=t.k("none"), ignore_value=True),
)
refusal(
    "put_ignoring_the_lease_of_an_absent_key",
    errors.KEY_NOT_FOUND,
    lambda t: pb.PutRequest(key=t.k("none"), ignore_lease=True),
)
refusal("range_of_the_future", errors.FUTURE_REV, lambda t: t.range("k", revision=2**62))
refusal("compact_the_future", errors.FUTURE_REV, lambda t: pb.CompactionRequest(revision=2**62))
refusal("put_with_an_unknown_lease", errors.LEASE_NOT_FOUND, lambda t: pb.PutRequest(key=b"x", lease=4242))
refusal("put_with_a_negative_lease", errors.LEASE_NOT_FOUND, lambda t: pb.PutRequest(key=b"x", lease=-4242))
refusal("revoke_an_unknown_lease", errors.LEASE_NOT_FOUND, lambda t: pb.LeaseRevokeRequest(ID=4242))
refusal(
    "grant_for_too_long", errors.LEASE_TTL_TOO_LARGE, lambda t: pb.LeaseGrantRequest(ID=1, TTL=9_000_000_001)
)
refusal(
    "txn_with_an_empty_operation", errors.KEY_NOT_FOUND, lambda t: pb.TxnRequest(success=[pb.RequestOp()])
)
refusal(
    "value_provided_comes_before_key_not_found",
    errors.VALUE_PROVIDED,
    lambda t: pb.PutRequest(key=b"x", value=b"1", ignore_value=True),
)
refusal("empty_key_comes_first", errors.EMPTY_KEY, lambda t: pb.PutRequest(value=b"1", ignore_value=True))
refusal("bad_members_urls", errors.MEMBER_BAD_URLS, lambda t: pb.MemberAddRequest(peerURLs=["x://y"]))


# ---- metadata ----


@case("errors", since="3.4")
async def an_invalid_client_api_version_is_refused(t: Talk) -> None:
    t.client("/x").metadata = (("client-api-version", "nonsense"),)
    got = await t.outcome(t.range("k"), via="/x")
    expect_that(
        "answer",
        not isinstance(got, RpcError) or got == errors.INVALID_CLIENT_API_VERSION,
        "none or that error",
        got,
    )


@case("errors")
async def any_client_api_version_is_taken(t: Talk) -> None:
    t.client("/x").metadata = (("client-api-version", "3.99"),)
    await t.get("k", via="/x")


@case("errors")
async def asking_for_a_leader_is_fine_when_there_is_one(t: Talk) -> None:
    t.client("/x").metadata = (("hasleader", "true"),)
    await t.get("k", via="/x")
    watcher = await t.watch("k", via="/x")
    await t.put("k", "1")
    expect("value", (await watcher.event()).kv.value, b"1")


@case("errors")
async def a_token_without_authentication_is_ignored(t: Talk) -> None:
    t.client("/x").token = "nonsense"  # noqa: S105 - no secret
    await t.get("k", via="/x")


# ---- calls that are no calls ----


async def raw(t: Talk, path: str, data: bytes) -> RpcError | bytes:
    """Bytes to a path, whatever they are."""
    async with grpc.aio.insecure_channel(t.address()) as channel:
        try:
            return bytes(await channel.unary_unary(path)(data, timeout=5))
        except grpc.aio.AioRpcError as error:
            return RpcError(Code(error.code().value[0]), error.details() or "")


@case("errors")
async def an_unknown_method_is_not_implemented(t: Talk) -> None:
    got = await raw(t, "/etcdserverpb.KV/Nonsense", b"")
    expect("error", got, RpcError(Code.UNIMPLEMENTED, "unknown method Nonsense for service etcdserverpb.KV"))


@case("errors")
async def an_unknown_service_is_not_implemented(t: Talk) -> None:
    got = await raw(t, "/nonsense.Service/Method", b"")
    expect("error", got, RpcError(Code.UNIMPLEMENTED, "unknown service nonsense.Service"))


@case("errors", since="3.5")
async def a_malformed_path_is_not_implemented(t: Talk) -> None:
    """The gRPC library of 3.4 says RESOURCE_EXHAUSTED."""
    got = await raw(t, "/nonsense", b"")
    expect_that("error", isinstance(got, RpcError) and got.code is Code.UNIMPLEMENTED, "UNIMPLEMENTED", got)


@case("errors")
async def bytes_that_are_no_message_are_refused(t: Talk) -> None:
    got = await raw(t, "/etcdserverpb.KV/Range", b"\xff\xff\xff")
    expect_that("error", isinstance(got, RpcError), "an error", got)
    assert isinstance(got, RpcError)
    expect("code", got.code, Code.INTERNAL)
    start = "grpc: error unmarshalling request: "
    expect_that("message", got.message.startswith(start), f"{start!r}...", got.message)


@case("errors")
async def unknown_fields_are_ignored(t: Talk) -> None:
    request = t.range("k").SerializeToString() + b"\xf8\x7f\x01"
    got = await raw(t, "/etcdserverpb.KV/Range", request)
    expect_that("answer", isinstance(got, bytes), "an answer", got)


@case("errors")
async def the_last_of_repeated_scalars_wins(t: Talk) -> None:
    await t.put("a", "1")
    request = pb.RangeRequest(key=b"x").SerializeToString() + t.range("a").SerializeToString()
    got = await raw(t, "/etcdserverpb.KV/Range", request)
    expect_that("answer", isinstance(got, bytes), "an answer", got)
    assert isinstance(got, bytes)
    expect("count", pb.RangeResponse.FromString(got).count, 1)


@case("errors", since="3.4", until="3.7")
async def range_stream_is_not_implemented(t: Talk) -> None:
    got = await raw(t, "/etcdserverpb.KV/RangeStream", b"")
    expect(
        "error", got, RpcError(Code.UNIMPLEMENTED, "unknown method RangeStream for service etcdserverpb.KV")
    )
