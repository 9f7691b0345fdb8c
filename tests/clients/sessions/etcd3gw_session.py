"""A session of etcd3gw, which talks JSON to the gateway: `python etcd3gw_session.py HOST:PORT`."""

from __future__ import annotations

import base64
from typing import Any

from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception
from transcript import address, fails, say

PATIENCE = 20


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def refused(what: str, act: Any) -> None:
    fails(what, act, Etcd3Exception)


def keys(client: Etcd3Client) -> None:
    for key in ("a", "ab", "b", "c", "a"):
        say("put", client.put(key, f"v-{key}"))
    say("get", client.get("a"), client.get("nothing"))
    found = client.get("a", metadata=True)
    say("metadata", [(value, meta["key"], meta["version"]) for value, meta in found])
    say("prefix", [(value, meta["key"]) for value, meta in client.get_prefix("a")])
    say("all", [value for value, _ in client.get_all(sort_order="descend", sort_target="mod")])
    say("create", client.create("new", "1"), client.create("new", "2"))
    say("replace", client.replace("b", "v-b", "new"), client.replace("b", "v-b", "newer"))
    say("delete", client.delete("c"), client.delete("c"), client.delete_prefix("a"))
    refused("put of no key", lambda: client.put("", "x"))
    body = {"key": encoded("x"), "value": encoded("x"), "lease": 12345}
    refused("put with no lease", lambda: client.post(client.get_url("/kv/put"), json=body))
    refused("no JSON", lambda: client.post(client.get_url("/kv/put"), data="{"))
    refused("nothing there", lambda: client.post(client.get_url("/kv/nothing"), json={}))


def transactions(client: Etcd3Client) -> None:
    compare = {"key": encoded("b"), "result": "EQUAL", "target": "VALUE", "value": encoded("new")}
    put = {"requestPut": {"key": encoded("t"), "value": encoded("1")}}
    read = {"requestRange": {"key": encoded("b")}}
    done = client.transaction({"compare": [compare], "success": [put, read], "failure": []})
    say("transaction", done["succeeded"], [sorted(answer) for answer in done["responses"]])
    compare["value"] = encoded("old")
    done = client.transaction({"compare": [compare], "success": [put], "failure": [read]})
    say("failed transaction", done.get("succeeded"), len(done["responses"]))
    refused("key twice", lambda: client.transaction({"compare": [], "success": [put, put], "failure": []}))


def leases(client: Etcd3Client) -> None:
    lease = client.lease(ttl=60)
    client.put("leased", "x", lease)
    say("lease", 50 < lease.ttl() <= 60, lease.keys(), lease.refresh())
    say("revoke", lease.revoke(), client.get("leased"))
    refused("revoke again", lease.revoke)
    with client.lock("name", ttl=30) as lock:
        say("lock", lock.is_acquired(), client.lock("name", ttl=30).acquire())
    say("released", lock.is_acquired())


def watches(client: Etcd3Client) -> None:
    events, cancel = client.watch_prefix("w/")
    client.put("w/1", "one")
    client.put("w/1", "two")
    client.delete("w/1")
    seen = [next(events) for _ in range(3)]
    cancel()
    say("watch", [(event.get("type"), event["kv"]["key"], event["kv"].get("value")) for event in seen])
    first = int(seen[0]["kv"]["mod_revision"])
    events, cancel = client.watch("w/1", start_revision=first)
    say("from the past", next(events)["kv"]["value"])
    cancel()


def main() -> None:
    host, port = address()
    client = Etcd3Client(host=host, port=port, timeout=PATIENCE)
    say("status", client.status()["version"], len(client.members()))
    for part in (keys, transactions, leases, watches):
        part(client)
    say("done")


main()
