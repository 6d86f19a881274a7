"""Verification of a lab on several machines, which here are namespaces joined by a bridge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import permutations
from typing import Any, NamedTuple

import pytest

from netlab import Cluster, flannel
from netlab.probe.result import Check
from tests.kernel.machines import UNDERLAY, Machines, Make, machines, prepared
from tests.kernel.shares import Shares, running
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS

__all__ = ["machines", "prepared"]  # fixtures
PODS = ("pod-same-node", "pod-cross-node")


class Case(NamedTuple):
    topology: Any
    count: int = 2
    segment: bool = True  # the machines share one


LABS = {
    "vxlan over macvlan": Case("flannel-vxlan"),
    "vxlan over a stitch": Case("flannel-vxlan", 2, segment=False),
    "host-gw over macvlan": Case("flannel-host-gw"),
    "host-gw over a stitch": Case("flannel-host-gw", 3, segment=False),
    "dual-stack": Case(Cluster(nodes=2, dataplane=flannel.HostGw(), **DUAL_STACK)),
    "two segments": Case(
        Cluster(nodes=4, pods_per_node=1, underlay=TWO_SUBNETS, dataplane=flannel.Vxlan()), 3
    ),
}
VXLAN, STITCHED = LABS["vxlan over macvlan"], LABS["vxlan over a stitch"]
Lab = Callable[[Case], Shares]
Made = Callable[[Case], tuple[Shares, Machines]]


@pytest.fixture
def made(machines: Make) -> Iterator[Made]:
    """Make a lab on machines of its own."""
    with ExitStack() as after:

        def make(case: Case) -> tuple[Shares, Machines]:
            names = [f"vm-{number + 1}" for number in range(case.count)]
            on = machines(*names, addressed=True)
            return after.enter_context(running(on, case.topology, shares=case.segment)), on

        yield make


@pytest.fixture
def lab(made: Made) -> Lab:
    return lambda case: made(case)[0]


def whole(lab: Shares) -> bool:
    """Whether all holds; at once after something was mended, a device may not be up yet."""
    return any(lab.verify().ok for _ in range(3))


@pytest.mark.parametrize("case", LABS)
def test_all_of_a_lab_is_asked_and_holds(lab: Lab, case: str) -> None:
    report = lab(LABS[case]).verify()
    assert not report.failed, "\n".join(map(str, report.failed))
    assert any(check.crossed for check in report.checks)
    # Who has a route to whom was asked, wherever the two are; see also test_probe_machines.py.
    pods = {name for name, node in report.places.items()}
    asked = {(one.source, one.target) for one in report.checks if one.kind in PODS}
    assert asked >= set(permutations(pods, 2))


def test_all_pairs_of_pods_can_be_asked(lab: Lab) -> None:
    """So many that they are sent in rounds and counted."""
    many = Cluster(nodes=4, pods_per_node=37, dataplane=flannel.HostGw())
    report = lab(Case(many)).verify(full=True)
    assert not report.failed, "\n".join(map(str, report.failed))
    counted = [one for one in report.checks if one.expected.startswith("echo replies of")]
    assert {one.expected for one in counted} == {
        "echo replies of 36 pods",
        "echo replies of 37 pods",
    }
    assert sum(int(one.expected.split()[3]) for one in counted) == 148 * 147


def test_an_fdb_entry_that_lacks_fails_what_needs_it_and_nothing_else(lab: Lab) -> None:
    found = lab(VXLAN)
    entry = found.run("vm-2", "node-2", "bridge fdb show dev flannel.1 | grep 192.168.0.1")
    mac = entry.split()[0]
    found.run("vm-2", "node-2", f"bridge fdb del {mac} dev flannel.1 dst 192.168.0.1")
    report = found.verify()
    state = [one for one in report.failed if one.kind == "state"]
    assert [one.source for one in state] == ["node-2"]
    probed = [one for one in report.failed if one.kind != "state"]
    assert {nodes_of(one, report.places) for one in probed} == {frozenset(("node-1", "node-2"))}
    assert all(one.crossed for one in probed)
    assert {one.kind for one in probed} == {"pod-cross-node", "node-pod", "wire", "mtu"}
    assert not report.notes  # node-3, which is on vm-1 too, is reached
    found.run(
        "vm-2", "node-2", f"bridge fdb add {mac} dev flannel.1 dst 192.168.0.1 self permanent"
    )
    assert whole(found)


def test_a_wrong_way_that_works_is_seen_on_the_machines_device(lab: Lab) -> None:
    found = lab(VXLAN)
    found.run("vm-1", "node-1", "ip route replace 10.244.1.0/24 via 192.168.0.2 dev eth0")
    failed = {(one.source, one.target): one for one in found.verify().failed if one.kind == "wire"}
    assert {one.observed for one in failed.values()} == {
        "bare, not VXLAN, VNI 1, UDP 8472, at vm-1's eth1"
    }
    assert {one.target for one in failed.values()} <= {"pod-2-1", "pod-2-2"}
    found.run(
        "vm-1", "node-1", "ip route replace 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink"
    )
    assert whole(found)


def test_a_cut_link_is_named(made: Made) -> None:
    found, on = made(VXLAN)
    on.ip(UNDERLAY, "link", "set", "vm-2", "down")
    report = found.verify()
    on.ip(UNDERLAY, "link", "set", "vm-2", "up")
    state, *probed = report.failed
    assert state.source == "vm-2"
    assert state.observed == "eth1 is up and has no carrier: the link is cut"
    assert [one.number for one in probed] == [one.number for one in report.checks if one.crossed]
    assert not report.notes
    assert whole(found)


def test_machines_that_do_not_hear_each_other_are_told_what_to_switch_on(made: Made) -> None:
    found, on = made(VXLAN)
    for name in on.names:
        on.ip(UNDERLAY, "link", "set", name, "type", "bridge_slave", "isolated", "on")
    report = found.verify()
    assert [one.number for one in report.failed] == [
        one.number for one in report.checks if one.crossed
    ]
    (note,) = report.notes
    assert "promiscuous" in note


def test_an_address_that_a_machine_lost_is_named(made: Made) -> None:
    found, on = made(STITCHED)
    on.ip("vm-1", "address", "flush", "dev", "eth1")
    state = found.verify().failed[0]
    assert state.expected == "eth1 is up, has carrier and the address 172.30.0.1"
    assert state.observed == "eth1 has not the address 172.30.0.1"


def nodes_of(check: Check, places: Mapping[str, str]) -> frozenset[str]:
    return frozenset(places.get(name, name) for name in (check.source, check.target))


def test_listeners_end_with_who_opened_them(made: Made) -> None:
    found, on = made(VXLAN)
    ask = "ss -Hltun | grep -c 10.244.1.2:4 || true"
    found.listen()
    assert found.run("vm-2", "pod-2-1", ask) == "2\n"  # TCP and UDP
    found.kill("vm-2", on.state("vm-2"))
    deadline = time.monotonic() + 5
    while found.run("vm-2", "pod-2-1", ask) != "0\n":
        assert time.monotonic() < deadline
