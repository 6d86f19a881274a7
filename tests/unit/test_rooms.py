"""The import rules that keep what is pure pure: data flows from topology to kernel, never back."""

import ast
import graphlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netlab

PACKAGE = Path(netlab.__file__).parent
LONGEST = 400  # lines of a file
# Which rooms a room may import besides itself. A file beside the rooms is one too.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "topology": {"errors"},
    "plan": {"errors", "topology", "daemons"},
    "daemons": set(),
    "registry": {"errors", "topology", "plan"},
    "dataplane": {"errors", "topology", "plan", "daemons", "registry"},
    "proxy": {"errors", "topology", "plan", "registry"},
    "loading": {"topology", "plan", "dataplane", "proxy"},
    "state": {"topology", "plan"},
    "status": {"topology", "plan"},
    "designing": {"errors", "topology", "plan", "loading", "state"},
    "kernel": {"errors", "topology", "plan", "state"},
    "probe": {"errors", "topology", "plan", "kernel"},
    "report": {"errors", "topology", "plan", "probe", "status"},
}
# Each of these may import all, but for those that come after it.
EVERYTHING = {
    "stored",
    "inside",
    "listening",
    "changing",
    "captures",
    "reaching",
    "capturing",
    "running",
    "making",
    "comparing",
    "hosts",
    "api",
    "pytest_plugin",
    "cli",
}
PURE = ("errors", "topology", "plan", "registry", "dataplane", "proxy", "loading", "state")
PURE += ("status", "designing")
PURE_PACKAGES = {"netlab", "msgspec", "ruamel", "yaml"}  # beside the standard library
# One file computes keys, which is arithmetic, and imports it only then.
ALSO_PURE = {"plan/wireguard.py": {"cryptography"}}
# Modules of the standard library by which a process touches the kernel, or another process.
IMPURE = {"asyncio", "ctypes", "fcntl", "multiprocessing", "select", "signal", "socket"}
IMPURE |= {"subprocess", "threading"}
# Reading topology files needs `os` for $NETLAB_TOPOLOGIES and the separator in it.
MAY_USE_OS = {"topology/loader.py"}

# An installed package holds the topologies too; they are a user's files and in no room.
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "_topologies" not in p.parts)
ROOM_FILES = [
    p for p in FILES if p.name not in ("__init__.py", "__main__.py") or p.parent != PACKAGE
]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def others_of(path: Path) -> set[str]:
    """The rooms that a file imports, its own aside."""
    parts = [module.split(".") for module in imports(path)]
    return {part[1] for part in parts if part[0] == "netlab"} - {room(path)}


def imports_of(tree: ast.AST) -> set[str]:
    """Modules that code imports: wherever it is, and what only type checkers import too."""
    return {module for node in ast.walk(tree) for module in _imported(node)}


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        # `from netlab import plan` imports netlab.plan.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(path: Path) -> set[str]:
    return imports_of(ast.parse(path.read_bytes()))


def module_of(path: Path) -> str:
    parts = ("netlab", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_there_is_something_to_check() -> None:
    assert {"topology", "plan", "dataplane"} <= {room(path) for path in ROOM_FILES}


@pytest.mark.parametrize("path", ROOM_FILES, ids=name)
def test_a_room_imports_only_what_it_may_know(path: Path) -> None:
    if room(path) not in EVERYTHING:
        assert others_of(path) <= MAY_IMPORT[room(path)]


def test_no_room_imports_one_that_imports_it() -> None:
    """What a type checker alone imports counts: it once made topology and plan one tangle."""
    uses: dict[str, set[str]] = {}
    for path in ROOM_FILES:
        uses.setdefault(room(path), set()).update(others_of(path))
    graphlib.TopologicalSorter(uses).prepare()  # raises CycleError, which names the rooms


def test_no_module_of_a_pure_room_imports_one_that_imports_it() -> None:
    modules = {module_of(path): path for path in ROOM_FILES if room(path) in PURE}
    uses = {}
    for module, path in modules.items():
        # `from a.b import c` is of a.b.c if that is a module, else of a.b.
        found = {m if m in modules else m.rpartition(".")[0] for m in imports(path)}
        uses[module] = (found & modules.keys()) - {module}
    graphlib.TopologicalSorter(uses).prepare()


@pytest.mark.parametrize("path", [path for path in ROOM_FILES if room(path) in PURE], ids=name)
def test_a_pure_room_touches_nothing(path: Path) -> None:
    used = {module.split(".")[0] for module in imports(path)} - PURE_PACKAGES
    used -= ALSO_PURE.get(name(path), set())
    assert used <= sys.stdlib_module_names, "pure rooms use the standard library and msgspec alone"
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
        ("if TYPE_CHECKING:\n    import scapy\nelse:\n    import ast", {"scapy", "ast"}),
        ("if x:\n    import scapy", {"scapy"}),
    ],
)
def test_the_check_sees_imports_wherever_they_are(source: str, expected: set[str]) -> None:
    assert imports_of(ast.parse(source)) == expected
