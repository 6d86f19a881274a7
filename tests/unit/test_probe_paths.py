"""Which paths are proved on the underlay and for their MTU, and what is expected there."""

from __future__ import annotations

from typing import Any

import pytest

from netlab import Cluster, Node
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.plan.types import Plan
from netlab.probe.barred import BarredPath
from netlab.probe.expect import barriers
from netlab.probe.paths import Paths, plan_paths
from netlab.probe.wire import WirePath
from netlab.topology.layout import lay_out

SUBNETS = ["192.168.1.0/24", "192.168.2.0/24"]


def paths(
    dataplane: str = "flannel-vxlan", options: dict[str, Any] | None = None, **fields: Any
) -> tuple[Plan, Paths]:
    layout = lay_out(Cluster(**fields))
    chosen = make(dataplane, options)
    plan = compile_plan("test", layout, chosen, force=True)
    return plan, plan_paths(layout, chosen, plan, barriers(layout, chosen), b"XX")


def seen_paths(found: Paths) -> list[WirePath]:
    return [wire for wire in found.wires if isinstance(wire, WirePath)]


def between(found: Paths, source: str, target: str) -> WirePath:
    """The path from a pod of one node to a pod of another."""
    return next(
        wire
        for wire in seen_paths(found)
        if wire.source.startswith(f"pod-{source}-") and wire.target.startswith(f"pod-{target}-")
    )


def mac(plan: Plan, space: str, device: str = "eth0") -> str:
    return plan.namespaces[space].link(device).mac


def test_every_ordered_node_pair_each_node_and_the_outside_are_proved() -> None:
    _, found = paths()
    pods, machines = 6 + 3 + 3, 6 + 3
    assert len(found.wires) == pods + machines
    assert len(found.marks) == len(found.wires)
    assert [wire.ping.payload for wire in found.wires] == list(found.marks)


def test_vxlan_is_expected_with_all_its_headers() -> None:
    plan, found = paths()
    wire = between(found, "1", "2")
    assert set(wire.points) == {("underlay", "node-1"), ("underlay", "node-2")}
    for seen in wire.points.values():
        assert seen.tunnel == "VXLAN"
        assert (seen.outer, seen.udp_port, seen.vni) == (("192.168.0.1", "192.168.0.2"), 8472, 1)
        assert seen.inner == (
            mac(plan, "node-1", "flannel.1"),
            mac(plan, "node-2", "flannel.1"),
        )
        assert seen.frame == (mac(plan, "node-1"), mac(plan, "node-2"))
        assert seen.ttl == 63


def test_host_gw_is_expected_bare_from_node_to_node() -> None:
    plan, found = paths("flannel-host-gw")
    for seen in between(found, "1", "2").points.values():
        assert (seen.tunnel, seen.outer, seen.ttl) == ("bare", None, 63)
        assert seen.frame == (mac(plan, "node-1"), mac(plan, "node-2"))


def test_between_subnets_frames_go_by_the_router() -> None:
    plan, found = paths(underlay=SUBNETS)
    points = between(found, "1", "2").points
    assert list(points) == [
        ("underlay-1", "node-1"),
        ("underlay-1", "router"),
        ("underlay-2", "router"),
        ("underlay-2", "node-2"),
    ]
    leaving, at_router, from_router, arriving = points.values()
    assert (at_router, from_router) == (leaving, arriving)
    assert leaving.frame == (mac(plan, "node-1"), mac(plan, "router", "eth0"))
    assert arriving.frame == (mac(plan, "router", "eth1"), mac(plan, "node-2"))
    assert leaving.ttl == arriving.ttl == 63, "the router sees the outer header's TTL only"


def test_what_goes_outside_is_bare_and_under_the_nodes_address() -> None:
    _, found = paths(underlay=SUBNETS)
    by_source = {wire.source: wire for wire in seen_paths(found) if wire.target == "external"}
    near = list(by_source["pod-1-2"].points.values())
    assert [seen.packet for seen in near] == [("192.168.1.1", "192.168.1.253")] * 2
    far = list(by_source["pod-2-2"].points.values())
    assert [seen.ttl for seen in far] == [63, 63, 62, 62], "the router forwards the bare packet"


def test_on_one_node_nothing_may_be_seen() -> None:
    _, found = paths()
    local = [wire for wire in seen_paths(found) if not wire.points]
    assert [(wire.source, wire.target) for wire in local] == [
        (f"pod-{node}-1", f"pod-{node}-2") for node in (1, 2, 3)
    ]


def test_unreachable_pairs_are_shown_to_end_at_arp() -> None:
    plan, found = paths("flannel-host-gw", underlay=SUBNETS)
    across = {
        (wire.source[4], wire.target[4])
        for wire in seen_paths(found)
        if wire.points and wire.source[:4] == wire.target[:4] == "pod-"
    }
    assert across == {("1", "3"), ("3", "1")}
    barred = [wire for wire in found.wires if isinstance(wire, BarredPath)]
    assert len(barred) == 4
    first = next(wire for wire in barred if wire.port[1] == "node-1")
    assert (first.port, first.next_hop) == (("underlay-1", "node-1"), "192.168.2.1")
    assert first.asker == (mac(plan, "node-1"), "192.168.1.1")


def test_nodes_prove_the_underlay_by_themselves() -> None:
    """All pairs, bare and not yet forwarded by anybody but a router."""
    _, found = paths(pods_per_node=0, underlay=SUBNETS)
    by_ends = {(wire.source, wire.target): wire.points for wire in seen_paths(found)}
    assert len(by_ends) == 6 + 3
    assert [seen.ttl for seen in by_ends["node-1", "node-3"].values()] == [64, 64]
    assert [seen.ttl for seen in by_ends["node-1", "node-2"].values()] == [64, 64, 63, 63]
    assert [seen.ttl for seen in by_ends["node-1", "external"].values()] == [64, 64]


def test_nodes_without_pods_are_in_no_pair_of_pods() -> None:
    _, found = paths(nodes=[Node(pods=1), Node(pods=0), Node(pods=1)])
    pods = {(w.source, w.target) for w in found.wires if w.source[:4] == w.target[:4] == "pod-"}
    assert pods == {("pod-1-1", "pod-3-1"), ("pod-3-1", "pod-1-1")}


@pytest.mark.parametrize(
    ("dataplane", "limit"), [("flannel-vxlan", 1450), ("flannel-host-gw", 1500)]
)
def test_the_limit_is_the_dataplanes(dataplane: str, limit: int) -> None:
    _, found = paths(dataplane)
    assert {path.limit for path in found.mtus} == {limit}
    assert all(len(path.ping.payload) + 28 == limit for path in found.mtus)
    assert {(path.fits.size, path.oversize.size) for path in found.forwards} == {(limit, limit + 1)}
    assert {path.refusers for path in found.forwards} == {
        ("10.244.0.1",),
        ("10.244.1.1",),
        ("10.244.2.1",),
    }


def test_every_class_of_path_has_an_mtu_proof() -> None:
    _, found = paths()
    classes = {(path.source.split("-")[0], path.target.split("-")[0]) for path in found.mtus}
    assert classes == {("pod", "pod"), ("node", "pod"), ("pod", "external")}
    assert all(path.refused for path in found.mtus)


def test_where_the_way_is_wider_than_the_pods_the_other_node_refuses() -> None:
    """Direct routing: bare over an underlay of 1500, into pods of 1450."""
    _, found = paths("flannel-vxlan", {"direct_routing": True}, external=False)
    assert all("192.168.0" in path.refusers[0] for path in found.forwards)
    assert {path.refused for path in found.mtus if path.source.startswith("node")} == {False}


def test_every_pods_port_must_reflect() -> None:
    plan, found = paths()
    assert {mirror.namespace for mirror in found.mirrors} == {
        space.name for space in plan.namespaces.values() if space.role == "pod"
    }


def test_a_node_alone_has_no_paths() -> None:
    _, found = paths(nodes=1, pods_per_node=0, external=False)
    assert found == Paths()
