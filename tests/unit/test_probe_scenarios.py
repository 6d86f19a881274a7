"""Whom the scenarios ask, and what they expect."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from netlab import Container, Node, Pod
from netlab.plan.probing.actions import (
    Call,
    CapturedEcho,
    ColdEcho,
    Echo,
    HairpinFrame,
    Inspection,
    Request,
    Together,
)
from netlab.plan.probing.check import KINDS
from netlab.plan.probing.expectations import Answer, NoReply, Refused, Reply, SeenAs
from netlab.plan.probing.lab import address
from netlab.probe.engines.cold import rounds
from netlab.probe.scenarios import registry
from netlab.probe.scenarios.hairpin import Hairpin
from tests.unit.labs import HostRoutes, PlainRoutes, ReachedFromOutside, lab_of, probes
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS

PODS = ("pod-same-node", "pod-cross-node")


def requests(found: list[Any], *kinds: str) -> list[Any]:
    return [p for p in found if isinstance(p.action, Request) and p.kind in kinds]


def called(found: list[Any], *kinds: str) -> list[Any]:
    return [p for p in found if isinstance(p.action, Call) and p.kind in kinds]


def lab_pod(lab: Any, name: str) -> Any:
    return next(pod for pod in lab.layout.pods if pod.name == name)


def inspected(found: list[Any]) -> list[Any]:
    return [p for p in found if isinstance(p.action, Together) and p.kind == "container"]


def test_every_scenario_is_found_once_in_the_order_of_kinds() -> None:
    kinds = [scenario.kind for scenario in registry()]
    assert kinds == sorted(kinds, key=KINDS.index)
    names = [type(scenario).__name__ for scenario in registry()]
    assert len(set(names)) == len(names)
    assert {"PodToPod", "NodeToPod", "Hairpin", "PathMtus", "AcrossNodes"} <= set(names)


@pytest.mark.parametrize(
    ("dataplane", "fields", "checks"),
    [
        ("flannel-vxlan", {}, 399),
        ("flannel-host-gw", {}, 399),
        ("flannel-vxlan", {"underlay": TWO_SUBNETS}, 395),
        ("flannel-host-gw", {"underlay": TWO_SUBNETS}, 322),
    ],
)
def test_the_shipped_labs_are_asked_as_much_as_ever(
    dataplane: str, fields: dict[str, Any], checks: int
) -> None:
    assert len(probes(lab_of(dataplane, **fields))) == checks


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_a_dual_stack_lab_is_asked_everything_in_both_families(dataplane: str) -> None:
    single = Counter(probe.kind for probe in probes(lab_of(dataplane)))
    dual = probes(lab_of(dataplane, **DUAL_STACK))
    once = {"hairpin": single["hairpin"]}  # a frame has no address family
    by_family = [Counter(p.kind for p in dual if p.action.ipv6 is ipv6) for ipv6 in (False, True)]
    assert by_family[0] == single
    assert by_family[1] == single - Counter(once)


def test_every_ordered_pair_of_a_small_lab_is_probed_by_every_protocol() -> None:
    lab = lab_of()
    found = probes(lab)
    pairs = set(itertools.permutations([pod.name for pod in lab.layout.pods], 2))
    echoes = [p for p in found if isinstance(p.action, Echo) and p.kind in PODS]
    assert {(p.source, p.target) for p in echoes} == pairs
    for protocol in ("tcp", "http", "udp"):
        asked = [p for p in requests(found, *PODS) if p.action.protocol == protocol]
        assert {(p.source, p.target) for p in asked} == pairs


def test_the_kind_says_whether_the_pods_share_a_node() -> None:
    lab = lab_of()
    nodes = {pod.name: pod.node for pod in lab.layout.pods}
    for probe in probes(lab, Echo):
        if probe.source in nodes and probe.target in nodes:
            same = nodes[probe.source] == nodes[probe.target]
            assert probe.kind == ("pod-same-node" if same else "pod-cross-node")


def test_a_pods_own_address_must_be_seen_in_the_cluster_and_its_nodes_outside() -> None:
    lab = lab_of()
    addresses = {pod.name: str(pod.address) for pod in lab.layout.pods}
    nodes = {pod.name: str(lab.nodes[pod.node].address) for pod in lab.layout.pods}
    found = probes(lab)
    for probe in requests(found, *PODS):
        assert probe.expectation.clients == (addresses[probe.source],)
    outside = requests(found, "pod-external")
    assert {probe.source for probe in outside} == set(addresses)
    for probe in outside:
        assert probe.expectation.clients == (nodes[probe.source],)


def test_every_node_reaches_pods_of_its_own_and_of_others() -> None:
    lab = lab_of()
    places = {pod.name: pod.node for pod in lab.layout.pods}
    for node in lab.layout.nodes:
        targets = {places[p.target] for p in probes(lab, Echo) if p.source == node.name}
        assert targets == set(lab.nodes)


@pytest.mark.parametrize(
    ("dataplane", "remote", "remote6"),
    [
        ("flannel-vxlan", "10.244.0.0", "fd44::"),
        ("flannel-host-gw", "192.168.0.1", "fd30::1"),
    ],
)
def test_a_pod_must_see_the_address_by_which_a_node_sends(
    dataplane: str, remote: str, remote6: str
) -> None:
    found = called(probes(lab_of(dataplane, **DUAL_STACK)), "node-pod")
    seen = {
        (p.target, p.action.ipv6): p.expectation
        for p in found
        if p.source == "node-1" and p.target.endswith("-1")
    }
    assert seen == {
        ("pod-1-1", False): SeenAs("10.244.0.1"),
        ("pod-2-1", False): SeenAs(remote),
        ("pod-3-1", False): SeenAs(remote),
        ("pod-1-1", True): SeenAs("fd44::1"),
        ("pod-2-1", True): SeenAs(remote6),
        ("pod-3-1", True): SeenAs(remote6),
    }


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", PlainRoutes()])
def test_nodes_see_pods_as_the_dataplane_says(dataplane: Any) -> None:
    """Their own ones always under the pod's address, others' where nobody masquerades."""
    lab = lab_of(dataplane, **DUAL_STACK)
    pods = {pod.name: pod for pod in lab.layout.pods}
    for probe in called(probes(lab), "pod-node"):
        pod, ipv6 = pods[probe.source], probe.action.ipv6
        hidden = isinstance(dataplane, str) and pod.node != probe.target
        assert probe.expectation.client == str(
            address(lab.nodes[pod.node] if hidden else pod, ipv6)
        )


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("node-pod", 18),
        ("pod-node", 18),
        ("node-node", 6),
        ("pod-external", 6),
        ("node-external", 3),
        ("external-node", 3),
    ],
)
def test_each_kind_of_pair_is_asked_by_every_protocol(kind: str, pairs: int) -> None:
    found = [p for p in probes(lab_of()) if p.kind == kind or kind == "node-external"]
    for protocol in ("tcp", "udp"):
        ends = {(p.source, p.target) for p in called(found, kind) if p.action.protocol == protocol}
        assert len(ends) == pairs
    echoes = [p for p in found if isinstance(p.action, Echo | CapturedEcho)]
    hosts = {f"node-{n}" for n in (1, 2, 3)}
    if kind == "node-external":  # by an echo that is captured
        echoes = [p for p in echoes if p.source in hosts and p.target == "external"]
    assert len({(p.source, p.target) for p in echoes}) == pairs


def test_without_masquerade_what_has_no_way_back_is_not_promised() -> None:
    """Of two subnets by host-gw, the other node gets the pod's packet, and cannot answer it."""
    lab = lab_of("flannel-host-gw", {"ip_masq": False}, underlay=TWO_SUBNETS)
    asked = [p for p in probes(lab, Echo) if p.source == "pod-1-1" and p.target in lab.nodes]
    assert {p.target: p.kind for p in asked} == {
        "node-1": "pod-node",
        "node-2": "negative",
        "node-3": "pod-node",
    }


def test_pods_without_a_server_are_called_by_each_other() -> None:
    lab = lab_of(containers=0)
    pairs = set(itertools.permutations([pod.name for pod in lab.layout.pods], 2))
    for protocol in ("tcp", "udp"):
        found = [p for p in called(probes(lab), *PODS) if p.action.protocol == protocol]
        assert {(p.source, p.target) for p in found} == pairs
        assert all(p.expectation.client == str(lab_pod(lab, p.source).address) for p in found)


def test_neighbours_are_asked_for_cold_by_either_end() -> None:
    lab = lab_of()
    found = probes(lab, ColdEcho)
    gateways = {(p.source, p.target) for p in found if p.kind in ("pod-node", "node-pod")}
    for pod in lab.layout.pods:
        assert {(pod.name, pod.node), (pod.node, pod.name)} <= gateways
    bridges = {(p.source, p.target) for p in found if p.kind == "pod-same-node"}
    assert {source for source, _ in bridges} == {pod.name for pod in lab.layout.pods}
    nodes = {(p.source, p.target) for p in found if p.kind == "node-node"}
    assert nodes == set(itertools.permutations(lab.nodes, 2))
    one = next(p for p in found if (p.source, p.target) == ("pod-1-1", "node-1"))
    assert one.action == ColdEcho(
        "pod-1-1",
        "192.168.0.1",
        ("pod-1-1", "eth0"),
        ("node-1", "cni0"),
        (("pod-1-1", "eth0", "10.244.0.1"), ("node-1", "cni0", "10.244.0.2")),
    )
    out, back = (
        next(p.action for p in found if (p.source, p.target) == ends)
        for ends in (("node-1", "external"), ("external", "node-1"))
    )
    assert out.forgotten == (("node-1", "eth0", "192.168.0.254"), ("router", "eth0", "192.168.0.1"))
    assert set(back.forgotten) == set(out.forgotten)


def test_by_neighbour_discovery_the_link_local_addresses_are_forgotten_too() -> None:
    found = [p.action for p in probes(lab_of(**DUAL_STACK), ColdEcho) if p.action.ipv6]
    one = next(action for action in found if action.target == "fd30::1")
    known = [(namespace, device, text[:6]) for namespace, device, text in one.forgotten]
    assert known == [
        ("pod-1-1", "eth0", "fd44::"),
        ("pod-1-1", "eth0", "fe80::"),
        ("node-1", "cni0", "fd44::"),  # a pod has no link-local address
    ]


def test_what_the_plan_knows_is_not_asked_for() -> None:
    """Entries of a pod behind a veth of its own are the plan's."""
    lab = lab_of(HostRoutes())
    planned = {
        (space.name, item.link, item.address)
        for space in lab.plan.namespaces.values()
        for item in space.neighbours
    }
    found = probes(lab, ColdEcho)
    for probe in found:
        assert not planned & set(probe.action.forgotten)
        assert probe.action.forgotten
    pods = {p.source: p.action for p in found if p.kind == "pod-node"}
    assert pods["pod-1-1"].forgotten == (("pod-1-1", "eth0", "169.254.1.1"),)
    assert pods["pod-1-1"].target == "192.168.0.1", "through what is nobody's address"
    assert not any(p.kind == "node-pod" for p in found)


@pytest.mark.parametrize(("nodes", "most"), [(2, 4), (3, 4), (16, 10)])
def test_nobody_asks_and_is_asked_for_the_same_at_one_time(nodes: int, most: int) -> None:
    found = [p.action for p in probes(lab_of(nodes=nodes, **DUAL_STACK), ColdEcho)]
    parts = rounds(found)
    assert sorted(number for part in parts for number in part) == list(range(len(found)))
    for part in parts:
        actions = [found[number] for number in part]
        assert not {one.asks for one in actions} & {one.answers for one in actions}
        entries = [entry for one in actions for entry in one.forgotten]
        assert len(entries) == len(set(entries))
    assert len(parts) <= most


def test_what_must_not_work_is_expected_not_to() -> None:
    found = probes(lab_of())
    outside = [p for p in found if p.source == "external" and p.target.startswith("pod-")]
    assert {p.target for p in outside} == {f"pod-{n}-{p}" for n in (1, 2, 3) for p in (1, 2)}
    assert all(p.kind == "negative" and not p.action.wanted for p in outside)
    local = requests(found, "negative")
    assert {p.source for p in local} == {f"pod-{n}-{p}" for n in (1, 2, 3) for p in (1, 2)}
    assert all(p.action.address == "127.0.0.1" for p in local)
    assert all(p.expectation == Refused() for p in local)
    assert all(not p.target.startswith(f"{p.source}/") for p in local)


def test_pairs_that_the_dataplane_calls_unreachable_are_negative_and_not_asked() -> None:
    lab = lab_of("flannel-host-gw", underlay=TWO_SUBNETS)
    found = probes(lab)
    subnets = {pod.name: lab.nodes[pod.node].subnet for pod in lab.layout.pods}
    for probe in [p for p in found if isinstance(p.action, Echo)]:
        if probe.source in subnets and probe.target in subnets:
            apart = subnets[probe.source] != subnets[probe.target]
            assert (probe.kind == "negative") is apart
            assert isinstance(probe.expectation, NoReply) is apart
    nodes = [p for p in found if p.source == "node-1" and isinstance(p.expectation, NoReply)]
    assert {p.target for p in nodes} == {"pod-2-1", "pod-2-2"}
    assert all(p.kind == "negative" and not p.action.wanted for p in nodes)
    for probe in requests(found, *PODS):
        assert subnets[probe.source] == subnets[probe.target]


@pytest.mark.parametrize("underlay", [TWO_SUBNETS, "192.168.0.0/24"])
@pytest.mark.parametrize(("nodes", "asked"), [(3, 6), (20, 5)])
def test_in_a_large_lab_the_router_is_asked_no_more_often_than_it_answers_one_host(
    underlay: Any, nodes: int, asked: int
) -> None:
    found = probes(lab_of(underlay=underlay, nodes=nodes), Echo)
    assert sum(p.source == "external" and p.kind == "negative" for p in found) == asked


def test_without_masquerade_the_client_gets_requests_and_has_no_way_back() -> None:
    found = [p for p in probes(lab_of(PlainRoutes())) if p.target == "external"]
    pods = [p for p in found if p.source.startswith("pod-")]
    echoes = [p for p in pods if isinstance(p.action, Echo)]
    assert len(echoes) == 6
    assert {p.kind for p in echoes} == {"negative"}
    assert {p.expectation for p in echoes} == {NoReply("the client has no route back to pods")}
    assert not any(p.action.wanted for p in echoes)
    wires = [p for p in pods if isinstance(p.action, CapturedEcho)]
    assert {p.expectation.no_reply for p in wires} == {"the client has no route back to pods"}
    packets = {stack.headers[-1].source for p in wires for stack in p.expectation.ports.values()}
    assert packets == {"10.244.0.3", "10.244.1.3", "10.244.2.3"}, "under their own addresses"
    assert len(pods) == len(echoes) + len(wires), "nothing else of which an answer would be needed"


def test_who_is_reached_from_outside_is_the_dataplanes_word() -> None:
    found = probes(lab_of(ReachedFromOutside()))
    from_outside = [p for p in found if p.source == "external" and p.kind == "pod-external"]
    assert not [p for p in found if p.source == "external" and p.kind == "negative"]
    echoes = [p for p in from_outside if isinstance(p.action, Echo)]
    assert all(p.expectation == Reply() and p.action.wanted for p in echoes)
    assert {p.expectation for p in called(from_outside, "pod-external")} == {SeenAs("203.0.113.10")}
    to_outside = requests(found, "pod-external")
    assert {p.expectation.clients for p in to_outside if p.source == "pod-2-1"} == {("10.244.1.2",)}


def test_a_lab_may_lack_almost_everything() -> None:
    assert probes(lab_of(nodes=1, pods_per_node=0, external=False)) == []
    lonely = probes(lab_of(nodes=1, pods_per_node=1, containers=0))
    echoes = [(p.kind, p.source) for p in lonely if isinstance(p.action, Echo)]
    assert echoes == [
        ("node-pod", "node-1"),
        ("pod-node", "pod-1-1"),
        ("pod-external", "pod-1-1"),
        ("external-node", "external"),
        ("negative", "external"),
    ]
    assert [p.kind for p in lonely if isinstance(p.action, Request)] == ["pod-external"]


def test_a_container_with_a_command_is_not_asked_but_its_namespaces_are_compared() -> None:
    containers = (Container("server"), Container("own", command=("sleep", "9")))
    found = probes(lab_of(nodes=[Node(pods=[Pod("web", containers=containers)])], external=False))
    to_own, to_server = inspected(found)
    assert to_own.action.parts == (Inspection("web", "server", "own"),)
    look, request = to_server.action.parts
    assert look == Inspection("web", "own", "server")
    assert request.address == "127.0.0.1"
    answers = [p.expectation for p in found if isinstance(p.expectation, Answer)]
    assert {answer.by for answer in answers} == {"web server"}


def test_in_a_dual_stack_pod_containers_are_asked_on_both_loopback_addresses() -> None:
    found = inspected(probes(lab_of(nodes=1, pods_per_node=1, **DUAL_STACK)))
    asked = Counter(probe.action.parts[1].address for probe in found)
    assert asked == {"127.0.0.1": 2, "::1": 2}


def test_a_large_lab_is_not_asked_for_everything() -> None:
    lab = lab_of(nodes=8, pods_per_node=20)
    found = probes(lab)
    assert len(lab.layout.pods) == 160
    assert len(found) < 2200
    pairs = [p for p in found if isinstance(p.action, Echo) and p.kind in PODS]
    names = {pod.name for pod in lab.layout.pods}
    assert {p.source for p in pairs} == {p.target for p in pairs} == names


def test_every_pods_port_must_reflect() -> None:
    lab = lab_of()
    found = probes(lab, HairpinFrame)
    assert {p.source for p in found} == {pod.name for pod in lab.layout.pods}
    for probe in found:
        assert probe.kind == "hairpin"
        assert probe.action.mac == lab.namespace(probe.source).link("eth0").mac


@pytest.mark.parametrize(
    ("dataplane", "words"),
    [
        (PlainRoutes(), "hairpin mode is off at the bridge ports of the pods"),
        (HostRoutes(), "pods are attached by ptp, not to a port of a bridge"),
    ],
)
def test_without_hairpin_it_is_skipped_with_a_reason(dataplane: Any, words: str) -> None:
    lab = lab_of(dataplane)
    assert Hairpin().applies(lab) == words
    assert probes(lab, HairpinFrame) == []
