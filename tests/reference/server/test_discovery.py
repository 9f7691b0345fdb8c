"""--discovery-token: new clusters out of another cluster, ours and real etcd's in any mixture."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from gauntlet.reference import membership
from gauntlet.reference.server.config import Config, build
from gauntlet.reference.server.config_file import read_config_file
from gauntlet.reference.server.discovery import Discovery, DiscoveryError, Found, ServiceError
from gauntlet.reference.server.flags import UsageError, parse
from gauntlet.reference.server.log import Logger

TOKEN = "t0ken"
ROOT = f"/_etcd/registry/{TOKEN}"
SECONDS = 60.0


def flags(*more: str) -> list[str]:
    return ["--discovery-token", TOKEN, "--discovery-endpoints", "http://127.0.0.1:1", *more]


class Registry:
    """A discovery service in memory, with failures to come first."""

    def __init__(self, size: str | None, *members: tuple[str, str], failures: int = 0) -> None:
        self.keys = {} if size is None else {f"{ROOT}/_config/size": (size, 1)}
        self.revision = 1
        self.failures = failures
        self.later: list[tuple[str, str]] = []
        for key, value in members:
            self._write(key, value)

    def _write(self, member: str, value: str) -> Found:
        self.revision += 1
        key = member if member.startswith("/") else f"{ROOT}/members/{member}"
        created = self.keys[key][1] if key in self.keys else self.revision
        self.keys[key] = (value, created)
        return Found(key, value, created)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceError("down")

    async def get(self, key: str, *, prefix: bool = False) -> tuple[list[Found], int]:
        self._fail()
        found = [
            Found(name, *held)
            for name, held in sorted(self.keys.items())
            if name == key or (prefix and name.startswith(key))
        ]
        return found, self.revision

    async def put(self, key: str, value: str) -> None:
        self._fail()
        self._write(key, value)

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[list[Found]]:
        self._fail()
        for key, value in self.later:
            yield [self._write(key, value)]

    async def close(self) -> None:
        return


def own(name: str = "me") -> Config:
    return build(parse(flags("--name", name), {}))


def join(registry: Registry, config: Config | None = None) -> tuple[str, list[float]]:
    """What discovery names, and how long it paused."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    quiet = Logger("fatal", ("stderr",), "json", None)
    discovery = Discovery(registry, TOKEN, config or own(), quiet, sleep)
    return asyncio.run(discovery.join()), pauses


def own_key() -> str:
    return f"{membership.member_id(['http://localhost:2380'], TOKEN):x}"


def test_the_first_to_write_are_the_members() -> None:
    registry = Registry("3", ("b", "b=http://b:1"))
    registry.later = [("c", "no url"), ("b", "b=http://again:1"), ("a", "a=http://a:1,a=http://a:2")]
    assert join(registry) == ("b=http://b:1,me=http://localhost:2380,a=http://a:1,a=http://a:2", [])
    assert registry.keys[f"{ROOT}/members/{own_key()}"][0] == "me=http://localhost:2380"


def test_too_many_at_once_are_cut_by_who_was_first() -> None:
    registry = Registry("2")
    registry.later = [("z", "z=http://z:1"), ("a", "a=http://a:1")]
    assert join(registry)[0] == "me=http://localhost:2380,z=http://z:1"


def test_who_has_written_before_is_still_a_member() -> None:
    registry = Registry("2", (own_key(), "me=http://localhost:2380"), ("b", "b=http://b:1"))
    assert join(registry)[0] == "me=http://localhost:2380,b=http://b:1"


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        (Registry(None), "discovery: size key not found"),
        (Registry("many"), "discovery: size key is bad"),
        (Registry("0"), "discovery: size key is bad"),
        (Registry("1", ("b", "b=http://b:1")), "discovery: cluster is full"),
        (Registry("2", ("b", "b=http://b:1"), ("c", "c=http://c:1")), "discovery: cluster is full"),
    ],
)
def test_what_ends_it(registry: Registry, words: str) -> None:
    with pytest.raises(DiscoveryError) as caught:
        join(registry)
    assert str(caught.value) == f"failed to join discovery cluster ({words})"
    assert f"{ROOT}/members/{own_key()}" not in registry.keys


def test_a_service_that_is_down_is_asked_again() -> None:
    assert join(Registry("1", failures=10)) == (
        "me=http://localhost:2380",
        [2, 4, 8, 16, 32, 64, 128, 256, 256, 256],
    )


def test_the_token_makes_the_ids() -> None:
    config = own()
    assert config.initial_cluster == {"me": ["http://localhost:2380"]}
    assert config.initial_cluster_token == TOKEN


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--discovery-token", "t"], "both --discovery-token and --discovery-endpoints must be set"),
        (["--discovery-endpoints", "a"], "both --discovery-token and --discovery-endpoints must be set"),
        (flags("--initial-cluster", "a=http://a:1"), "multiple discovery or bootstrap flags are set"),
        (flags("--discovery-srv", "x.test"), "multiple discovery or bootstrap flags are set"),
        (["--discovery-token=t", "--discovery-endpoints=a,,b"], "must not contain empty endpoints"),
        (flags("--discovery-fallback", "proxy"), '--discovery-fallback can\'t be configured as "proxy"'),
        (flags("--discovery-fallback", "other"), "'other' is none of exit, proxy"),
        (flags("--discovery-cert", "c"), "--discovery-cert and --discovery-key must be given together"),
    ],
)
def test_flags_that_do_not_go_together(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(parse(arguments, {}))
    assert words in str(caught.value)


def test_discovery_in_the_configuration_file(tmp_path: Path) -> None:
    path = tmp_path / "etcd.yaml"
    path.write_text(
        "name: m\ndiscovery-config:\n  token: tok\n  client:\n    endpoints: [http://a:1, http://b:1]\n"
        "    dial-timeout: 3000000000\n    secure: {cert: c, key: k, insecure-transport: false}\n"
        "    auth: {username: u, password: p}\n"
    )
    found = build(read_config_file(str(path))).more.discovery
    assert found is not None
    assert (found.endpoints, found.token, found.dial_timeout) == (("http://a:1", "http://b:1"), "tok", 3.0)
    assert (found.cert_file, found.key_file, found.insecure) == ("c", "k", False)
    assert (found.user, found.password) == ("u", "p")


# Processes.


class Members:
    """Members m1, m2 ... of a cluster to be discovered; `etcd` is the command of real ones."""

    def __init__(self, folder: Path, launch: Any, etcd: Path | None) -> None:
        self._folder = folder
        self._launch = launch
        self._etcd = etcd
        self._real: list[subprocess.Popen[bytes]] = []
        self.endpoints: list[str] = []

    def start(self, kind: str, ports: tuple[int, int], *discovery: str) -> Any:
        number = len(self.endpoints) + 1
        client, peer = (f"http://127.0.0.1:{port}" for port in ports)
        self.endpoints.append(client.removeprefix("http://"))
        arguments = [
            *("--name", f"m{number}", "--data-dir", str(self._folder / f"m{number}")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--unsafe-no-fsync", *discovery),
        ]
        if kind == "reference":
            return self._launch(*arguments)
        assert self._etcd is not None
        with (self._folder / f"real{number}.log").open("wb") as log:
            process = subprocess.Popen([str(self._etcd), *arguments], stdout=log, stderr=log)
        self._real.append(process)
        return process

    def names(self) -> list[str]:
        """Who is a member of the first one's cluster, by the pages that every etcd has."""
        curl = ["curl", "-s", "-m", "3", "-d", "{}", f"http://{self.endpoints[0]}/v3/cluster/member/list"]
        shown = json.loads(subprocess.run(curl, capture_output=True, check=False).stdout or b"{}")
        return sorted(member.get("name", "") for member in shown.get("members", ()))

    def stop(self) -> None:
        for process in self._real:
            process.kill()
            process.wait()


def set_key(endpoint: str, key: str, value: str) -> None:
    body = {
        "key": base64.b64encode(key.encode()).decode(),
        "value": base64.b64encode(value.encode()).decode(),
    }
    curl = ["curl", "-sf", "-m", "5", "-d", json.dumps(body), f"http://{endpoint}/v3/kv/put"]
    subprocess.run(curl, check=True, capture_output=True, timeout=20)


def discovered(
    service: str,
    kinds: list[str],
    tmp_path: Path,
    start_cluster: Any,
    launch: Any,
    ports: Any,
    wait_until: Any,
    etcd: Path | None = None,
) -> None:
    """A cluster of these kinds finds itself through a service of that kind; one too many is refused."""
    registry = start_cluster(service, ports(2)).endpoints[0]
    set_key(registry, f"{ROOT}/_config/size", str(len(kinds)))
    given = ("--discovery-token", TOKEN, "--discovery-endpoints", f"http://{registry}")
    members = Members(tmp_path, launch, etcd)
    taken = ports(2 * len(kinds) + 2)
    try:
        for number, kind in enumerate(kinds):
            members.start(kind, (taken[2 * number], taken[2 * number + 1]), *given)
        wanted = [f"m{number}" for number in range(1, len(kinds) + 1)]
        wait_until(partial(lambda: members.names() == wanted), SECONDS, "all members to be there")
        for endpoint in members.endpoints:
            set_key(endpoint, "key", "value")
        late = members.start("reference", (taken[-2], taken[-1]), *given)
        assert late.process.wait(SECONDS) == 1
        last = late.log.strip().splitlines()[-1]
        assert last == "gauntlet-etcd: failed to join discovery cluster (discovery: cluster is full)"
    finally:
        members.stop()


@pytest.mark.slow
def test_a_cluster_of_ours_through_a_member_of_ours(
    tmp_path: Path, start_cluster: Any, launch: Any, ports: Any, wait_until: Any
) -> None:
    discovered("reference", ["reference"] * 3, tmp_path, start_cluster, launch, ports, wait_until)


@pytest.mark.slow
@pytest.mark.upstream
@pytest.mark.parametrize("service", ["reference", "upstream"])
def test_a_mixed_cluster(
    service: str,
    tmp_path: Path,
    start_cluster: Any,
    launch: Any,
    ports: Any,
    wait_until: Any,
    upstream_folder: Path,
) -> None:
    kinds = ["upstream", "reference", "upstream"]
    etcd = upstream_folder / "etcd"
    discovered(service, kinds, tmp_path, start_cluster, launch, ports, wait_until, etcd)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["size", "size-bad", "nobody"])
def test_problems_as_one_line(
    problem: str, tmp_path: Path, start_cluster: Any, launch: Any, ports: Any, wait_until: Any
) -> None:
    registry = start_cluster("reference", ports(2)).endpoints[0]
    if problem == "size-bad":
        set_key(registry, f"{ROOT}/_config/size", "-1")
    (closed,) = ports(1)
    endpoint = f"http://127.0.0.1:{closed}" if problem == "nobody" else f"http://{registry}"
    given = ("--discovery-token", TOKEN, "--discovery-endpoints", endpoint)
    members = Members(tmp_path, launch, None)
    member = members.start("reference", ports(2), *given)
    if problem == "nobody":
        member.wait_for("retry connecting to discovery service")
        assert "UNAVAILABLE" in member.log
        return
    assert member.process.wait(SECONDS) == 1
    reason = "discovery: size key is bad" if problem == "size-bad" else "discovery: size key not found"
    last = member.log.strip().splitlines()[-1]
    assert last == f"gauntlet-etcd: failed to join discovery cluster ({reason})"


@pytest.mark.slow
@pytest.mark.parametrize("trust", ["cacert", "skip", "auto-tls"])
def test_tls_and_a_user(
    trust: str, tmp_path: Path, launch: Any, ports: Any, authority: Any, wait_until: Callable[..., None]
) -> None:
    """The service wants certificates, or shows one that nobody knows, or one it made; it knows its users."""
    pair = authority.sign("service")
    client, peer = ports(2)
    url, peer_url = f"https://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    wants = ("--client-cert-auth", "--trusted-ca-file", str(authority.file)) if trust == "cacert" else ()
    own = ["--cert-file", str(pair.cert), "--key-file", str(pair.key)]
    service = launch(
        *("--name", "service", "--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--unsafe-no-fsync"),
        *("--initial-cluster", f"service={peer_url}", "--bcrypt-cost", "4"),
        *(["--auto-tls"] if trust == "auto-tls" else own),
        *wants,
    )
    service.wait_for("ready to serve client requests")
    mine = authority.sign("somebody")
    identity = ["--cert", str(mine.cert), "--key", str(mine.key)] if wants else []

    def post(path: str, body: dict[str, Any], token: str = "") -> Any:
        curl = ["curl", "-sf", "-m", "5", "-k", *identity, "-H", f"Authorization: {token}"]
        done = subprocess.run(
            [*curl, "-d", json.dumps(body), f"{url}/v3/{path}"], capture_output=True, check=True, timeout=20
        )
        return json.loads(done.stdout)

    size = {"key": base64.b64encode(f"{ROOT}/_config/size".encode()).decode(), "value": "MQ=="}
    post("kv/put", size)
    post("auth/user/add", {"name": "root", "password": "secret"})
    post("auth/role/add", {"name": "root"})
    post("auth/user/grant", {"user": "root", "role": "root"})
    post("auth/enable", {})
    given = ["--discovery-token", TOKEN, "--discovery-endpoints", url, "--discovery-user", "root"]
    if wants:
        given += ["--discovery-cacert", str(authority.file)]
        given += ["--discovery-cert", str(mine.cert), "--discovery-key", str(mine.key)]
    else:
        given += ["--discovery-insecure-skip-tls-verify"]
    members = Members(tmp_path, launch, None)
    refused = members.start("reference", ports(2), *given, "--discovery-password", "wrong")
    assert refused.process.wait(SECONDS) == 1
    assert "authentication failed, invalid user ID or password" in refused.log.strip().splitlines()[-1]
    alone = members.start("reference", ports(2), *given, "--discovery-password", "secret")
    alone.wait_for("ready to serve client requests")
