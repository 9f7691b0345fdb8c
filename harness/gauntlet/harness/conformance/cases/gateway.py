"""The JSON gateway: POST /v3/..., bytes in base64, 64-bit numbers as strings, streams a line an answer."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.harness.conformance.case import case
from gauntlet.harness.conformance.expect import Mismatch, expect, expect_in, expect_that
from gauntlet.harness.conformance.http1 import HttpAnswer, HttpCall
from gauntlet.harness.conformance.talk import Talk


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def ask(t: Talk, path: str, body: Any) -> HttpAnswer:
    return await t.http("POST", path, json.dumps(body).encode())


async def post(t: Talk, path: str, body: Any) -> Any:
    """The JSON of a good answer."""
    answer = await ask(t, path, body)
    if answer.status != 200:
        raise Mismatch(f"status of {path}", "200", f"{answer.status}: {answer.text}")
    expect("content-type", answer.headers.get("content-type"), "application/json")
    return answer.json()


@case("gateway")
async def put_and_range(t: Talk) -> None:
    put = await post(t, "/v3/kv/put", {"key": b64(t.k("a")), "value": b64(b"1")})
    expect("type of the revision", type(put["header"]["revision"]), str)
    answer = await post(t, "/v3/kv/range", {"key": b64(t.k("a"))})
    expect("count", answer["count"], "1")
    kv = answer["kvs"][0]
    expect("key", kv["key"], b64(t.k("a")))
    expect("value", kv["value"], b64(b"1"))
    expect("mod_revision", kv["mod_revision"], put["header"]["revision"])
    expect("version", kv["version"], "1")


@case("gateway")
async def what_the_gateway_puts_grpc_gets(t: Talk) -> None:
    await post(t, "/v3/kv/put", {"key": b64(t.k("a")), "value": b64(b"1")})
    expect("value", (await t.get("a")).kvs[0].value, b"1")


@case("gateway")
async def numbers_may_be_numbers_or_strings(t: Talk) -> None:
    for limit in (1, "1"):
        await t.put("a")
        await t.put("b")
        body = {"key": b64(t.prefix), "range_end": b64(t.after), "limit": limit}
        answer = await post(t, "/v3/kv/range", body)
        expect("pairs", len(answer["kvs"]), 1)
        expect("more", answer["more"], True)


@case("gateway")
async def enums_may_be_names_or_numbers(t: Talk) -> None:
    for name in "ab":
        await t.put(name)
    for order in ("DESCEND", 2):
        body = {"key": b64(t.prefix), "range_end": b64(t.after), "sort_order": order}
        answer = await post(t, "/v3/kv/range", body)
        expect("first key", answer["kvs"][0]["key"], b64(t.k("b")))


@case("gateway")
async def names_may_be_in_camel_case(t: Talk) -> None:
    await t.put("a", "1")
    answer = await post(t, "/v3/kv/put", {"key": b64(t.k("a")), "prevKv": True})
    expect("prev_kv", answer["prev_kv"]["value"], b64(b"1"))


@case("gateway")
async def unknown_fields_are_refused_or_ignored_as_they_always_were(t: Talk) -> None:
    """grpc-gateway ignores what it does not know."""
    answer = await ask(t, "/v3/kv/range", {"key": b64(t.k("a")), "nonsense": 1})
    expect("status", answer.status, 200)


@case("gateway", since="3.6")
async def url_safe_base64_is_understood(t: Talk) -> None:
    body = {"key": base64.urlsafe_b64encode(t.prefix + b"\xfb\xff").decode()}
    await post(t, "/v3/kv/put", body)
    expect("count", (await t.get(t.prefix + b"\xfb\xff")).count, 1)


@case("gateway")
async def delete_range(t: Talk) -> None:
    await t.put("a", "1")
    answer = await post(t, "/v3/kv/deleterange", {"key": b64(t.k("a")), "prev_kv": True})
    expect("deleted", answer["deleted"], "1")
    expect("prev_kvs", answer["prev_kvs"][0]["value"], b64(b"1"))


@case("gateway")
async def txn(t: Talk) -> None:
    await t.put("a", "1")
    body = {
        "compare": [{"key": b64(t.k("a")), "target": "VALUE", "value": b64(b"1")}],
        "success": [{"request_put": {"key": b64(t.k("a")), "value": b64(b"2")}}],
        "failure": [{"request_range": {"key": b64(t.k("a"))}}],
    }
    answer = await post(t, "/v3/kv/txn", body)
    expect("succeeded", answer.get("succeeded"), True)
    expect("response", list(answer["responses"][0]), ["response_put"])
    answer = await post(t, "/v3/kv/txn", body)
    expect("value seen", answer["responses"][0]["response_range"]["kvs"][0]["value"], b64(b"2"))


@case("gateway")
async def compaction(t: Talk) -> None:
    revision = (await t.put("a")).header.revision
    await post(t, "/v3/kv/compaction", {"revision": str(revision)})
    answer = await ask(t, "/v3/kv/compaction", {"revision": str(revision)})
    expect("status", answer.status, 400)


@case("gateway")
async def lease_calls(t: Talk) -> None:
    lease = t.new_lease()
    answer = await post(t, "/v3/lease/grant", {"ID": lease, "TTL": 60})
    expect("ID", answer["ID"], str(lease))
    expect("TTL", answer["TTL"], "60")
    await t.put("a", lease=lease)
    answer = await post(t, "/v3/lease/timetolive", {"ID": lease, "keys": True})
    expect("grantedTTL", answer["grantedTTL"], "60")
    expect("keys", answer["keys"], [b64(t.k("a"))])
    listed = (await post(t, "/v3/lease/leases", {}))["leases"]
    expect_that("leases", str(lease) in [item["ID"] for item in listed], "ours among them", listed)
    await post(t, "/v3/lease/revoke", {"ID": lease})
    expect("count", (await t.get("a")).count, 0)


@case("gateway")
async def lease_calls_under_their_old_paths(t: Talk) -> None:
    lease = await t.grant()
    await post(t, "/v3/kv/lease/timetolive", {"ID": lease})
    await post(t, "/v3/kv/lease/leases", {})
    await post(t, "/v3/kv/lease/revoke", {"ID": lease})


@case("gateway")
async def lease_keep_alive_is_a_stream(t: Talk) -> None:
    lease = await t.grant(60)
    async with await t.http_stream("/v3/lease/keepalive", json.dumps({"ID": lease}).encode()) as call:
        expect("status", (await call.head()).status, 200)
        result = json.loads(await call.line())["result"]
        expect("TTL", result["TTL"], "60")


@case("gateway")
async def maintenance_status(t: Talk) -> None:
    answer = await post(t, "/v3/maintenance/status", {})
    expect("leader", answer["leader"], answer["header"]["member_id"])


@case("gateway")
async def maintenance_hash(t: Talk) -> None:
    answer = await post(t, "/v3/maintenance/hashkv", {})
    plain = await t.call(pb.HashKVRequest())
    expect("hash", answer["hash"], plain.hash)


@case("gateway")
async def maintenance_alarm(t: Talk) -> None:
    answer = await post(t, "/v3/maintenance/alarm", {"action": "GET"})
    expect("alarms", answer.get("alarms", []), [])


@case("gateway")
async def maintenance_snapshot_is_a_stream(t: Talk) -> None:
    async with await t.http_stream("/v3/maintenance/snapshot", b"{}") as call:
        expect("status", (await call.head()).status, 200)
        sizes = []
        while line := await call.line():
            sizes.append(len(base64.b64decode(json.loads(line)["result"].get("blob", ""))))
    expect("last blob", sizes[-1], 32)
    expect_that("pieces", len(sizes) > 1, "more than one", len(sizes))


@case("gateway")
async def member_list(t: Talk) -> None:
    answer = await post(t, "/v3/cluster/member/list", {})
    plain = await t.call(pb.MemberListRequest())
    expect(
        "IDs", [member["ID"] for member in answer["members"]], [str(member.ID) for member in plain.members]
    )
    expect("peerURLs", answer["members"][0]["peerURLs"], list(plain.members[0].peerURLs))


@case("gateway", since="3.5", group="auth", flags=("--bcrypt-cost=4",))
async def auth_calls(t: Talk) -> None:
    await post(t, "/v3/auth/user/add", {"name": "u", "password": "p"})
    await post(t, "/v3/auth/role/add", {"name": "r"})
    perm = {"permType": "READWRITE", "key": b64(b"a"), "range_end": b64(b"b")}
    await post(t, "/v3/auth/role/grant", {"name": "r", "perm": perm})
    await post(t, "/v3/auth/user/grant", {"user": "u", "role": "r"})
    expect("users", (await post(t, "/v3/auth/user/list", {}))["users"], ["u"])
    expect("roles", (await post(t, "/v3/auth/role/list", {}))["roles"], ["r"])
    expect("roles of u", (await post(t, "/v3/auth/user/get", {"name": "u"}))["roles"], ["r"])
    got = (await post(t, "/v3/auth/role/get", {"role": "r"}))["perm"][0]
    expect("permission", got, perm)
    await post(t, "/v3/auth/user/changepw", {"name": "u", "password": "q"})
    await post(t, "/v3/auth/user/revoke", {"name": "u", "role": "r"})
    revoked = {"role": "r", "key": b64(b"a"), "range_end": b64(b"b")}
    await post(t, "/v3/auth/role/revoke", revoked)
    await post(t, "/v3/auth/user/delete", {"name": "u"})
    await post(t, "/v3/auth/role/delete", {"role": "r"})
    await post(t, "/v3/auth/status", {})


@case("gateway")
async def lock_and_unlock(t: Talk) -> None:
    lease = await t.grant()
    answer = await post(t, "/v3/lock/lock", {"name": b64(t.k("l")), "lease": lease})
    key = base64.b64decode(answer["key"])
    expect("key", key, t.k("l") + f"/{lease:x}".encode())
    await post(t, "/v3/lock/unlock", {"key": answer["key"]})
    expect("count", (await t.get(key)).count, 0)


@case("gateway")
async def election_calls(t: Talk) -> None:
    lease = await t.grant()
    body = {"name": b64(t.k("e")), "lease": lease, "value": b64(b"1")}
    leader = (await post(t, "/v3/election/campaign", body))["leader"]
    expect("lease", leader["lease"], str(lease))
    await post(t, "/v3/election/proclaim", {"leader": leader, "value": b64(b"2")})
    answer = await post(t, "/v3/election/leader", {"name": b64(t.k("e"))})
    expect("value", answer["kv"]["value"], b64(b"2"))
    await post(t, "/v3/election/resign", {"leader": leader})


# ---- watch ----


async def watch_line(call: HttpCall) -> Any:
    async with asyncio.timeout(8):
        return json.loads(await call.line())["result"]


@case("gateway")
async def watch_is_a_stream(t: Talk) -> None:
    body = json.dumps({"create_request": {"key": b64(t.k("a"))}}).encode()
    async with await t.http_stream("/v3/watch", body) as call:
        expect("status", (await call.head()).status, 200)
        expect("created", (await watch_line(call)).get("created"), True)
        await t.put("a", "1")
        event = (await watch_line(call))["events"][0]
        expect("key", event["kv"]["key"], b64(t.k("a")))
        expect("value", event["kv"]["value"], b64(b"1"))
        await t.delete("a")
        expect("type", (await watch_line(call))["events"][0]["type"], "DELETE")


@case("gateway")
async def watch_takes_the_flat_form_of_history(t: Talk) -> None:
    revision = (await t.put("a", "1")).header.revision
    request = {"key": b64(t.k("a")), "start_revision": str(revision)}
    body = json.dumps({"create_request": request}).encode()
    async with await t.http_stream("/v3/watch", body) as call:
        await call.head()
        await watch_line(call)
        expect("value", (await watch_line(call))["events"][0]["kv"]["value"], b64(b"1"))


# ---- errors ----


@case("gateway")
async def an_error_has_code_and_message(t: Talk) -> None:
    answer = await ask(t, "/v3/kv/put", {})
    expect("status", answer.status, 400)
    body = answer.json()
    expect("code", body["code"], 3)
    expect("message", body["message"], "etcdserver: key is not provided")


def status(title: str, code: int, path: str, body: Any, number: int, since: str = "3.4") -> None:
    async def run(t: Talk) -> None:
        answer = await ask(t, path, body)
        expect("status", answer.status, code)
        expect("code", answer.json()["code"], number)

    run.__name__ = f"status_of_{title}"
    case("gateway", since=since)(run)


status("future_revision", 400, "/v3/kv/range", {"key": "YQ==", "revision": "9000000000"}, 11)
status("unknown_lease", 404, "/v3/lease/revoke", {"ID": 999_999_999}, 5)
status("unknown_user", 400, "/v3/auth/user/get", {"name": "nobody"}, 9, "3.5")  # 3.4's gateway said 412
status("bad_base64", 400, "/v3/kv/range", {"key": "%%%"}, 3)
status("a_number_where_text_belongs", 400, "/v3/kv/range", {"key": 5}, 3)
status("a_text_where_a_number_belongs", 400, "/v3/kv/range", {"key": "YQ==", "limit": "x"}, 3)


@case("gateway")
async def status_of_broken_json(t: Talk) -> None:
    answer = await t.http("POST", "/v3/kv/range", b'{"key":')
    expect("status", answer.status, 400)
    expect("code", answer.json()["code"], 3)


@case("gateway")
async def an_empty_body_is_an_empty_request(t: Talk) -> None:
    answer = await t.http("POST", "/v3/maintenance/status", b"")
    expect("status", answer.status, 200)


@case("gateway")
async def an_unknown_path_is_not_found(t: Talk) -> None:
    expect("status", (await ask(t, "/v3/kv/nonsense", {})).status, 404)


@case("gateway")
async def get_is_not_the_method(t: Talk) -> None:
    answer = await t.http("GET", "/v3/kv/range")
    expect_in("status", answer.status, (405, 501))


@case("gateway", since="3.7")
async def zero_values_are_left_out(t: Talk) -> None:
    body = await post(t, "/v3/kv/range", {"key": b64(t.k("none"))})
    expect("fields", sorted(body), ["header"])


@case("gateway", compared=False)
async def requests_share_a_connection_with_nobody(t: Talk) -> None:
    """Many at once, each on its own connection."""
    answers = await asyncio.gather(*(ask(t, "/v3/kv/put", {"key": b64(t.k(f"{n}"))}) for n in range(20)))
    expect("statuses", {answer.status for answer in answers}, {200})
    expect("count", (await t.call(t.all(count_only=True))).count, 20)
