"""How packets look on the underlay: the headers are the dataplane's word, the MACs the plan's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, ClassVar

from netlab.plan.egress import egress
from netlab.plan.headers import BARE, Ether, Stack, ip
from netlab.plan.names import UPLINK
from netlab.plan.probing.actions import CapturedEcho, Device
from netlab.plan.probing.check import Kind
from netlab.plan.probing.evidence import NotOnWire, OnWire, Unresolved
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.probing.sample import Sample, node_pairs, representatives
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.topology.resolved import ROUTER, NodeSpec, PodSpec

TTL = 64  # as the kernel sends


class AcrossNodes(Scenario):
    """For each pair of nodes a pod of either."""

    kind: ClassVar[Kind] = "wire"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        between = node_pairs([node for node in lab.layout.nodes if node.pods])
        reachable = [(a, b) for a, b in between if not lab.unreachable(a.name, b.name)]
        for ipv6 in lab.families:
            for source, target in representatives(reachable):
                a, b = lab.nodes[source.node], lab.nodes[target.node]
                headers = lab.datapath.headers(lab.layout, a, b, ipv6)
                ends = str(address(source, ipv6)), str(address(target, ipv6))
                ttl = lab.datapath.wire_ttl(lab.layout, a, b)
                expectation = OnWire(ports(lab, a, b, headers, ends, ttl), machine=lab.machine)
                echo = CapturedEcho(source.name, ends[1], sealed=_reply(headers))
                yield Probe("wire", source.name, target.name, echo, expectation)


class OnOneNode(Scenario):
    """Between pods of one node nothing may be seen."""

    kind: ClassVar[Kind] = "wire"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for ipv6 in lab.families:
            for node in lab.layout.nodes:
                if len(node.pods) > 1:
                    first, last = node.pods[0], node.pods[-1]
                    ip_of_last = str(address(last, ipv6))
                    echo = CapturedEcho(first.name, ip_of_last, sealed=_never(lab, node, ipv6))
                    yield Probe("wire", first.name, last.name, echo, NotOnWire())


class ToOutside(Scenario):
    """Bare, however pods' packets travel between nodes, and under the address the client sees."""

    kind: ClassVar[Kind] = "wire"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        if external is None:
            return
        for ipv6 in lab.families:
            for node in lab.layout.nodes:
                if node.pods:
                    pod = node.pods[-1]
                    reason = lab.unanswered(pod, external, ipv6)
                    ends = lab.seen_as(pod, external, ipv6), str(address(external, ipv6))
                    seen = OnWire(
                        ports(lab, node, external, BARE, ends, TTL - 1), reason, lab.machine
                    )
                    echo = CapturedEcho(pod.name, ends[1], wanted=reason is None)
                    yield Probe("wire", pod.name, external.name, echo, seen)


class Unreachable(Scenario):
    """What bars two nodes is seen where the next hop is looked for on the wrong segment."""

    kind: ClassVar[Kind] = "wire"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        between = node_pairs([node for node in lab.layout.nodes if node.pods])
        barred = [(a, b) for a, b in between if lab.unreachable(a.name, b.name)]
        for ipv6 in lab.families:
            for source, target in representatives(barred):
                if probe := _unresolved(lab, source, target, ipv6):
                    yield probe


def _reply(headers: Stack) -> tuple[str, str] | None:
    """The outer addresses of a reply to what has these headers; None where it is not encrypted."""
    outer = headers.outer
    if outer is None or not headers.sealed:
        return None
    return outer.destination or "", outer.source or ""


def _never(lab: Lab, node: NodeSpec, ipv6: bool) -> tuple[str, str] | None:
    """No addresses where a node encrypts what it sends to others, so that it would be known."""
    to_others = (lab.datapath.headers(lab.layout, node, b, ipv6) for b in lab.layout.others(node))
    return ("", "") if any(headers.sealed for headers in to_others) else None


def _unresolved(
    lab: Lab, source: PodSpec, target: PodSpec, ipv6: bool
) -> Probe[CapturedEcho] | None:
    node, ip_of_target = lab.nodes[source.node], address(target, ipv6)
    way = egress(lab.namespace(node.name), ip_of_target)
    if way is None or way.gateway is None or way.device != UPLINK:
        return None
    if any(ip_address(way.gateway) in network for network in node.subnet.networks):
        return None
    port, uplink = lab.port(node), lab.uplink(node)
    own = tuple(item.ip for item in lab.namespace(node.name).addresses if item.link == uplink.name)
    asked_for = (node.name, uplink.name, way.gateway)
    echo = CapturedEcho(source.name, str(ip_of_target), wanted=False, unresolved=(asked_for,))
    expectation = Unresolved(port, uplink.mac, own, way.gateway)
    return Probe("wire", source.name, target.name, echo, expectation)


class Underlay(Scenario):
    """The underlay by itself, pods aside: nodes with each other and with the client."""

    kind: ClassVar[Kind] = "node-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        ends: list[tuple[NodeSpec, Host]] = list(node_pairs(lab.layout.nodes))
        ends += [(node, external) for node in lab.layout.nodes if external]
        for ipv6 in lab.families:
            for node, host in ends:
                kind: Kind = "wire" if host is external else "node-node"
                pair = str(address(node, ipv6)), str(address(host, ipv6))
                expectation = OnWire(ports(lab, node, host, BARE, pair, TTL), machine=lab.machine)
                yield Probe(
                    kind, node.name, host.name, CapturedEcho(node.name, pair[1]), expectation
                )


def ports(
    lab: Lab, source: NodeSpec, target: Host, headers: Stack, ends: tuple[str, str], ttl: int
) -> dict[Device, Stack]:
    """How a packet must look at the switch ports of two hosts of the underlay.

    Between subnets the frame goes to the router's MAC, and comes from it at the other end; a packet
    that is bare has then lost one more from its TTL. So the router's port on either switch must see
    it too, each as the host's port does. What is encrypted shows nothing of the packet itself. On
    several machines a frame is seen by those that have one of its two ends.
    """
    inner = Stack() if headers.sealed else Stack((ip(*ends, ttl),))
    mac, other = lab.uplink(source).mac, lab.uplink(target).mac
    here, there = lab.port(source), lab.port(target)
    if source.subnet == target.subnet:
        seen = Ether(mac, other) / headers / inner
        return _at(lab, (source.name, target.name), (here, there), seen)
    near_mac, near = lab.router(source.subnet)
    far_mac, far = lab.router(target.subnet)
    leaving = Ether(mac, near_mac) / headers / inner
    arriving = Ether(far_mac, other) / headers / (inner if headers else ip(*ends, ttl - 1))
    return {
        **_at(lab, (source.name, ROUTER), (here, near), leaving),
        **_at(lab, (ROUTER, target.name), (far, there), arriving),
    }


def _at(
    lab: Lab, ends: tuple[str, str], seen_at: tuple[Device, Device], stack: Stack
) -> dict[Device, Stack]:
    """A frame at the ports of its two ends, as far as it is seen from this machine."""
    return dict.fromkeys(seen_at, stack) if any(map(lab.here, ends)) else {}
