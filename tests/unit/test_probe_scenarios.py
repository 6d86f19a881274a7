"""Whom the scenarios ask, and what they expect."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest

from netlab import Container, Node, Pod
from netlab.plan.probing.actions import (
    CapturedEcho,
    Echo,
    HairpinFrame,
    Inspection,
    Request,
    Together,
)
from netlab.plan.probing.check import KINDS
from netlab.plan.probing.expectations import Answer, NoReply, Refused, Reply
from netlab.probe.scenarios import registry
from netlab.probe.scenarios.hairpin import Hairpin
from tests.unit.labs import HostRoutes, PlainRoutes, ReachedFromOutside, lab_of, probes
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS

PODS = ("pod-same-node", "pod-cross-node")


def requests(found: list[Any], *kinds: str) -> list[Any]:
    return [p for p in found if isinstance(p.action, Request) and p.kind in kinds]


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
        ("flannel-vxlan", {}, 228),
        ("flannel-host-gw", {}, 228),
        ("flannel-vxlan", {"underlay": TWO_SUBNETS}, 228),
        ("flannel-host-gw", {"underlay": TWO_SUBNETS}, 167),
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
    found = list(requests(probes(lab_of(dataplane, **DUAL_STACK)), "node-pod"))
    seen = {(p.target, p.action.ipv6): p.expectation.clients for p in found if p.source == "node-1"}
    assert seen == {
        ("pod-1-1", False): ("10.244.0.1",),
        ("pod-2-1", False): (remote,),
        ("pod-3-1", False): (remote,),
        ("pod-1-1", True): ("fd44::1",),
        ("pod-2-1", True): (remote6,),
        ("pod-3-1", True): (remote6,),
    }


def test_what_must_not_work_is_expected_not_to() -> None:
    found = probes(lab_of())
    outside = [p for p in found if p.source == "external"]
    assert {p.target for p in outside} == {"pod-1-1", "pod-2-1", "pod-3-1"}
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
@pytest.mark.parametrize(("nodes", "asked"), [(3, 3), (20, 5)])
def test_the_router_is_asked_no_more_often_than_it_answers_one_host(
    underlay: Any, nodes: int, asked: int
) -> None:
    found = probes(lab_of(underlay=underlay, nodes=nodes), Echo)
    assert sum(p.source == "external" for p in found) == asked


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
    from_outside = [p for p in found if p.source == "external"]
    assert {p.kind for p in from_outside} == {"pod-external"}
    assert all(p.expectation == Reply() and p.action.wanted for p in from_outside)
    to_outside = requests(found, "pod-external")
    assert {p.expectation.clients for p in to_outside if p.source == "pod-2-1"} == {("10.244.1.2",)}


def test_a_lab_may_lack_almost_everything() -> None:
    assert probes(lab_of(nodes=1, pods_per_node=0, external=False)) == []
    lonely = probes(lab_of(nodes=1, pods_per_node=1, containers=0))
    echoes = [(p.kind, p.source) for p in lonely if isinstance(p.action, Echo)]
    assert echoes == [("node-pod", "node-1"), ("pod-external", "pod-1-1"), ("negative", "external")]
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
