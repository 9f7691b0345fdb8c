"""A session of etcd-sdk-python: `python pyetcd_session.py HOST:PORT [USER PASSWORD]`."""

from __future__ import annotations

import sys
import threading
from typing import Any

import grpc
import pyetcd
from pyetcd.exceptions import Etcd3Exception
from transcript import address, fails, say

PATIENCE = 20


class Refused(Exception):
    """An error of gRPC, as its details say it."""


def refused(what: str, act: Any) -> None:
    def tell() -> None:
        try:
            act()
        except grpc.RpcError as error:
            raise Refused(f"{error.code().name}: {error.details()}") from error

    fails(what, tell, Refused, Etcd3Exception)


def shown(found: Any) -> Any:
    value, meta = found
    return None if meta is None else (value, meta.key, meta.version, meta.lease_id != 0)


def keys(client: Any) -> None:
    for key in ("a", "ab", "b", "c"):
        client.put(key, f"v-{key}")
    say("put", client.put("a", "again", prev_kv=True).prev_kv.value)
    say("get", shown(client.get("a")), shown(client.get("nothing")))
    say("prefix", [shown(pair) for pair in client.get_prefix("a")])
    say("all", [shown(pair) for pair in client.get_all(sort_order="descend", sort_target="mod")])
    say("range", [shown(pair) for pair in client.get_range("ab", "c")])
    say("limit", client.get_range_response("a", "z", limit=2).more)
    say("if not there", client.put_if_not_exists("new", "1"), client.put_if_not_exists("new", "2"))
    say("replace", client.replace("b", "v-b", "new"), client.replace("b", "v-b", "newer"))
    say("delete", client.delete("c"), client.delete("c"), client.delete_prefix("a").deleted)
    refused("put of no key", lambda: client.put("", "x"))
    refused("put of too much", lambda: client.put("big", bytes(1_600_000)))
    refused("future", lambda: client.get("b", revision=100_000))


def transactions(client: Any) -> None:
    build = client.transactions
    done, answers = client.transaction(
        compare=[build.value("b") == "new", build.version("b") > 1],
        success=[build.put("t", "1"), build.get("b"), build.txn([], [build.delete("b")], [])],
        failure=[],
    )
    say("transaction", done, len(answers), [pair[0] for pair in answers[1]])
    done, answers = client.transaction([build.mod("t") == 0], [build.put("t", "3")], [build.get("t")])
    say("failed transaction", done, [pair[0] for pair in answers[0]])
    twice = [build.put("twice", "1"), build.put("twice", "2")]
    refused("key twice", lambda: client.transaction([], twice, []))


def leases(client: Any) -> None:
    lease = client.lease(60)
    client.put("leased", "x", lease=lease)
    say("lease", lease.ttl, lease.granted_ttl, list(lease.keys))
    say("refresh", [answer.TTL for answer in lease.refresh()])
    refused("lease twice", lambda: client.lease(60, lease_id=lease.id))
    lease.revoke()
    say("revoked", shown(client.get("leased")))
    refused("revoke again", lease.revoke)
    refused("put with no lease", lambda: client.put("x", "x", lease=12345))
    say("refresh of what is gone", [answer.TTL for answer in lease.refresh()])
    with client.lock("lock", ttl=30) as lock:
        say("lock", lock.is_acquired(), client.lock("lock", ttl=30).acquire(timeout=0))
    say("released", lock.is_acquired())


def watches(client: Any) -> None:
    first = client.put("w/1", "one").header.revision
    events, cancel = client.watch_prefix("w/", start_revision=first, prev_kv=True)
    client.put("w/1", "two")
    client.delete("w/1")
    client.put("w/2", "x")
    seen = [
        (type(event).__name__, event.key, event.value, event.prev_value, event.mod_revision - first)
        for _, event in zip(range(4), events, strict=False)
    ]
    cancel()
    say("watch", seen)
    timer = threading.Timer(0.2, client.put, ("w/once", "x"))
    timer.start()
    say("watch once", client.watch_once("w/once", timeout=PATIENCE).value)
    timer.join()
    client.compact(first + 2, physical=True)
    refused("compact again", lambda: client.compact(first + 2))
    refused("read of what was compacted", lambda: client.get("w/1", revision=first))
    answers, cancel = client.watch_response("w/1", start_revision=first)
    fails("watch of what was compacted", lambda: next(answers), Etcd3Exception, StopIteration, AttributeError)
    cancel()


def maintenance(client: Any) -> None:
    status = client.status()
    say("status", status.version, status.leader is not None)
    say("members", [(member.name, len(member.client_urls)) for member in client.members])
    say("alarms", list(client.list_alarms()))
    client.defragment()
    refused("remove nobody", lambda: client.remove_member(1234))


def of_user(host: str, port: int, user: str, password: str) -> None:
    """With authentication on: the user may read from a to b."""
    refused("wrong password", lambda: pyetcd.client(host, port, user=user, password="wrong"))
    refused("nobody", lambda: pyetcd.client(host, port, timeout=PATIENCE).get("a"))
    # The library offers a token over TLS only, as call credentials; over plain text it fails by itself.
    refused("somebody", lambda: pyetcd.client(host, port, user=user, password=password).get("a"))


def main() -> None:
    host, port = address()
    if sys.argv[2:]:
        of_user(host, port, *sys.argv[2:])
    else:
        client = pyetcd.client(host, port, timeout=PATIENCE)
        for part in (keys, transactions, leases, watches, maintenance):
            part(client)
        client.close()
    say("done")


main()
