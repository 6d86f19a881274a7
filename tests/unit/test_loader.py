"""Finding and running topology files: what they may hold, and every way in which one can fail."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netlab.dataplane import make
from netlab.errors import BadInput
from netlab.loading import load_topology
from netlab.topology.layout import lay_out
from netlab.topology.loader import available, load, summary

FUNCTION = '''\
"""A topology with options.

More words.
"""
from __future__ import annotations
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from netlab import Cluster, Node

if TYPE_CHECKING:
    from nowhere import Odd

GOT = {}

def topology(
    size: int,
    share: float = 0.5,
    wide: bool = False,
    names: Sequence[str] = (),
    ports: tuple[int, ...] = (),
    mode: Literal["always", "never"] = "never",
    limit: int | None = None,
    plain=3,
    bare=None,
    odd: Odd = None,
) -> Cluster:
    GOT.update(locals())
    return Cluster(nodes=[Node(name) for name in names] or size)
'''
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str, name: str = "mine.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder without topologies."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.delenv("NETLAB_TOPOLOGIES", raising=False)


def cluster_file(arguments: str = "") -> str:
    return f"from netlab import Cluster, Node, flannel\ntopology = Cluster({arguments})\n"


def failure(path: str, **settings: str) -> str:
    with pytest.raises(BadInput) as error:
        load_topology(path, settings={k.replace("__", "."): v for k, v in settings.items()})
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence[-1] in ".?"
    return sentence


def got(path: str, **settings: str) -> dict[str, object]:
    load(path, settings=settings)
    loaded = list(sys.modules.values())
    module = next(one for one in loaded if getattr(one, "__file__", None) == path)
    values: dict[str, object] = module.__dict__["GOT"]
    return values


def test_every_shipped_topology_has_a_summary_and_can_be_laid_out() -> None:
    shipped = available()
    flannel = {"flannel-vxlan", "flannel-host-gw", "flannel-vxlan-l3", "flannel-dual-stack"}
    assert {*flannel, "seed-example"} <= set(shipped)
    for name, path in shipped.items():
        assert summary(path)
        loaded = load_topology(name)
        assert loaded.name == name
        assert loaded.cluster.dataplane is loaded.dataplane
        assert lay_out(loaded.cluster).nodes


def test_own_folders_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "here" / "topologies"]
    for folder, names in zip(folders, (["a"], ["a", "b", "_c", ".d"], ["b", "e"]), strict=True):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.py").touch()
        (folder / "notes.txt").touch()
        (folder / "folder.py").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NETLAB_TOPOLOGIES", f"{folders[0]}:{folders[1]}:{tmp_path / 'none'}")
    found = available()
    assert (found["a"], found["b"]) == (folders[0] / "a.py", folders[1] / "b.py")
    assert found["e"].resolve() == folders[2] / "e.py"
    assert "flannel-vxlan" in found
    assert not {"_c", ".d", "notes", "folder"} & set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""One line."""', "One line."),
        ('"""\n  First.\n\nMore.\n"""', "First."),
        ("topology = 1", ""),
        ('"""Broken."""\n)', ""),
        ("raise SystemExit", ""),
    ],
)
def test_summary_never_runs_the_file(write: Write, text: str, expected: str) -> None:
    assert summary(Path(write(text))) == expected
    assert summary(Path("missing.py")) == ""


def test_a_cluster_by_path(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(cluster_file("nodes=4, dataplane='flannel-host-gw'"))
    loaded = load_topology(path, pods_per_node=7)
    assert (loaded.name, loaded.cluster.nodes, loaded.cluster.pods_per_node) == ("mine", 4, 7)
    assert loaded.dataplane == make("flannel-host-gw")
    monkeypatch.chdir(tmp_path)
    assert load_topology("mine.py", nodes=1).cluster.nodes == 1
    assert load_topology("./mine.py").cluster.nodes == 4
    assert not (tmp_path / "__pycache__").exists()


def test_a_changed_file_is_read_again(write: Write) -> None:
    assert load(write(cluster_file("nodes=1"))).nodes == 1
    assert load(write(cluster_file("nodes=2"))).nodes == 2


def test_options_of_a_function_get_their_types(write: Write) -> None:
    values = got(
        write(FUNCTION),
        size="4",
        share="0.25",
        wide="Yes",
        ports="80, 443",
        mode="always",
        limit="9",
        plain="5",
        bare="text",
    )
    assert values == {
        "size": 4,
        "share": 0.25,
        "wide": True,
        "names": (),
        "ports": (80, 443),
        "mode": "always",
        "limit": 9,
        "plain": 5,
        "bare": "text",
        "odd": None,
    }
    assert got(write(FUNCTION), size="1", names="a,b")["names"] == ["a", "b"]
    assert got(write(FUNCTION), size="1", wide="off")["wide"] is False


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "The topology mine needs --set size=…."),
        ({"size": "many"}, "The option size is a whole number, not 'many'."),
        ({"size": "1", "share": "half"}, "The option share is a number, not 'half'."),
        ({"size": "1", "wide": "maybe"}, "The option wide is true or false, not 'maybe'."),
        ({"size": "1", "ports": "80,x"}, "The option ports is a whole number, not 'x'."),
        ({"size": "1", "mode": "x"}, "The option mode is one of always, never, not 'x'."),
        (
            {"size": "1", "widee": "1"},
            "There is no option 'widee'; did you mean wide?",
        ),
        (
            {"size": "1", "underlay_mt": "1"},
            "There is no option 'underlay_mt'; did you mean underlay_mtu",
        ),
        (
            {"size": "1", "direct_routing": "1"},
            "There is no option 'direct_routing'; did you mean dataplane.direct_routing?",
        ),
        (
            {"size": "1", "dataplane__prot": "1"},
            "There is no option 'dataplane.prot'; did you mean dataplane.port or dataplane.mtu or "
            "dataplane.rules?",
        ),
        ({"size": "1", "dataplane__vni": "x"}, "The option dataplane.vni is a whole number, not"),
        ({"size": "1", "dataplane": "flanel"}, "There is no dataplane 'flanel'; did you mean"),
    ],
)
def test_what_a_user_sets_wrongly(write: Write, settings: dict[str, str], sentence: str) -> None:
    assert failure(write(FUNCTION), **settings).startswith(sentence)


def test_settings_of_every_cluster(write: Write) -> None:
    loaded = load_topology(
        write(FUNCTION),
        settings={
            "size": "5",
            "underlay": "10.1.0.0/24,10.2.0.0/24",
            "external": "no",
            "node_mask": "26",
            "dataplane": "flannel-vxlan",
            "dataplane.direct_routing": "true",
            "dataplane.vni": "9",
        },
    )
    cluster = loaded.cluster
    assert cluster.underlay == ("10.1.0.0/24", "10.2.0.0/24")
    assert (cluster.nodes, cluster.external, cluster.node_mask) == (5, False, 26)
    assert loaded.dataplane == make("flannel-vxlan", {"vni": 9, "direct_routing": True})
    assert load(write(cluster_file()), settings={"underlay": "10.1.0.0/24"}).underlay == (
        "10.1.0.0/24"
    )


def test_counts_go_to_the_function_that_has_them(write: Write) -> None:
    path = write(
        "from netlab import Cluster, Node\n"
        "def topology(nodes: int = 1):\n"
        "    return Cluster(nodes=[Node(f'n{k}') for k in range(nodes)])\n"
    )
    cluster = load(path, nodes=4, pods_per_node=1)
    assert not isinstance(cluster.nodes, int)
    assert [node.name for node in cluster.nodes] == ["n0", "n1", "n2", "n3"]
    assert cluster.pods_per_node == 1


def test_a_parameter_that_tells_no_type_has_that_of_the_cluster(write: Write) -> None:
    path = write(
        "from netlab import Cluster\n"
        "def topology(nodes, external=None, other='x'):\n"
        "    return Cluster(nodes=nodes, external=external)\n"
    )
    cluster = load(path, nodes=2, settings={"external": "no", "other": "y"})
    assert (cluster.nodes, cluster.external) == (2, False)


NOISY = """\
import os, sys
from netlab import Cluster

print("module", end="")
os.system("echo program of module")

def topology():
    print("function")
    os.write(1, b"descriptor\\n")
    sys.stdout = None
    return Cluster()
"""


def test_what_a_file_prints_goes_to_standard_error(
    write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(NOISY)
    load(path)
    print("document")
    shown = capfd.readouterr()
    assert shown.out == "document\n"
    for words in ("module", "program of module\n", "function\n", "descriptor\n"):
        assert words in shown.err


def test_a_file_may_print_where_there_is_no_standard_output(
    write: Write, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(NOISY)
    kept = os.dup(1)
    monkeypatch.setattr(sys, "stdout", None)  # as Python itself does then
    os.close(1)
    try:
        load(path)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert "program of module\n" in capfd.readouterr().err


def test_counts_without_effect_are_refused(write: Write) -> None:
    path = write(cluster_file("nodes=[Node('a', pods=1)]"))
    with pytest.raises(BadInput, match="names its nodes; their number cannot be set"):
        load(path, nodes=2)
    with pytest.raises(BadInput, match="gives each node its pods"):
        load(path, pods_per_node=2)
    assert load(write(cluster_file("nodes=[Node('a')]")), pods_per_node=5).pods_per_node == 5


def test_a_function_may_take_any_option(write: Write) -> None:
    path = write(
        "from netlab import Cluster\n"
        "def topology(**options):\n"
        "    return Cluster(cluster_cidr=options['net'])\n"
    )
    cluster = load(path, settings={"net": "10.9.0.0/16", "external": "off"}, nodes=2)
    assert (cluster.cluster_cidr, cluster.external, cluster.nodes) == ("10.9.0.0/16", False, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = (", "FILE line 1: '(' was never closed."),
        ("x = 1\n\n1/0", "FILE line 3 raised ZeroDivisionError: division by zero."),
        ("import sys\nsys.exit(3)", "FILE line 2 raised SystemExit: 3."),
        ("import nowhere", "FILE line 1 raised ModuleNotFoundError: No module named 'nowhere'."),
        ("raise ValueError('two\\nlines')", "FILE line 1 raised ValueError: two lines."),
        ("open('/nowhere')", "FILE line 1 raised FileNotFoundError: "),
        ("raise OSError(1, 'odd', 5)", "FILE line 1 raised PermissionError: [Errno 1] odd: 5."),
        ("class E(BaseException): pass\nraise E('x')", "FILE line 2 raised E: x."),
        (
            "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E('x')",
            "FILE line 3 raised E.",
        ),
        ("def f(): f()\nf()", "FILE line 1 raised RecursionError: "),
        ("async def topology(): pass", "topology() in FILE returned a coroutine, not a Cluster."),
        ("topology = max", "The options of topology() in FILE are not known."),
        (
            cluster_file("nodes='abc'"),
            "FILE line 2 raised TypeError: Cluster.nodes is 'abc', not a whole number or a "
            "sequence of Node.",
        ),
        (
            "def f():\n    assert 0\n\ndef topology():\n    f()",
            "FILE line 2 raised AssertionError.",
        ),
        ("from netlab import Cluster\nCluster(node=1)", "FILE line 2 raised TypeError: "),
        ("x = 1", "FILE defines no 'topology', a Cluster or a function returning one."),
        ("topology = 1", "'topology' in FILE is an int, neither a Cluster nor a function."),
        ("class topology: pass", "'topology' in FILE is a class, neither"),
        ("def topology(): pass", "topology() in FILE returned a NoneType, not a Cluster."),
        (cluster_file("dataplane='x'"), "There is no dataplane 'x'; known are: "),
        (cluster_file("dataplane=flannel.Vxlan"), "The dataplane <class "),
        (cluster_file("dataplane=None"), "The dataplane None is not a value such as"),
        (cluster_file("dataplane=flannel.Vxlan('9')"), "flannel.Vxlan.vni is '9', not a whole"),
        (
            "from netlab.errors import BadInput\ndef topology(): raise BadInput('Use more.')",
            "Use more.",
        ),
    ],
)
def test_a_file_that_fails(write: Write, text: str, sentence: str) -> None:
    path = write(text)
    assert failure(path).startswith(sentence.replace("FILE", path))


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.py"
    path.write_bytes(b"\x00\xff\xfe")
    assert failure(str(path)).startswith(str(path))
    assert summary(path) == ""


def test_a_file_that_cannot_be_read() -> None:
    """One that is there, and that not even root can read at this place."""
    assert failure("/proc/self/mem") == "/proc/self/mem cannot be read: Input/output error."
    assert failure(f"/{'x' * 300}").endswith("cannot be read: File name too long.")


def test_what_is_not_there() -> None:
    assert failure("./mine.py") == "There is no topology file ./mine.py."
    assert failure("mine.py") == "There is no topology file mine.py."
    assert failure("/") == "There is no topology file /."
    assert failure("~nobody-at-all/x.py") == "There is no topology file ~nobody-at-all/x.py."
    assert failure("flannel-vxlam").startswith(
        "There is no topology 'flannel-vxlam'; did you mean flannel-vxlan"
    )
    assert "known are: " in failure("qqqqqq")


def test_a_dataclass_in_a_file_works(write: Write) -> None:
    path = write(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "from netlab import Cluster\n"
        "@dataclass(slots=True)\n"
        "class Own:\n"
        "    kind: ClassVar[str] = 'x'\n"
        "    count: int = 6\n"
        "topology = Cluster(nodes=Own().count)\n"
    )
    assert load(path).nodes == 6


@pytest.mark.parametrize("name", ["mine.json", "/nowhere/mine.json"])
def test_a_file_of_another_language_is_told_what_a_topology_is(name: str) -> None:
    with pytest.raises(BadInput, match="is not a topology: that is a Python file which defines"):
        load(name)
