"""A comparison as a table, as JSON and as a picture; and what of it needs no kernel."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

from netlab import Unmet, comparing
from netlab.cli import cli
from netlab.kernel import capabilities
from netlab.plan.links import Veth
from netlab.plan.plain import DEVICE, add_plain_pods
from netlab.plan.processes import Daemon, File
from netlab.plan.routing import FdbEntry, Route, route
from netlab.plan.types import Namespace
from netlab.probe.engines.capture import Captured
from netlab.probe.measures.costs import figure, middle_half, ratio
from netlab.probe.measures.crossing import pick
from netlab.probe.measures.joining import joins
from netlab.probe.measures.processors import Work, runs_in
from netlab.report.chart import chart
from netlab.report.claims import judge, shipped
from netlab.report.comparison import comparison_table, document
from tests.unit.comparisons import FOUND, VXLAN
from tests.unit.plans import TWO_SUBNETS, layout_of, plan_of

PORT = ("switch-1", "node-1")


def test_the_table_is_readable() -> None:
    table = comparison_table(FOUND, judge(shipped(), FOUND))
    assert max(map(len, table.splitlines())) <= 120
    assert "flannel-vxlan    two-subnets  yes    VXLAN, VNI 1, UDP 8472" in table
    assert "flannel-host-gw  two-subnets  no     -" in table
    assert "8.50 µs, 0.85x (0.80-0.95)" in table
    assert (
        "flannel-host-gw/two-subnets does not work: no reply in 1.3 s. It says: It needs" in table
    )
    assert "calico-ipip was not measured: The dataplane calico-ipip needs ipip" in table
    assert "WRONG: A node with a /24 holds 254 pods. (the seed's text)" in table
    assert "any/node-cidr-24/pods is 253 pods: 253 answer" in table
    assert "22 cells measured in 1.5 s" in table


def test_each_cell_of_the_document_has_its_check() -> None:
    found = json.loads(json.dumps(document(FOUND, [])))
    for row in found["dataplanes"]:
        for name, cell in row["cells"].items():
            assert cell["check"] == f"{row['dataplane']}/{row['underlay']}/{name}"
    throughput = found["dataplanes"][0]["cells"]["throughput"]
    assert {key: throughput[key] for key in ("value", "least", "most", "plain_gbit_s")} == {
        "value": 0.85,
        "least": 0.8,
        "most": 0.95,
        "plain_gbit_s": 10,
    }
    assert found["dataplanes"][2]["refusal"] == "It needs one segment."
    assert found["dataplanes"][3]["unable"]
    assert not found["dataplanes"][3]["cells"]


def test_the_picture_has_the_measured_values() -> None:
    drawn = chart(FOUND)
    assert drawn == chart(FOUND)
    texts = [element.text for element in ElementTree.fromstring(drawn).iter() if element.text]
    assert {"flannel-vxlan", "flannel-host-gw", "0.85", "0.99", "50", "not measured"} <= {
        text.strip() for text in texts
    }


def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "compare", lambda *_given, **_more: FOUND)


def test_the_picture_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured(monkeypatch)
    cli.main(["compare", "--svg", str(tmp_path / "x.svg")], standalone_mode=False)
    assert (tmp_path / "x.svg").read_text() == chart(FOUND)


def test_without_matplotlib_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unmet, match=r"matplotlib.*netlab-k8s\[compare\]") as caught:
        cli.main(["compare", "--svg", str(tmp_path / "x.svg")], standalone_mode=False)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "x.svg").exists()


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_are_a_count(rounds: str) -> None:
    with pytest.raises(click.BadParameter):
        cli.main(["compare", "--rounds", rounds], standalone_mode=False)


def test_what_the_host_lacks_is_a_row_or_an_error_for_who_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        capabilities, "missing", lambda names: {"vxlan": "load it"} if "vxlan" in names else {}
    )
    monkeypatch.setattr(comparing, "registry", lambda: {"flannel-vxlan": None})
    monkeypatch.setattr(comparing, "_general", lambda say: [])
    rows = comparing.compare().rows
    assert [(row.id, row.cells) for row in rows] == [
        ("flannel-vxlan/one-segment", ()),
        ("flannel-vxlan/two-subnets", ()),
    ]
    assert rows[0].unable == (
        "The dataplane flannel-vxlan needs vxlan, which this host lacks: load it"
    )
    with pytest.raises(Unmet, match="needs vxlan"):
        comparing.compare(["flannel-vxlan"])


def test_a_ratio_has_the_median_and_the_middle_half() -> None:
    cell = ratio("a/b/throughput", "gbit_s", 8e-9, [[1e9, 2e9], [3e9, 2e9], [2e9, 2e9]])
    assert (cell.value, cell.spread) == (1.0, (0.75, 1.25))
    assert cell.figures == {"gbit_s": 16, "plain_gbit_s": 16}
    assert middle_half([3.0]) == (3.0, 3.0)
    assert middle_half([9.0, 1.0, 2.0, 3.0, 0.0]) == (1.0, 3.0)


def test_figures_have_the_digits_that_count() -> None:
    numbers = (0.0341, 0.914, 1.53, 12.3, 143210.0)
    assert [figure(one) for one in numbers] == ["0.034", "0.91", "1.53", "12", "143,000"]


def frame(before: int, content: bytes) -> bytes:
    return bytes(14 + before + 28) + content


def test_the_overhead_is_what_the_frame_is_longer_by() -> None:
    cookie = bytes(range(1, 101)) * 9
    frames = [
        Captured("switch-1", "node-1", "in", frame(0, b"other")),
        Captured("switch-1", "node-2", "in", frame(8, cookie)),
        Captured("switch-1", "node-1", "out", frame(9, cookie)),
        Captured("switch-1", "node-1", "in", frame(30, bytes(reversed(cookie)))),
        Captured("switch-1", "node-1", "in", frame(20, cookie)),
    ]
    seen = pick(frames, PORT, cookie)
    assert seen is not None
    assert (seen.overhead, seen.hidden) == (20, False)
    hidden = pick(frames[:-1], PORT, cookie)
    assert hidden is not None
    assert (hidden.overhead, hidden.hidden) == (30, True)
    assert pick(frames[:1], PORT, cookie) is None


def node(*routes: Route, **more: Any) -> Namespace:
    return Namespace("node-1", "node", routes=list(routes), **more)


def test_a_node_that_joins_is_counted_by_what_is_other_than_before() -> None:
    old, new = (route(f"10.244.{n}.0/24", "eth0", f"192.168.0.{n}") for n in (1, 2))
    entry = FdbEntry("flannel.1", "02:00:00:00:00:01", "192.168.0.2")
    before = {"node-1": node(old), "node-2": node(old)}
    after = {"node-1": node(old, new, fdb=[entry]), "node-2": node(old, new, fdb=[entry])}
    cell = joins("a/b", before, after, "pod-1-1 > pod-3-1: echo reply")
    assert cell.words == "1 route, 1 FDB entry"
    assert cell.value == {key: {"routes": 1, "fdb": 1} for key in ("node-1", "node-2")}
    assert "node-1: new route 10.244.2.0/24 via 192.168.0.2 dev eth0; new " in cell.evidence
    assert cell.evidence.endswith("; pod-1-1 > pod-3-1: echo reply")


def test_nodes_that_differ_are_told_apart_and_what_is_gone_counts() -> None:
    old, other = (route("10.244.1.0/24", "eth0", f"192.168.0.{n}") for n in (1, 2))
    before = {"node-1": node(old), "node-2": node(old), "node-3": node(old)}
    after = {"node-1": node(old), "node-2": node(), "node-3": node(other)}
    cell = joins("a/b", before, after, "")
    assert cell.words == "node-1: none; node-2: 1 route; node-3: 1 route"
    assert "node-2: gone route" in cell.evidence
    assert "node-3: changed route" in cell.evidence


def test_of_a_daemon_what_it_runs_with_counts() -> None:
    """What it must bring about is the plan's own: BIRD's configuration need not change for it."""
    way = route("10.244.2.0/24", "eth0", "192.168.0.2")
    old = Daemon(name="bird", command=("bird",), files=(File("bird.cfg", "a"),))
    same = Daemon(name="bird", command=("bird",), files=(File("bird.cfg", "a"),), brings=(way,))
    other = Daemon(name="bird", command=("bird",), files=(File("bird.cfg", "b"),))
    for daemon, words in ((same, "none"), (other, "1 daemon's configuration")):
        before, after = ({"node-1": node(daemons=[one])} for one in (old, daemon))
        assert joins("a/b", before, after, "").words == words


def test_who_carries_packets_shows_by_processor_time() -> None:
    pods, plain = Work(), Work()
    pods.seconds = plain.seconds = 2.0
    pods.used.update({7: 0.8, 8: 0.01, 9: 1.0})
    plain.used.update({9: 1.0})
    cell = runs_in("a/b", pods, plain, {7: "flanneld of node-1"})
    assert cell.value == "user space"
    assert cell.evidence == (
        "flanneld of node-1 took 0.40 s per second of traffic, and 0.00 of the plain path's"
    )
    pods.used[7] = 0
    assert runs_in("a/b", pods, plain, {}).value == "kernel"
    pods.used[9] = 1.5  # neither here nor there: on a busy machine it is late
    assert runs_in("a/b", pods, plain, {9: "flanneld of node-1"}).value is None


@pytest.mark.parametrize("underlay", ["192.168.0.0/24", TWO_SUBNETS])
def test_plain_pods_are_joined_by_routes_whatever_the_dataplane(underlay: Any) -> None:
    fields = {"nodes": 3, "pods_per_node": 1, "underlay": underlay}
    layout, plan = layout_of(**fields), plan_of("flannel-vxlan", **fields)
    without = plan_of("flannel-vxlan", **fields)
    source, target, address = add_plain_pods(plan, layout)
    assert any(item.ip == address for item in plan.namespaces[target].addresses)
    routers = {"router"} if isinstance(underlay, list) else set()
    changed = {name for name, one in without.namespaces.items() if one != plan.namespaces[name]}
    assert changed == {"node-1", "node-2", *routers}
    end = plan.namespaces["node-1"].link(DEVICE)
    assert isinstance(end, Veth)
    assert end.peer is not None
    assert (end.peer.namespace, plan.namespaces[source].link("eth0").mtu) == (source, 1500)


def test_cells_know_their_columns() -> None:
    assert [cell.name for cell in VXLAN[:2]] == ["works", "encapsulation"]
