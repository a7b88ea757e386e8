"""Who may import whom, and what no module may do. The table is the rule; docs/architecture.md draws it."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "builder"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each room and the rooms it may enter, from the bottom of the house to the top.
GROUND = "values errors oci events _native"
MAY_IMPORT = {
    "values": "",
    "errors": "values",
    "oci": "values errors",
    "events": "values errors oci",
    "graph": GROUND,
    "store": GROUND,
    "layers": GROUND,
    "sandbox": GROUND,
    "net": GROUND,
    "dockerfile": f"{GROUND} graph",
    "solver": f"{GROUND} graph",
    "snapshots": f"{GROUND} store layers sandbox",
    "registry": f"{GROUND} net store",
    "sources": f"{GROUND} net registry store layers sandbox snapshots dockerfile",
    "exporters": f"{GROUND} net registry store layers sandbox snapshots",
    "executor": f"{GROUND} graph store layers sandbox snapshots dockerfile solver sources",
    "request": GROUND + " exporters layers registry",
    "needs": f"{GROUND} request graph dockerfile sources",
    "planning": f"{GROUND} request needs graph net registry store dockerfile sources",
    "images": f"{GROUND} dockerfile sources",
    "packing": f"{GROUND} store layers snapshots executor",
    "announcing": f"{GROUND} planning dockerfile solver sources",
    "work": f"{GROUND} request planning images packing announcing graph store layers sandbox dockerfile solver "
    "snapshots sources executor",
    "building": f"{GROUND} request planning images work graph store layers dockerfile snapshots sources exporters "
    "executor",
    "locking": f"{GROUND} request needs planning store dockerfile sources",
    "copying": f"{GROUND} net registry store layers sources exporters",
    "bundling": f"{GROUND} request planning building graph registry store layers snapshots dockerfile sources "
    "exporters executor",
    "progress": "values errors events",
    "cli": f"{GROUND} progress request building locking bundling copying dockerfile net registry store layers sandbox "
    "sources exporters",
}

# Importing one of these costs a start more than the module that wants it does: they are imported where used.
HEAVY = {
    "argparse", "asyncio", "concurrent", "dataclasses", "datetime", "deflate", "importlib.metadata", "inspect",
    "logging", "pathlib", "random", "rich", "shutil", "subprocess", "tarfile", "tempfile", "typer",
    "urllib", "urllib3", "uuid", "zstandard",
}  # fmt: skip

# These are wholly about something heavy, and are therefore imported late themselves.
LATE = {
    "builder.cli.screens",
    "builder.exporters.archive",
    "builder.exporters.platforms",
    "builder.exporters.tarstream",
    "builder.progress.live",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def at_start_up(body: list[ast.stmt]) -> list[str]:
    """What importing the module imports: not what its functions do, nor what only the type checker sees."""
    names: list[str] = []
    for node in body:
        names += imported(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            names += at_start_up(node.body + node.orelse)
        if isinstance(node, ast.Try):
            names += at_start_up(node.body + node.orelse)
    return names


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


every_module = pytest.mark.parametrize("path", MODULES, ids=named)


@every_module
def test_rooms_import_only_what_the_table_allows(path: Path) -> None:
    if path.name in ("__init__.py", "__main__.py") and path.parent == PACKAGE:
        return
    allowed = {room(path), "__version__", *MAY_IMPORT[room(path)].split()}
    entered = {
        name.split(".")[1] for node in ast.walk(tree(path)) for name in imported(node) if name.startswith("builder.")
    }
    assert entered <= allowed


@every_module
def test_nothing_heavy_is_imported_at_start_up(path: Path) -> None:
    banned = set() if dotted(path) in LATE else LATE | HEAVY
    names = at_start_up(tree(path).body)
    assert not [name for name in names if any((name + ".").startswith(heavy + ".") for heavy in banned)]


@every_module
def test_urllib3_is_imported_as_a_whole(path: Path) -> None:
    """Two threads that import two modules of it at a time lock each other out, and one of them fails (Python 3.11)."""
    checked = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    for_types = {inner for node in checked for inner in ast.walk(node)}
    names = {
        name
        for node in ast.walk(tree(path))
        if node not in for_types
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else imported(node))
    }
    assert not {name for name in names if name.startswith("urllib3") and name != "urllib3"}


@every_module
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if room(path) == "cli":
        return
    calls = [ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not {"print", "exit", "quit", "sys.exit"} & set(calls)


@every_module
def test_no_archive_is_extracted_by_tarfile(path: Path) -> None:
    """Its filters have been bypassed on every Python we support; layers/ unpacks."""
    attributes = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert not {"extractall", "unpack_archive"} & attributes


@every_module
def test_a_module_is_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


@every_module
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))


def test_a_package_is_introduced_by_a_docstring_alone() -> None:
    """It says: turns X into Y; knows Z; must not know W. Only `builder` itself has code: the library face."""
    packages = [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]
    assert not [named(path) for path in packages if len(tree(path).body) != 1]


def test_the_table_names_every_room() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__", "__main__"}
    assert rooms <= set(MAY_IMPORT)


def test_importing_the_library_costs_nothing() -> None:
    """`import builder` loads no other module of ours: the face is resolved on first use."""
    program = "import sys, builder; print([name for name in sys.modules if name.startswith('builder.')])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
