"""What each machine of a lab asks, expects and sees, and what their reports are together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netlab.plan.machines import MACHINE, STITCH, Machine, Spread, WireKind
from netlab.plan.probing.actions import Call, CapturedEcho, EchoReply, Sighting
from netlab.plan.probing.check import Check
from netlab.plan.probing.evidence import NotOnWire
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.scenario import Probe
from netlab.plan.spreading import spread
from netlab.probe.engines.calls import for_others
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.result import Report, to_json
from netlab.report.joined import join, wire_words
from netlab.report.matrix import matrix
from netlab.state import decode, encode
from tests.unit.labs import lab_of, probes
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS

WIRES: tuple[WireKind, ...] = ("macvlan", "vxlan")
LABS: list[tuple[str, dict[str, Any]]] = [
    ("flannel-vxlan", {"nodes": 3, "pods_per_node": 2}),
    ("flannel-host-gw", {"nodes": 4, "pods_per_node": 1, **DUAL_STACK}),
]


def machines(count: int) -> list[Machine]:
    return [
        Machine(name=f"vm-{n}", device="eth1", address=f"192.0.2.{n}") for n in range(1, count + 1)
    ]


def on_machines(
    wire: WireKind, count: int = 2, dataplane: str = "flannel-vxlan", **fields: Any
) -> dict[str, Lab]:
    """A lab as each of its machines sees it."""
    lab = lab_of(dataplane, **fields)
    whole, how = spread(lab.plan, lab.layout, machines(count), wire, "as the test wants it")
    return {one.name: Lab(lab.layout, lab.datapath, whole, how, one.name) for one in how.machines}


def how_of(labs: dict[str, Lab]) -> Spread:
    found = next(iter(labs.values())).spread
    assert found
    return found


def is_ours(lab: Lab, probe: Probe[Any]) -> bool:
    return all(map(lab.here, probe.action.places))


def wire_probe(lab: Lab, source: str, target: str) -> Probe[CapturedEcho]:
    found = (
        one for one in probes(lab, CapturedEcho) if (one.source, one.target) == (source, target)
    )
    return next(found)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("dataplane", "fields"), LABS, ids=lambda value: str(value)[:15])
def test_every_probe_is_made_by_one_machine(
    wire: WireKind, count: int, dataplane: str, fields: dict[str, Any]
) -> None:
    labs = on_machines(wire, count, dataplane, **fields)
    asked = [probes(lab) for lab in labs.values()]
    here = [
        [is_ours(lab, one) for one in own] for lab, own in zip(labs.values(), asked, strict=True)
    ]
    # In the same order on all machines, and so also the same as on one.
    names = [[(one.kind, one.source, one.target, one.action) for one in own] for own in asked]
    alone = probes(lab_of(dataplane, **fields))
    assert all(
        [item[:3] for item in own] == [(p.kind, p.source, p.target) for p in alone] for own in names
    )
    assert all(sum(column) == 1 for column in zip(*here, strict=True))


@pytest.mark.parametrize("wire", WIRES)
def test_who_is_called_from_elsewhere_listens(wire: WireKind) -> None:
    labs = on_machines(wire, 3, nodes=3, pods_per_node=1)
    how = how_of(labs)
    for name, lab in labs.items():
        calls = [one.action for one in probes(lab, Call)]
        wanted = {
            (one.target, one.address, one.application)
            for one in calls
            if how.placement[one.target] == name and how.placement[one.namespace] != name
        }
        services = list(for_others(calls, lab.here))
        assert wanted
        assert sorted(services) == sorted(wanted)
    alone = lab_of(nodes=3)
    assert not list(for_others((one.action for one in probes(alone, Call)), alone.here))


def test_macvlans_are_seen_at_the_machines_own_device() -> None:
    labs = on_machines("macvlan", nodes=3, pods_per_node=1)
    here = MACHINE, "eth1"
    for source, target in (("node-1", "node-2"), ("node-1", "node-3"), ("pod-1-1", "pod-2-1")):
        expectation = wire_probe(labs["vm-1"], source, target).expectation
        assert list(expectation.ports) == [here]  # type: ignore[attr-defined]
    assert labs["vm-1"].captured == {MACHINE: "eth1", "internet": None}
    assert labs["vm-2"].captured == {MACHINE: "eth1"}


def test_in_words_a_machine_has_its_name() -> None:
    labs = on_machines("macvlan", nodes=3, pods_per_node=1)
    probe = wire_probe(labs["vm-2"], "node-2", "node-1")
    stack = next(iter(probe.expectation.ports.values()))  # type: ignore[attr-defined]
    seen = Sighting(EchoReply(0.001, 64), [((MACHINE, "eth1"), stack)])
    assert probe.check(seen).observed == "bare, once at vm-2's eth1"
    assert probe.check(Sighting(EchoReply())).observed == "not seen at vm-2's eth1"
    twice = Sighting(EchoReply(), [*seen.seen, *seen.seen])
    assert probe.check(twice).observed == "seen 2 times at vm-2's eth1 (bare and bare)"
    out = wire_probe(labs["vm-1"], "pod-1-1", "external")
    assert out.check(Sighting(EchoReply())).expected == (
        "bare, once at vm-1's eth1 and at the port of router and external"
    )
    hidden = NotOnWire().judge(probe.action, seen)
    assert hidden.observed == "seen on the underlay at the machine's eth1"


def test_on_a_stitch_the_other_machines_are_one_port() -> None:
    labs = on_machines("vxlan", nodes=3, pods_per_node=1)
    # Dealt out: node-1 and node-3 are on vm-1.
    both = wire_probe(labs["vm-1"], "node-1", "node-3").expectation
    assert list(both.ports) == [("underlay", "node-1"), ("underlay", "node-3")]  # type: ignore[attr-defined]
    across = wire_probe(labs["vm-1"], "node-1", "node-2")
    assert list(across.expectation.ports) == [("underlay", "node-1"), ("underlay", STITCH)]  # type: ignore[attr-defined]
    words = across.check(Sighting(EchoReply())).expected
    assert words == "bare, once at the port of node-1 and stitch"
    assert labs["vm-2"].captured == {"underlay": None}


def test_frames_between_two_other_machines_are_not_seen() -> None:
    """From a segment to another by the router, which is on vm-1: the far half is not vm-2's."""
    fields: dict[str, Any] = {"nodes": 4, "pods_per_node": 1, "underlay": TWO_SUBNETS}
    labs = on_machines("vxlan", 3, **fields)
    lab = labs["vm-2"]
    nodes = lab.layout.nodes
    source = next(node for node in nodes if lab.here(node.name))
    target = next(
        node
        for node in nodes
        if node.subnet != source.subnet and how_of(labs).placement[node.name] == "vm-3"
    )
    expectation = wire_probe(lab, source.name, target.name).expectation
    assert list(expectation.ports) == [  # type: ignore[attr-defined]
        (source.subnet.switch, source.name),
        (source.subnet.switch, STITCH),
    ]


def test_a_packet_crosses_machines_also_by_the_router() -> None:
    segments = [*TWO_SUBNETS, "192.168.3.0/24"]
    lab = on_machines("vxlan", 2, nodes=4, pods_per_node=1, underlay=segments)["vm-1"]
    how = lab.spread
    assert how
    there = [node for node in lab.layout.nodes if how.placement[node.name] == "vm-2"]
    one = there[0]
    other = next((node for node in there if node.subnet != one.subnet), None)
    assert other
    assert lab.crosses(one.pods[0].name, other.pods[0].name)
    assert not lab.crosses(one.pods[0].name, one.name)
    assert lab.crosses(one.name, "external")
    assert not lab.crosses("kernel", "plan")
    assert not lab_of(nodes=2).crosses("node-1", "node-2")


@pytest.mark.parametrize("wire", WIRES)
def test_neighbour_entries_elsewhere_are_left_out(wire: WireKind) -> None:
    labs = on_machines(wire, nodes=2, pods_per_node=2)
    alone = Neighbours(lab_of(nodes=2, pods_per_node=2)).left_by("pod-1-1", "10.244.1.2")
    parts = [Neighbours(lab).left_by("pod-1-1", "10.244.1.2") for lab in labs.values()]
    assert parts[0]
    assert parts[1]
    assert parts[0] | parts[1] == alone
    assert not parts[0] & parts[1]


def check(
    kind: Any, source: str, target: str, number: int = 0, *, ok: bool = True, crossed: bool = False
) -> Check:
    seen = "as wanted" if ok else "nothing"
    return Check(kind, source, target, "as wanted", seen, ok, crossed=crossed, number=number)


PLACES = {"pod-1-1": "node-1", "pod-2-1": "node-2"}


def reports(*, arrives: bool = True, linked: bool = True) -> dict[str, Report]:
    skipped = (("hairpin", "why not"),)
    one = Report(
        1.0,
        (
            check("state", "kernel", "plan"),
            check("state", "vm-1", "eth1"),
            check("pod-same-node", "pod-1-1", "node-1", 1),
            check("pod-cross-node", "pod-1-1", "pod-2-1", 3, ok=arrives, crossed=True),
        ),
        PLACES,
        skipped,  # type: ignore[arg-type]
    )
    other = Report(
        2.0,
        (
            check("state", "kernel", "plan"),
            check("state", "vm-2", "eth1", ok=linked),
            check("pod-same-node", "pod-2-1", "node-2", 2),
            check("pod-cross-node", "pod-2-1", "pod-1-1", 4, ok=arrives, crossed=True),
        ),
        PLACES,
        skipped,  # type: ignore[arg-type]
        drifted=True,
    )
    return {"vm-2": other, "vm-1": one}


def two(wire: WireKind = "macvlan") -> Spread:
    return how_of(on_machines(wire, nodes=2, pods_per_node=1))


def test_reports_are_joined_in_the_order_of_one_machine() -> None:
    report = join(reports(), two())
    assert [one.number for one in report.checks] == [0, 0, 0, 0, 1, 2, 3, 4]
    assert [one.source for one in report.checks[:4]] == [
        "kernel of vm-1",
        "vm-1",
        "kernel of vm-2",
        "vm-2",
    ]
    assert (report.ok, report.seconds, report.drifted) == (True, 2.0, True)
    assert report.places == PLACES
    assert report.skipped == (("hairpin", "why not"),)
    assert report.notes == ()


def test_a_joined_report_says_what_crossed() -> None:
    report = join(reports(), two())
    assert matrix(report).splitlines()[-2:] == [
        "8 checks in 2.00 s: all passed",
        "2 of 8 checks crossed machines, over macvlan devices on eth1",
    ]
    document = to_json(report)
    assert [one["crossed"] for one in document["checks"]] == [False] * 6 + [True] * 2
    assert document["wire"] == "macvlan devices on eth1"
    assert wire_words(two("vxlan")) == "a VXLAN on eth1"
    alone = reports()["vm-1"]
    assert "crossed" not in str(to_json(alone))
    assert "crossed" not in matrix(alone)


def test_a_machine_without_a_report_is_a_failed_check() -> None:
    report = join({"vm-1": reports()["vm-1"]}, two())
    assert not report.ok
    (failed,) = report.failed
    assert (failed.source, failed.observed) == ("vm-2", "no report came")


def test_where_nothing_arrives_a_sentence_says_what_to_switch_on() -> None:
    (note,) = join(reports(arrives=False), two()).notes
    assert note.startswith("Nothing passes between vm-1 and vm-2, though each is well by itself:")
    assert "promiscuous" in note
    (note,) = join(reports(arrives=False), two("vxlan")).notes
    assert note.endswith(": let UDP 4789 pass between their addresses on eth1.")
    assert note in matrix(join(reports(arrives=False), two("vxlan")))


def test_a_cut_link_or_a_lab_that_is_broken_by_itself_needs_no_such_sentence() -> None:
    assert not join(reports(arrives=False, linked=False), two()).notes
    found = reports(arrives=False)
    own = tuple(replace(one, ok=one.kind == "state") for one in found["vm-2"].checks)
    assert not join(found | {"vm-2": replace(found["vm-2"], checks=own)}, two()).notes


def test_a_report_travels_as_json() -> None:
    report = join(reports(arrives=False), two())
    assert report.notes
    assert decode(encode(report), Report) == report
