"""The import rules that keep what is pure pure: data flows from topology to kernel, never back."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netlab

PACKAGE = Path(netlab.__file__).parent
LONGEST = 400  # lines of a file
# Which rooms a room may import besides itself and netlab.errors.
MAY_IMPORT = {
    "topology": set(),
    "plan": {"topology"},
    "dataplane": {"topology", "plan"},
    "proxy": {"topology", "plan"},
    "kernel": {"plan", "topology"},
    "probe": {"plan", "kernel", "topology"},
    "hosts": {"plan", "kernel", "probe", "topology"},
    "report": {"plan", "probe", "topology"},
}
PURE = ("topology", "plan", "dataplane", "proxy")
# Modules of the standard library by which a process touches the kernel, or another process.
IMPURE = {"asyncio", "ctypes", "fcntl", "multiprocessing", "select", "signal", "socket"}
IMPURE |= {"subprocess", "threading"}
# Reading topology files needs `os` for $NETLAB_TOPOLOGIES and the separator in it.
MAY_USE_OS = {"topology/loader.py"}

# An installed package holds the topologies too; they are a user's files and in no room.
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "_topologies" not in p.parts)
ROOM_FILES = [path for path in FILES if path.parent != PACKAGE]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def _imports(node: ast.AST) -> Iterator[str]:
    """Modules that code imports. What only type checkers import is left out: it never runs."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        # `from netlab import plan` imports netlab.plan.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in children:
        yield from _imports(child)


def imports(path: Path) -> set[str]:
    return set(_imports(ast.parse(path.read_bytes())))


def test_there_is_something_to_check() -> None:
    assert {"topology", "plan", "dataplane"} <= {room(path) for path in ROOM_FILES}


@pytest.mark.parametrize("path", ROOM_FILES, ids=name)
def test_a_room_imports_only_what_it_may_know(path: Path) -> None:
    own = room(path)
    if own == "cli":
        return
    allowed = MAY_IMPORT[own] | {own, "errors"}
    parts = [module.split(".") for module in imports(path)]
    used = {part[1] for part in parts if part[0] == "netlab"}
    assert used <= allowed


@pytest.mark.parametrize("path", [path for path in ROOM_FILES if room(path) in PURE], ids=name)
def test_a_pure_room_touches_nothing(path: Path) -> None:
    used = {module.split(".")[0] for module in imports(path)} - {"netlab"}
    assert used <= sys.stdlib_module_names, "pure rooms use the standard library alone"
    assert not used & IMPURE
    assert "os" not in used or name(path) in MAY_USE_OS


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import socket", {"socket"}),
        ("def f():\n    from netlab.kernel import lab", {"netlab.kernel.lab"}),
        ("from netlab import kernel", {"netlab.kernel"}),
        ("if TYPE_CHECKING:\n    import scapy\nelse:\n    import ast", {"ast"}),
        ("if x:\n    import scapy", {"scapy"}),
    ],
)
def test_the_check_sees_imports_wherever_they_are(source: str, expected: set[str]) -> None:
    assert set(_imports(ast.parse(source))) == expected
