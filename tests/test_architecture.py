"""The import arrows of docs/architecture.md, and the rule that PURE code touches nothing of the world."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
ROOTS = ["api", "reference", "harness", "workloads", "checkers"]
WORLD = {"asyncio", "socket", "time", "random", "os", "threading", "subprocess", "select", "ssl"}

# Packages (or modules) that may import nothing of the world.
PURE = [
    "porcupine",
    "gauntlet.checkers",
    "gauntlet.reference.raft",
    "gauntlet.reference.mvcc",
    "gauntlet.reference.formats",
    "gauntlet.reference.node",
    "gauntlet.reference.node_parts",
    "gauntlet.reference.proposals",
    "gauntlet.reference.leadership",
    "gauntlet.reference.lease_duty",
    "gauntlet.reference.reads",
    "gauntlet.reference.apply",
    "gauntlet.reference.apply_auth",
    "gauntlet.reference.auth",
    "gauntlet.reference.reconfigure",
    "gauntlet.reference.lease",
    "gauntlet.reference.membership",
    "gauntlet.reference.alarm",
    "gauntlet.reference.backend",
    "gauntlet.reference.ports",
    "gauntlet.reference.services",
]

# The one door of a PURE package: which module may import what of the world, and why.
DOORS = {
    "porcupine.kernel": {"os"},  # PORCUPINE_KERNEL chooses the search kernel
    "porcupine.__main__": {"time"},  # a command line, which lends the checker its clock
}

# Who may import whom among our own packages; everything not listed is forbidden.
ALLOWED: dict[str, tuple[str, ...]] = {
    "porcupine": ("porcupine",),
    "gauntlet.checkers": ("gauntlet.checkers", "porcupine"),
    "gauntlet.api": ("gauntlet.api",),
    "gauntlet.workloads": ("gauntlet.workloads", "gauntlet.checkers", "porcupine", "gauntlet.api"),
    "gauntlet.harness": (
        "gauntlet.harness",
        "gauntlet.workloads",
        "gauntlet.checkers",
        "porcupine",
        "gauntlet.api",
    ),
    "gauntlet.reference.formats": (
        "gauntlet.reference.formats",
        "gauntlet.reference.raft.types",
        "gauntlet.api",
    ),
    "gauntlet.reference.raft": ("gauntlet.reference.raft",),
    "gauntlet.reference.services": ("gauntlet.reference", "gauntlet.api"),
    "gauntlet.reference.server": ("gauntlet.reference", "gauntlet.api"),
    "gauntlet.reference": ("gauntlet.reference", "gauntlet.api"),
}

# Inside the node, the lower floors never look up.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "gauntlet.reference.mvcc": (
        "gauntlet.reference.node",
        "gauntlet.reference.apply",
        "gauntlet.reference.services",
        "gauntlet.reference.server",
    ),
    "gauntlet.reference.apply": (
        "gauntlet.reference.node",
        "gauntlet.reference.services",
        "gauntlet.reference.server",
    ),
    "gauntlet.reference.node": ("gauntlet.reference.services", "gauntlet.reference.server"),
    "gauntlet.reference.services": ("gauntlet.reference.server", "gauntlet.api.wire.server", "grpc"),
    "gauntlet.checkers": ("grpc",),
}


def modules() -> Iterator[tuple[str, Path]]:
    for root in ROOTS:
        for path in sorted((TOP / root).rglob("*.py")):
            relative = path.relative_to(TOP / root).with_suffix("")
            parts = [part for part in relative.parts if part != "__init__"]
            if parts and parts[0] in ("gauntlet", "porcupine"):
                yield ".".join(parts), path


MODULES = list(modules())


def imports(name: str, path: Path) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(package[: len(package) - node.level + 1] + ([base] if base else []))
            found.update(f"{base}.{alias.name}" for alias in node.names)
            found.add(base)
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def longest(name: str, table: dict[str, tuple[str, ...]]) -> str | None:
    return max((key for key in table if within(name, key)), key=len, default=None)


def test_there_is_something_to_check() -> None:
    names = {name for name, _ in MODULES}
    assert len(names) > 30
    assert {"gauntlet.reference.node", "porcupine.search", "gauntlet.harness.run"} <= names


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_import_arrows(name: str, path: Path) -> None:
    ours = {found for found in imports(name, path) if within(found, "gauntlet") or within(found, "porcupine")}
    owner = longest(name, ALLOWED)
    assert owner is not None, f"{name} belongs to no root"
    for found in sorted(ours - {"gauntlet"}):
        assert any(within(found, allowed) for allowed in ALLOWED[owner]), f"{name} must not import {found}"
    for key, forbidden in FORBIDDEN.items():
        if within(name, key):
            for found in sorted(imports(name, path)):
                assert not any(within(found, bad) for bad in forbidden), f"{name} must not import {found}"


@pytest.mark.parametrize(
    ("name", "path"), [(n, p) for n, p in MODULES if any(within(n, pure) for pure in PURE)]
)
def test_pure_code_touches_nothing_of_the_world(name: str, path: Path) -> None:
    roots = {found.split(".")[0] for found in imports(name, path)} - DOORS.get(name, set())
    assert not roots & WORLD, f"{name} is PURE and must not import {sorted(roots & WORLD)}"


def test_the_namespace_has_no_init() -> None:
    assert not [root for root in ROOTS if (TOP / root / "gauntlet" / "__init__.py").exists()]
