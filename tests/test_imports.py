"""Imports point one way: who may know of whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from uptime.environment import BASE_DIR

# From the bottom to the top: a part may import those before it, and the floor.
PARTS = ["probe", "monitors", "incidents", "alerts", "statuspages"]
# The floor: what every part may stand on. All else in uptime/ is the roof, where parts are joined.
FLOOR = {
    "uptime.clock",
    "uptime.counters",
    "uptime.bell",
    "uptime.changes",
    "uptime.database",
    "uptime.environment",
    "uptime.errors",
    "uptime.ids",
    "uptime.models",
    "uptime.process",
    "uptime.secrets",
    "uptime.validation",
    "uptime.wall_clock",
}
# The edges of a part face people and programs: they call what they need, and nobody calls them.
EDGES = {
    "admin",
    "api",
    "export_views",
    "form_views",
    "forms",
    "overview_views",
    "paste_views",
    "ping_urls",
    "ping_views",
    "public_urls",
    "public_views",
    "result_views",
    "shapes",
    "subscription_views",
    "views",
}


def modules(part: str) -> Iterator[Path]:
    for path in sorted((BASE_DIR / part).rglob("*.py")):
        if "migrations" not in path.parts and path.stem not in EDGES:
            yield path


def imported(path: Path) -> set[str]:
    """The modules of ours that a module names, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {*PARTS, "accounts", "uptime"}
    return {name for name in found if name.split(".")[0] in ours}


def is_floor(name: str) -> bool:
    return name == "uptime" or any(name == one or name.startswith(f"{one}.") for one in FLOOR)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_knows_only_what_lies_below_it(part: str) -> None:
    below = {*PARTS[: PARTS.index(part) + 1]} | ({"accounts"} if part != "probe" else set())
    for path in modules(part):
        for name in imported(path):
            root = name.split(".")[0]
            allowed = root in below or (part != "probe" and is_floor(name))
            assert allowed, f"{path.relative_to(BASE_DIR)} imports {name}"


def test_the_prober_runs_without_django() -> None:
    """Import all of it in a fresh interpreter, and look what came along."""
    names = [
        ".".join(path.relative_to(BASE_DIR).with_suffix("").parts).removesuffix(".__init__")
        for path in modules("probe")
    ]
    program = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print([name for name in sys.modules if name.split(".")[0] in ("django", "uptime", "monitors")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BASE_DIR, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nobody_imports_an_edge() -> None:
    edges = {f"{part}.{edge}" for part in [*PARTS, "accounts"] for edge in EDGES}
    for part in PARTS:
        for path in modules(part):
            assert not imported(path) & edges, path.relative_to(BASE_DIR)


def test_the_floor_stands_on_nothing_of_ours() -> None:
    for name in FLOOR:
        path = BASE_DIR / f"{name.replace('.', '/')}.py"
        assert all(is_floor(one) for one in imported(path)), path
