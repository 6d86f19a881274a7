"""A dataplane of a stranger: one short file, which may be the user's own topology."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netlab import dataplane
from netlab.dataplane import reference, resolve
from netlab.designing import design
from netlab.errors import BadInput
from netlab.loading import load_topology
from netlab.plan.headers import BARE
from netlab.plan.routing import Route, route
from netlab.plan.shell import render

# All of it: pods on a bridge by CNI's plugin, and a route to the pods of every other node.
STATIC = '''\
"""Pods on a bridge, and static routes between the nodes: the smallest dataplane there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab import Cluster, Dataplane
from netlab.dataplane.attach.bridge import Bridge
from netlab.plan.routing import Route, route
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Static(Dataplane):
    """`metric` is that of the routes."""

    name: ClassVar[str] = "static"
    summary: ClassVar[str] = "static routes between nodes"
    metric: int = 0

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        for other in layout.others(node):
            yield route(str(other.pod_cidr), "eth0", str(other.address), metric=self.metric)


topology = Cluster(nodes=2, dataplane=Static())
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own" / "static.py"
    path.parent.mkdir()
    path.write_text(STATIC)
    return path


def test_a_whole_dataplane_is_a_file_of_under_50_lines(file: Path) -> None:
    assert len(STATIC.splitlines()) < 50
    made = design(str(file), {})
    node = made.plan.namespaces["node-1"]
    assert route("10.244.1.0/24", "eth0", "192.168.0.2") in node.routes
    assert node.link("cni0").mtu == 1500
    assert not node.ruleset
    assert made.topology == "static"


def test_what_it_does_not_say_is_true_of_plain_routing(file: Path) -> None:
    made = design(str(file), {})
    layout, static = made.layout, made.dataplane
    first, second = layout.nodes
    assert static.headers(layout, first, second, False) == BARE
    assert static.path_mtu(layout, first, second, False) == 1500
    assert static.wire_ttl(layout, first, second) == 63
    assert static.unreachable(layout, first, second) is None
    assert not static.masquerades(layout, first, second.address)
    assert "no route to pods" in (static.outside_to_pods(layout, first) or "")
    assert list(static.scenarios(layout)) == []
    assert list(static.validate(layout)) == []


def test_it_has_options_as_any_other(file: Path) -> None:
    made = design(str(file), {"dataplane.metric": 7, "nodes": 3})
    ways = [way for way in made.plan.namespaces["node-2"].routes if way.metric == 7]
    assert [way.destination for way in ways] == ["10.244.0.0/24", "10.244.2.0/24"]
    with pytest.raises(BadInput, match=r"did you mean dataplane\.metric"):
        load_topology(str(file), settings={"dataplane.metrik": "7"})
    with pytest.raises(BadInput, match=r"The option dataplane\.metric is a whole number, not 'x'"):
        load_topology(str(file), settings={"dataplane.metric": "x"})
    file.write_text(STATIC.replace("Static())", "Static('x'))"))
    with pytest.raises(BadInput, match=r"Static\.metric is 'x', not a whole number"):
        load_topology(str(file))


def test_it_is_printed_as_commands(file: Path) -> None:
    text = render(design(str(file), {}).plan, "")
    assert "\nroute add 10.244.1.0/24 via 192.168.0.2 dev eth0\n" in text
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_it_is_in_no_registry_and_another_process_finds_it(file: Path) -> None:
    value = design(str(file), {"dataplane.metric": 7}).dataplane
    assert "static" not in dataplane.registry()
    told = json.dumps(reference(value))
    code = (
        "import json, sys; from netlab.dataplane import reference, resolve; "
        "value = resolve(json.load(sys.stdin)); print(value.metric, type(value).__name__); "
        "print(json.dumps(reference(value)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        input=told,
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    first, second = result.stdout.splitlines()
    assert first == "7 Static"
    assert second == told


def test_a_file_that_is_gone_or_changed_is_said(file: Path) -> None:
    told = reference(design(str(file), {}).dataplane)
    file.write_text(STATIC.replace("class Static", "class Other").replace("Static()", "Other()"))
    with pytest.raises(BadInput, match=r"static\.py has no dataplane Static any more\."):
        resolve(told)
    file.write_text(STATIC.replace("metric: int = 0", "cost: int = 0"))
    with pytest.raises(BadInput, match="The dataplane static is not what it was: "):
        resolve(told)
    file.write_text("1/0")
    with pytest.raises(BadInput, match=r"static\.py line 1 raised ZeroDivisionError"):
        resolve(told)
    file.unlink()
    with pytest.raises(BadInput, match=r"static\.py cannot be read: No such file or directory\."):
        resolve(told)


def test_two_topologies_of_one_name_keep_their_own_classes(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "static.py"
    other.write_text(STATIC.replace("slots=True)", "slots=True)  # of another file"))
    first, second = (design(str(path), {}).dataplane for path in (file, other))
    assert type(first) is not type(second)
    assert reference(second)["file"] == str(other)
    assert reference(first)["file"] == str(file)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "(frozen=True, slots=True)",
            "(slots=True)",
            "raised TypeError: cannot inherit non-frozen",
        ),
        (
            "@dataclass(frozen=True, slots=True)\n",
            "",
            "Static is no dataplane: it lacks the decora",
        ),
        ("    def attach", "    def atach", "Static is no dataplane: it has no method `attach`"),
        (
            'name: ClassVar[str] = "static"',
            "",
            "The class Static is no dataplane: it has no `name`",
        ),
        (
            "name: ClassVar[str]",
            "name: str",
            "Static is no dataplane: its `name` must be a ClassVar",
        ),
        (
            "(Dataplane)",
            "",
            "The class Static is no dataplane: it is not a subclass of netlab.Data",
        ),
        ("other.pod_cidr", "other.pod_cird", "static.py line 28 raised AttributeError: 'NodeSpec'"),
        (
            "layout: Layout, node: NodeSpec) -> Iterator",
            "layout) -> Iterator",
            "raised TypeError: ",
        ),
        ("yield route(", "yield (", "static.py line 28: "),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(
    file: Path, old: str, new: str, sentence: str
) -> None:
    assert STATIC.count(old) == 1
    file.write_text(STATIC.replace(old, new))
    with pytest.raises(BadInput) as error:
        design(str(file), {})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_its_ipam_is_a_value_that_it_names(file: Path) -> None:
    """Calico's blocks: a /26 for each node, and every address of it a pod's."""
    file.write_text(
        STATIC.replace(
            "    metric: int = 0", "    ipam: ClassVar[Ipam] = Blocks()\n    metric: int = 0"
        ).replace(
            "from netlab.topology.resolved",
            "from netlab.topology.ipam import Ipam\n"
            "from netlab.topology.ipam.blocks import Blocks\n"
            "from netlab.topology.resolved",
        )
    )
    layout = design(str(file), {}).layout
    assert [str(node.pod_cidr) for node in layout.nodes] == ["10.244.0.0/26", "10.244.0.64/26"]
    assert str(layout.pods[0].address) == "10.244.0.0"


def test_objects_of_any_kind_may_come_from_it(file: Path) -> None:
    file.write_text(
        STATIC.replace(
            "yield route(str(other.pod_cidr)",
            'yield Route(destination=str(other.pod_cidr), type="blackhole", metric=9)\n'
            "            yield route(str(other.pod_cidr)",
        )
    )
    node = design(str(file), {}).plan.namespaces["node-1"]
    assert Route(destination="10.244.1.0/24", type="blackhole", metric=9) in node.routes


def test_what_is_no_object_at_all_is_said(file: Path) -> None:
    file.write_text(STATIC.replace("yield route(str(other.pod_cidr)", "yield (str(other.pod_cidr)"))
    with pytest.raises(BadInput):
        design(str(file), {})
    file.write_text(STATIC.replace("yield route(", 'yield "10.0.0.0/8"; route('))
    with pytest.raises(
        BadInput, match=r"gave '10\.0\.0\.0/8' for node-1, which is no object of a plan"
    ):
        design(str(file), {})
