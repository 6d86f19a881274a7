"""Which paths are proved on the underlay and for their MTU, and what is expected there."""

from __future__ import annotations

from typing import Any

import pytest

from netlab import Node
from netlab.plan.headers import Ether, Ip6, Stack, Udp, Vxlan, Wireguard, ip
from netlab.plan.probing.actions import CapturedEcho, Echo, GsoPacket, LongEcho, Oversize, Together
from netlab.plan.probing.evidence import NotOnWire, OnWire, Unresolved
from netlab.plan.probing.lab import Lab
from tests.unit.labs import HostRoutes, lab_of, probes
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS


def wires(lab: Lab, kind: type[Any] = OnWire) -> list[Any]:
    return [p for p in probes(lab, CapturedEcho) if isinstance(p.expectation, kind)]


def between(lab: Lab, source: str, target: str, *, ipv6: bool = False) -> dict[Any, Stack]:
    """What is expected on the path from a pod of one node to a pod of another."""
    return next(
        dict(p.expectation.ports)
        for p in wires(lab)
        if p.source.startswith(f"pod-{source}-")
        and p.target.startswith(f"pod-{target}-")
        and p.action.ipv6 is ipv6
    )


def mac(lab: Lab, namespace: str, device: str = "eth0") -> str:
    return lab.mac(namespace, device)


def mtus(lab: Lab, part: type[Any]) -> list[Any]:
    """The MTU proofs whose first action is of a kind."""
    return [p for p in probes(lab, Together) if isinstance(p.action.parts[0], part)]


def test_every_ordered_node_pair_each_node_and_the_outside_are_proved() -> None:
    lab = lab_of()
    pods, hosts = 6 + 3 + 3, 6 + 3
    found = probes(lab, CapturedEcho)
    assert len(found) == pods + hosts
    assert sum(p.kind == "node-node" for p in found) == 6
    assert len({p.action for p in found}) == len(found)


def test_vxlan_is_expected_with_all_its_headers() -> None:
    lab = lab_of()
    ports = between(lab, "1", "2")
    assert ports == dict.fromkeys(
        [("underlay", "node-1"), ("underlay", "node-2")],
        Ether(mac(lab, "node-1"), mac(lab, "node-2"))
        / ip("192.168.0.1", "192.168.0.2")
        / Udp(8472)
        / Vxlan(1)
        / Ether(mac(lab, "node-1", "flannel.1"), mac(lab, "node-2", "flannel.1"))
        / ip("10.244.0.2", "10.244.1.2", 63),
    )


def test_with_both_families_each_has_its_tunnel() -> None:
    lab = lab_of(**DUAL_STACK)
    (stack, _) = between(lab, "1", "2", ipv6=True).values()
    assert stack.form == "VXLAN, VNI 1, UDP 8472, over IPv6"
    assert isinstance(stack.headers[1], Ip6)
    assert stack.headers[1:2] == (ip("fd30::1", "fd30::2"),)
    assert stack.headers[-1] == ip("fd44::2", "fd44:0:0:1::2", 63)


def test_host_gw_is_expected_bare_from_node_to_node() -> None:
    lab = lab_of("flannel-host-gw")
    bare = Ether(mac(lab, "node-1"), mac(lab, "node-2")) / ip("10.244.0.2", "10.244.1.2", 63)
    assert list(between(lab, "1", "2").values()) == [bare, bare]


def test_between_subnets_frames_go_by_the_router() -> None:
    lab = lab_of(underlay=TWO_SUBNETS)
    ports = between(lab, "1", "2")
    assert list(ports) == [
        ("underlay-1", "node-1"),
        ("underlay-1", "router"),
        ("underlay-2", "router"),
        ("underlay-2", "node-2"),
    ]
    leaving, at_router, from_router, arriving = ports.values()
    assert (at_router, from_router) == (leaving, arriving)
    assert leaving.headers[0] == Ether(mac(lab, "node-1"), mac(lab, "router", "eth0"))
    assert arriving.headers[0] == Ether(mac(lab, "router", "eth1"), mac(lab, "node-2"))
    assert leaving.headers[1:] == arriving.headers[1:], (
        "the router sees the outer header's TTL only"
    )


def test_what_goes_outside_is_bare_and_under_the_nodes_address() -> None:
    found = wires(lab_of(underlay=TWO_SUBNETS))
    by_source = {
        p.source: list(p.expectation.ports.values()) for p in found if p.target == "external"
    }
    near = [stack.headers[1:] for stack in by_source["pod-1-2"]]
    assert near == [(ip("192.168.1.1", "203.0.113.10", ttl),) for ttl in (63, 63, 62, 62)]
    ttls = [stack.headers[-1].ttl for stack in by_source["pod-2-2"]]
    assert ttls == [63, 63, 62, 62], "the router forwards the bare packet"


def test_on_one_node_nothing_may_be_seen() -> None:
    local = wires(lab_of(), NotOnWire)
    assert [(p.source, p.target) for p in local] == [
        (f"pod-{node}-1", f"pod-{node}-2") for node in (1, 2, 3)
    ]


@pytest.mark.parametrize("fields", [{}, DUAL_STACK])
def test_unreachable_pairs_are_shown_to_end_at_the_search_for_the_next_hop(
    fields: dict[str, Any],
) -> None:
    lab = lab_of("flannel-host-gw", underlay=TWO_SUBNETS, **fields)
    pods = [p for p in wires(lab) if p.source[:4] == p.target[:4] == "pod-"]
    assert {(p.source[4], p.target[4]) for p in pods} == {("1", "3"), ("3", "1")}
    barred = wires(lab, Unresolved)
    assert len(barred) == 4 * len(lab.families)
    first = next(p for p in barred if p.source.startswith("pod-1-"))
    assert first.action.unresolved == (("node-1", "eth0", "192.168.2.1"),)
    assert not first.action.wanted
    expected = first.expectation
    assert (expected.port, expected.next_hop) == (("underlay-1", "node-1"), "192.168.2.1")
    assert expected.mac == mac(lab, "node-1")
    assert "192.168.1.1" in expected.addresses
    if fields:
        hops = {p.expectation.next_hop for p in barred if p.action.ipv6}
        assert hops == {"fd30::1", "fd30::2", "fd30:0:0:1::1"}


def test_nodes_prove_the_underlay_by_themselves() -> None:
    """All pairs, bare and not yet forwarded by anybody but a router."""
    found = wires(lab_of(pods_per_node=0, underlay=TWO_SUBNETS))
    ttls = {
        (p.source, p.target): [stack.headers[-1].ttl for stack in p.expectation.ports.values()]
        for p in found
    }
    assert len(ttls) == 6 + 3
    assert ttls["node-1", "node-3"] == [64, 64]
    assert ttls["node-1", "node-2"] == [64, 64, 63, 63]
    assert ttls["node-1", "external"] == [64, 64, 63, 63]


def test_nodes_without_pods_are_in_no_pair_of_pods() -> None:
    found = wires(lab_of(nodes=[Node(pods=1), Node(pods=0), Node(pods=1)]))
    pods = {(p.source, p.target) for p in found if p.source[:4] == p.target[:4] == "pod-"}
    assert pods == {("pod-1-1", "pod-3-1"), ("pod-3-1", "pod-1-1")}


@pytest.mark.parametrize(
    ("dataplane", "limits", "refuser"),
    [
        ("flannel-vxlan", (1450, 1430), ("10.244.0.1", "fd44::1")),
        ("flannel-host-gw", (1500, 1500), ("10.244.0.1", "fd44::1")),
        (HostRoutes(), (1500, 1500), ("192.168.0.1", "fd30::1")),
    ],
)
def test_the_limit_is_the_dataplanes_in_either_family(
    dataplane: Any, limits: tuple[int, int], refuser: tuple[str, str]
) -> None:
    lab = lab_of(dataplane, **DUAL_STACK)
    for ipv6, headers, limit in zip((False, True), (28, 48), limits, strict=True):
        across = [
            p
            for p in mtus(lab, Echo)
            if p.action.ipv6 is ipv6 and (p.source[4], p.target[4]) == ("1", "2")
        ]
        assert {p.expectation.limit for p in across} == {limit}
        assert {len(p.action.parts[0].payload) + headers for p in across} == {limit}
        forwarded = [p for p in mtus(lab, GsoPacket) if p.action.ipv6 is ipv6]
        sizes = {tuple(part.size for part in p.action.parts) for p in forwarded}
        assert sizes == {(limit, limit + 1)}
        first = next(p for p in forwarded if p.source.startswith("pod-1-"))
        assert first.expectation.refusers[0] == refuser[ipv6]


def test_pods_without_a_bridge_keep_their_mtu_proof() -> None:
    lab = lab_of(HostRoutes())
    assert len(mtus(lab, GsoPacket)) == 6
    packet = mtus(lab, GsoPacket)[0].action.parts[0]
    assert packet.macs == (mac(lab, packet.namespace), "ee:ee:ee:ee:ee:ee")


def test_every_class_of_path_has_an_mtu_proof() -> None:
    found = mtus(lab_of(), Echo)
    classes = {(p.source.split("-")[0], p.target.split("-")[0]) for p in found}
    assert classes == {
        *(("pod", "pod"), ("node", "pod"), ("pod", "external")),
        *(("node", "node"), ("node", "external"), ("external", "node")),
    }
    assert all(isinstance(p.action.parts[1], Oversize) for p in found)
    assert len(found) == 15 + 6 + 3 + 3


def longer(found: list[Any]) -> dict[tuple[str, str], int]:
    """What the sources' own devices take of it, where that is more than the path does."""
    return {
        (p.source, p.target): p.action.parts[1].size
        for p in found
        if isinstance(p.action.parts[1], LongEcho)
    }


def test_where_the_way_is_wider_than_the_pods_the_other_node_refuses() -> None:
    """Direct routing: bare over an underlay of 1500, into pods of 1450."""
    lab = lab_of("flannel-vxlan", {"direct_routing": True}, external=False)
    assert all("192.168.0" in p.expectation.refusers[0] for p in mtus(lab, GsoPacket))
    to_pods = [p for p in mtus(lab, Echo) if p.source[:4] == "node" and p.target[:3] == "pod"]
    assert set(longer(to_pods).values()) == {1500}
    assert len(longer(to_pods)) == len(to_pods)


def test_what_the_source_would_send_is_an_echo() -> None:
    """IPv6 over VXLAN from pods of 1450."""
    lab = lab_of(external=False, **DUAL_STACK)
    wider = [p for p in mtus(lab, Echo) if p.action.ipv6 and p.expectation.limit == 1430]
    from_pods = [p for p in wider if p.source.startswith("pod-")]
    assert from_pods
    assert len(longer(from_pods)) == len(from_pods)
    assert set(longer(from_pods).values()) == {1450}
    assert len(longer(wider)) == len(from_pods), "nodes refuse it themselves"


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_a_device_with_less_than_its_segment_is_tried_with_all_that_others_send(
    dataplane: str,
) -> None:
    lab = lab_of(dataplane, nodes=[Node(), Node(mtu=1400)], pods_per_node=1, underlay_mtu=1500)
    pods = 1450 if dataplane == "flannel-vxlan" else 1500
    assert longer(mtus(lab, Echo)) == {
        ("pod-1-1", "pod-2-1"): pods,
        ("node-1", "pod-2-1"): pods,
        ("node-1", "node-2"): 1500,
        ("external", "node-2"): 1500,
    }


def test_a_node_alone_has_no_paths() -> None:
    assert probes(lab_of(nodes=1, pods_per_node=0, external=False)) == []


@pytest.mark.parametrize("underlay", [["192.168.0.0/24"], TWO_SUBNETS])
def test_wireguard_is_expected_without_what_is_inside(underlay: list[str]) -> None:
    lab = lab_of("flannel-wireguard", underlay=underlay)
    first, second, _ = lab.layout.nodes
    outer = str(first.address), str(second.address)
    for stack in between(lab, "1", "2").values():
        assert stack.headers[1:] == (ip(*outer), Udp(51820), Wireguard())
    sealed = [p.action.sealed for p in wires(lab) if (p.source[4], p.target[4]) == ("1", "2")]
    assert tuple(reversed(outer)) in sealed
    assert {p.action.sealed for p in wires(lab, NotOnWire)} == {("", "")}
    outside = [p for p in wires(lab) if p.target == "external"]
    assert outside
    assert {p.action.sealed for p in outside} == {None}
    assert {p.action.sealed for p in wires(lab_of())} == {None}


def test_a_node_alone_encrypts_nothing() -> None:
    local = wires(lab_of("flannel-wireguard", nodes=1), NotOnWire)
    assert [probe.action.sealed for probe in local] == [None]


def test_what_ipip_learns_from_a_router_is_asked_by_a_long_echo_alone() -> None:
    lab = lab_of("flannel-ipip", underlay=TWO_SUBNETS, underlay_mtu=[1500, 1400], nodes=2)
    forwarded = {(p.source[:5], p.target[:5]) for p in mtus(lab, GsoPacket)}
    assert forwarded == {("pod-2", "pod-1")}, "where the node's own device is the narrowest"
    longer = {
        (p.source[:5], p.target[:5]): p.action.parts[1].size
        for p in mtus(lab, Echo)
        if len(p.action.parts) > 1 and isinstance(p.action.parts[1], LongEcho)
    }
    assert longer["pod-1", "pod-2"] == 1480
