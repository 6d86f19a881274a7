"""Verification of a lab on several machines, which here are namespaces joined by a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from netlab import Cluster, flannel
from netlab.probe.result import Check
from tests.kernel.conftest import assert_untouched, untouched
from tests.kernel.shares import Shares, machines, shell
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS


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


@contextmanager
def running(folder: Path, case: Case) -> Iterator[Shares]:
    untouched()
    with machines(folder, case.count, mtu=1500 if case.segment else 1600) as (found, listed):
        found.up(case.topology, listed, shares=case.segment)
        yield found
        found.down()
    assert_untouched()


@pytest.fixture(scope="module", params=LABS)
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shares]:
    with running(tmp_path_factory.mktemp("machines"), LABS[request.param]) as found:
        yield found


@pytest.fixture(scope="module")
def on_macvlans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shares]:
    """A lab for tests that break something and mend it."""
    case = LABS["vxlan over macvlan"]
    with running(tmp_path_factory.mktemp("machines"), case) as found:
        yield found


def whole(lab: Shares) -> bool:
    """Whether all holds; at once after something was mended, a device may not be up yet."""
    return any(lab.verify().ok for _ in range(3))


def test_all_of_a_lab_is_asked_and_holds(lab: Shares) -> None:
    report = lab.verify()
    assert not report.failed, "\n".join(map(str, report.failed))
    assert lab.spread
    assert any(check.crossed for check in report.checks)
    # Who has a route to whom was asked, wherever the two are; see also test_probe_machines.py.
    pods = {name for name, node in report.places.items()}
    asked = {(one.source, one.target) for one in report.checks if one.kind in PODS}
    assert asked >= set(permutations(pods, 2))


def test_all_pairs_of_pods_can_be_asked(tmp_path: Path) -> None:
    """So many that they are sent in rounds and counted."""
    many = Cluster(nodes=4, pods_per_node=37, dataplane=flannel.HostGw())
    with running(tmp_path, Case(many)) as lab:
        report = lab.verify(full=True)
        assert not report.failed, "\n".join(map(str, report.failed))
        counted = [one for one in report.checks if one.expected.startswith("echo replies of")]
        assert {one.expected for one in counted} == {
            "echo replies of 36 pods",
            "echo replies of 37 pods",
        }
        assert sum(int(one.expected.split()[3]) for one in counted) == 148 * 147


def test_an_fdb_entry_that_lacks_fails_what_needs_it_and_nothing_else(on_macvlans: Shares) -> None:
    entry = on_macvlans.run("vm-2", "node-2", "bridge fdb show dev flannel.1 | grep 192.168.0.1")
    mac = entry.split()[0]
    on_macvlans.run("vm-2", "node-2", f"bridge fdb del {mac} dev flannel.1 dst 192.168.0.1")
    report = on_macvlans.verify()
    state = [one for one in report.failed if one.kind == "state"]
    assert [one.source for one in state] == ["node-2"]
    probed = [one for one in report.failed if one.kind != "state"]
    assert {nodes_of(one, report.places) for one in probed} == {frozenset(("node-1", "node-2"))}
    assert all(one.crossed for one in probed)
    assert {one.kind for one in probed} == {*("pod-cross-node", "node-pod", "pod-node"), "wire", "mtu"}
    assert not report.notes  # node-3, which is on vm-1 too, is reached
    on_macvlans.run(
        "vm-2", "node-2", f"bridge fdb add {mac} dev flannel.1 dst 192.168.0.1 self permanent"
    )
    assert whole(on_macvlans)


def test_a_wrong_way_that_works_is_seen_on_the_machines_device(on_macvlans: Shares) -> None:
    on_macvlans.run("vm-1", "node-1", "ip route replace 10.244.1.0/24 via 192.168.0.2 dev eth0")
    failed = {(one.source, one.target): one for one in on_macvlans.verify().failed if one.kind == "wire"}
    assert {one.observed for one in failed.values()} == {
        "bare, not VXLAN, VNI 1, UDP 8472, at vm-1's eth1"
    }
    assert {one.target for one in failed.values()} <= {"pod-2-1", "pod-2-2"}
    on_macvlans.run(
        "vm-1", "node-1", "ip route replace 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink"
    )
    assert whole(on_macvlans)


def test_a_cut_link_is_named(on_macvlans: Shares) -> None:
    shell("ip -n wire link set vm-2 down")
    report = on_macvlans.verify()
    shell("ip -n wire link set vm-2 up")
    state, *probed = report.failed
    assert (state.source, state.observed) == ("vm-2", "eth1 is up and has no carrier: the link is cut")
    assert [one.number for one in probed] == [one.number for one in report.checks if one.crossed]
    assert not report.notes
    assert whole(on_macvlans)


def test_machines_that_do_not_hear_each_other_are_told_what_to_switch_on(
    on_macvlans: Shares,
) -> None:
    for state in ("on", "off"):
        shell(
            "for one in vm-1 vm-2; do"
            f" ip -n wire link set $one type bridge_slave isolated {state}; done"
        )
        if state == "on":
            report = on_macvlans.verify()
    assert all(one.crossed for one in report.failed)
    assert len(report.notes) == 1
    assert "promiscuous" in report.notes[0]
    assert whole(on_macvlans)


def nodes_of(check: Check, places: Mapping[str, str]) -> frozenset[str]:
    return frozenset(places.get(name, name) for name in (check.source, check.target))


def test_listeners_end_with_who_opened_them(tmp_path: Path) -> None:
    with running(tmp_path, LABS["vxlan over macvlan"]) as lab:
        lab.listen()
        assert "10.244.1.2:4" in lab.listening("vm-2", "pod-2-1")
        lab.kill("vm-2")
        deadline = time.monotonic() + 5
        while lab.listening("vm-2", "pod-2-1") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not lab.listening("vm-2", "pod-2-1")
