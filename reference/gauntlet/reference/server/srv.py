"""The first members of a cluster out of DNS: --discovery-srv.

Rules (etcd's srv package): `_etcd-server-ssl._tcp.DOMAIN` names members that speak https,
`_etcd-server._tcp.DOMAIN` those that speak http, with `-NAME` behind the service when --discovery-srv-name is
given; one of the two is enough. The record that has the address of one of this member's advertised URLs is
this member; the others are numbered. Only a member without a log asks.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from dns.rdtypes.IN.SRV import SRV
from gauntlet.reference.server.config import CONFLICT
from gauntlet.reference.server.flags import FLAGS, UsageError

LIFETIME = 10.0


def with_srv(given: Mapping[str, str], resolver: dns.resolver.Resolver | None = None) -> dict[str, str]:
    """`given` with the initial cluster that DNS names, if that is asked for; UsageError if it names none."""
    domain = given.get("discovery-srv", "")
    if not domain or _has_log(given):
        return dict(given)
    if given.get("initial-cluster") or given.get("discovery-endpoints"):
        raise UsageError(CONFLICT)
    name = given.get("name", FLAGS["name"].default)
    flag = "initial-advertise-peer-urls"
    advertised = given.get(flag, FLAGS[flag].default).split(",")
    asked = resolver or dns.resolver.Resolver()
    members: list[str] = []
    problems: list[str] = []
    for scheme, service in (("https", "etcd-server-ssl"), ("http", "etcd-server")):
        suffix = given.get("discovery-srv-name", "")
        full = f"{service}-{suffix}" if suffix else service
        try:
            members += _members(asked, scheme, full, domain, name, advertised)
        except UsageError as problem:
            problems.append(str(problem))
    if not members:
        raise UsageError("; ".join(problems))
    if not any(member.startswith(f"{name}=") for member in members):
        raise UsageError(f'cannot find local etcd member "{name}" in SRV records')
    return {**given, "initial-cluster": ",".join(members)}


def _members(
    resolver: dns.resolver.Resolver, scheme: str, service: str, domain: str, name: str, advertised: list[str]
) -> list[str]:
    """`name=url` for each record of a service; UsageError when none can be used."""
    prefix = f"error querying DNS SRV records for _{service}"
    try:
        answer = resolver.resolve(f"_{service}._tcp.{domain}", "SRV", lifetime=LIFETIME)
    except dns.exception.DNSException as error:
        raise UsageError(f"{prefix} {error}") from None
    own: dict[tuple[str, int], str] = {}
    for url in advertised:
        parts = urlsplit(url.strip())
        for address in _addresses(parts.hostname or ""):
            own[address, parts.port or 0] = url
    members, problem = [], "no usable record"
    records = sorted((r for r in answer if isinstance(r, SRV)), key=_order)
    number = 0
    for record in records:
        host = record.target.to_text().rstrip(".")
        addresses = _addresses(host)
        if not addresses:
            problem = f"lookup {host}: no such host"
            continue
        mine = next((own[a, record.port] for a in addresses if (a, record.port) in own), None)
        url = f"{scheme}://{host}:{record.port}"
        if mine is not None and urlsplit(mine).scheme != scheme:
            problem = (
                f"bootstrap at {url} from DNS for {service} has scheme mismatch with expected peer {mine}"
            )
            continue
        if mine is None:
            members.append(f"{number}={url}")
            number += 1
        else:
            members.append(f"{name}={url}")
    if not members:
        raise UsageError(f"{prefix} {problem}")
    return members


def _order(record: SRV) -> tuple[int, int, str, int]:
    return record.priority, -record.weight, record.target.to_text(), record.port


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(each[4][0]) for each in found]


def _has_log(given: Mapping[str, str]) -> bool:
    data = given.get("data-dir") or f"{given.get('name', FLAGS['name'].default)}.etcd"
    wal = given.get("wal-dir")
    return any((Path(wal) if wal else Path(data, "member", "wal")).glob("*.wal"))
