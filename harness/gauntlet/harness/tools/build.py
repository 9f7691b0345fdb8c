"""Builds upstream programs through Go's module proxy into the cache.

`go install module@version` refuses modules with replace directives, and etcd has them; so etcd is built from
a wrapper module of our own that requires it. Toxiproxy and h2spec install directly.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from gauntlet.harness.tools.cache import ToolError, building, cached

Say = Callable[[str], None]

TOXIPROXY_VERSION = "2.12.0"
H2SPEC_VERSION = "2.2.1"
BENCHMARK_VERSION = "3.7.1"

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?")
_ETCD_PARTS = {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}
_BUILD_SECONDS = 1200.0
# What Go, or the proxy behind it, says of a version that does not exist.
_NO_SUCH_VERSION = ("unknown revision", "no matching versions", "not available", "404 Not Found", "410 Gone")


def install(spec: str, say: Say) -> Path:
    """`etcd@VERSION`, or `toxiproxy`, `h2spec`, `benchmark` with or without a version: its program's path."""
    tool, _, version = spec.partition("@")
    if tool == "etcd":
        if not version:
            raise ToolError("which etcd? Say etcd@VERSION, e.g. etcd@3.7.1")
        return install_etcd(version, say)
    if tool == "toxiproxy":
        return install_toxiproxy(version or TOXIPROXY_VERSION, say)
    if tool == "h2spec":
        return install_h2spec(version or H2SPEC_VERSION, say)
    if tool == "benchmark":
        return install_benchmark(version or BENCHMARK_VERSION, say)
    raise ToolError(f"unknown tool {tool!r}; known are etcd@VERSION, toxiproxy, h2spec, benchmark")


def install_etcd(version: str, say: Say) -> Path:
    version = check_version(version)
    if (found := cached("etcd", version, "etcd")) is not None:
        say(f"etcd {version} is there already: {found}")
        return found
    if version.startswith(("2.", "3.0.", "3.1.", "3.2.", "3.3.", "3.4.")):
        raise ToolError(
            f"etcd {version} cannot be built: no module of it is served before 3.5. "
            "Give a binary with etcd:/path/to/etcd (Debian's package etcd-server is 3.4.23)"
        )
    modules = [f"go.etcd.io/etcd/{part}/v3" for part in _ETCD_PARTS.values()]
    packages = {program: f"go.etcd.io/etcd/{part}/v3" for program, part in _ETCD_PARTS.items()}
    return _build_in_wrapper("etcd", version, modules, packages, say)


def install_benchmark(version: str, say: Say) -> Path:
    """etcd's own load generator, of the release `version`."""
    version = check_version(version)
    if (found := cached("benchmark", version, "benchmark")) is not None:
        say(f"benchmark {version} is there already: {found}")
        return found
    package = "go.etcd.io/etcd/v3/tools/benchmark"
    return _build_in_wrapper("benchmark", version, ["go.etcd.io/etcd/v3"], {"benchmark": package}, say)


def _build_in_wrapper(
    tool: str, version: str, modules: list[str], packages: dict[str, str], say: Say
) -> Path:
    """Builds programs (name -> package) of modules that `go install` refuses, in a module of our own."""
    purpose = f"{tool} {version}"
    go = find_go(purpose)
    with building(tool, version) as folder, tempfile.TemporaryDirectory(prefix="gauntlet-build-") as work:
        module = Path(work)
        say(f"{purpose}: fetching the modules")
        _run([go, "mod", "init", "gauntlet.invalid/build"], module, purpose)
        _run([go, "get", *(f"{name}@v{version}" for name in modules)], module, purpose)
        for program, package in packages.items():
            say(f"{purpose}: building {program}")
            _run([go, "build", "-trimpath", "-o", str(folder / program), package], module, purpose)
    return _built(tool, version, tool, say)


def install_toxiproxy(version: str, say: Say) -> Path:
    module = "github.com/Shopify/toxiproxy/v2/cmd/server"
    return _install_program("toxiproxy", check_version(version), module, "server", "toxiproxy-server", say)


def install_h2spec(version: str, say: Say) -> Path:
    module = "github.com/summerwind/h2spec/cmd/h2spec"
    # Version 2 without a module of its own: Go asks for the suffix.
    return _install_program(
        "h2spec", check_version(version), module, "h2spec", "h2spec", say, "+incompatible"
    )


def check_version(version: str) -> str:
    version = version.removeprefix("v")
    if not _VERSION.fullmatch(version):
        raise ToolError(f"{version!r} is not a version; it looks like 3.7.1")
    return version


def find_go(purpose: str) -> str:
    found = shutil.which("go")
    if found is None:
        raise ToolError(f"building {purpose} needs Go, and there is no `go` on PATH")
    return found


def _install_program(
    tool: str, version: str, module: str, built: str, program: str, say: Say, suffix: str = ""
) -> Path:
    if (found := cached(tool, version, program)) is not None:
        say(f"{tool} {version} is there already: {found}")
        return found
    go = find_go(f"{tool} {version}")
    with building(tool, version) as folder, tempfile.TemporaryDirectory(prefix="gauntlet-build-") as work:
        say(f"{tool} {version}: building {program}")
        _run(
            [go, "install", "-trimpath", f"{module}@v{version}{suffix}"],
            Path(work),
            f"{tool} {version}",
            GOBIN=work,
        )
        shutil.move(Path(work) / built, folder / program)
    return _built(tool, version, program, say)


def _built(tool: str, version: str, program: str, say: Say) -> Path:
    found = cached(tool, version, program)
    if found is None:
        raise ToolError(f"{tool} {version} was built but {program} is not there")
    say(f"{tool} {version}: {found}")
    return found


def _run(command: list[str], folder: Path, purpose: str, **more: str) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", **more}
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"building {purpose} took longer than {_BUILD_SECONDS:.0f} s") from error
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error.strerror}") from error
    if result.returncode == 0:
        return
    text = result.stderr + result.stdout
    if any(words in text for words in _NO_SUCH_VERSION):
        raise ToolError(f"there is no {purpose}: the Go modules know no such version")
    lines = [line for line in text.splitlines() if line.strip()]
    raise ToolError(
        f"building {purpose} failed: {' '.join(command[:3])}: {lines[-1] if lines else 'no output'}"
    )
