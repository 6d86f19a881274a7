"""Who is on one segment finds each other by ARP or neighbour discovery, with nothing remembered.

Entries that are known hide for minutes that nobody answers any more. So both ends forget each other
just before the echo; an entry of the plan is not learned, and what has one needs not be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from netlab.plan.attachment import Attachment
from netlab.plan.probing.actions import ColdEcho, Device
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import FoundAnew
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.probing.sample import NodePair, Sample, evenly_spaced, node_pairs, ring, small
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.plan.routing import is_ipv6
from netlab.topology.resolved import ROUTER, NodeSpec, PodSpec, of_family

_SAMPLED_PODS = 16  # of a large lab, or as many as it has nodes


class _End(NamedTuple):
    """A device on a segment, and its address there of one family."""

    namespace: str
    device: str
    address: str

    @property
    def place(self) -> Device:
        return self.namespace, self.device


class PodAndGateway(Scenario):
    """Each pod finds its gateway, to reach its node through it; and the node finds its pod.

    The gateway itself may be nobody's address: a node may answer for it by proxy ARP.
    """

    kind: ClassVar[Kind] = "pod-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for ipv6 in lab.families:
            for pod in _pods(lab):
                item, node = lab.attachments[pod.name], lab.nodes[pod.node]
                own = _pod_end(pod, item, ipv6)
                for text in item.gateways:
                    if is_ipv6(text) is ipv6:
                        gateway = _End(item.node, item.bridge or item.port, text)
                        through = str(address(node, ipv6))
                        yield from _asked("pod-node", lab, own, gateway, through)
                        yield from _asked("node-pod", lab, gateway, own)


class PodsOfABridge(Scenario):
    """Each pod finds the next one on its bridge."""

    kind: ClassVar[Kind] = "pod-same-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        chosen = {pod.name for pod in _pods(lab)}
        for ipv6 in lab.families:
            for node in lab.layout.nodes:
                ports = [pod for pod in node.pods if lab.attachments[pod.name].bridge]
                for pod, other in zip(ports, [*ports[1:], *ports[:1]], strict=True):
                    if pod is not other and pod.name in chosen:
                        one, two = (
                            _pod_end(item, lab.attachments[item.name], ipv6)
                            for item in (pod, other)
                        )
                        yield from _asked("pod-same-node", lab, one, two)


class HostsOfASegment(Scenario):
    """Nodes of a segment find each other, and each the router where somebody is beyond it."""

    kind: ClassVar[Kind] = "node-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        for ipv6 in lab.families:
            for node, other in _node_pairs(lab):
                if node.subnet == other.subnet:
                    ends = _host_end(lab, node, ipv6), _host_end(lab, other, ipv6)
                    yield from _asked("node-node", lab, *ends)
            for node in lab.layout.nodes if external else ():
                assert external is not None
                yield from _beyond(lab, node, external, ipv6)


def _node_pairs(lab: Lab) -> list[NodePair]:
    """All pairs in a small lab, else in a ring, both ways.

    In an order in which most can be asked at once, as nobody is asker and asked at a time: by the
    lowest bit in which their numbers differ. All that have it ask all that have it not.
    """
    nodes = lab.layout.nodes
    around = ring(nodes)
    pairs = node_pairs(nodes) if small(lab.layout) else [*around, *((b, a) for a, b in around)]
    numbers = {node.name: number for number, node in enumerate(nodes)}

    def place(pair: NodePair) -> tuple[int, bool]:
        one, other = numbers[pair[0].name], numbers[pair[1].name]
        bit = (one ^ other) & -(one ^ other)
        return bit, bool(one & bit)

    return sorted(dict.fromkeys(pairs), key=place)


def _beyond(lab: Lab, node: NodeSpec, beyond: Host, ipv6: bool) -> Iterator[Probe[ColdEcho]]:
    """A node asks for the router, and the router for the node, each to pass an echo on."""
    own = _host_end(lab, node, ipv6)
    gateway = of_family(node.subnet.gateways, ipv6)
    router = _End(ROUTER, lab.routers_link(node.subnet).name, str(gateway))
    far = str(address(beyond, ipv6))
    if forgotten := _forgotten(lab, own, router):
        out = ColdEcho(node.name, far, own.place, router.place, forgotten)
        yield Probe("node-external", node.name, beyond.name, out, FoundAnew())
    if forgotten := _forgotten(lab, router, own):
        back = ColdEcho(beyond.name, own.address, router.place, own.place, forgotten)
        yield Probe("external-node", beyond.name, node.name, back, FoundAnew())


def _asked(
    kind: Kind, lab: Lab, source: _End, target: _End, through: str = ""
) -> Iterator[Probe[ColdEcho]]:
    """An echo to the target, or to an address that is reached through it."""
    if forgotten := _forgotten(lab, source, target):
        ends = source.place, target.place
        echo = ColdEcho(source.namespace, through or target.address, *ends, forgotten)
        yield Probe(kind, source.namespace, target.namespace, echo, FoundAnew())


def _forgotten(lab: Lab, asks: _End, answers: _End) -> tuple[tuple[str, str, str], ...]:
    """What either end knows of the other; nothing where who asks has it from the plan."""
    entries = tuple(_known(lab, asks, answers))
    asked = (asks.namespace, asks.device, answers.address)
    return (*entries, *_known(lab, answers, asks)) if asked in entries else ()


def _known(lab: Lab, here: _End, there: _End) -> Iterator[tuple[str, str, str]]:
    """By IPv6 also under the link-local address, from which it asks to forward a packet."""
    planned = {(item.link, item.address) for item in lab.namespace(here.namespace).neighbours}
    addresses = [there.address]
    if ":" in there.address:
        addresses += [
            item.ip
            for item in lab.namespace(there.namespace).addresses
            if item.link == there.device and item.scope == "link" and is_ipv6(item.address)
        ]
    for text in addresses:
        if (here.device, text) not in planned:
            yield here.namespace, here.device, text


def _pods(lab: Lab) -> list[PodSpec]:
    pods, least = lab.layout.pods, len(lab.layout.nodes)
    return list(pods) if small(lab.layout) else evenly_spaced(pods, max(_SAMPLED_PODS, least))


def _pod_end(pod: PodSpec, item: Attachment, ipv6: bool) -> _End:
    return _End(pod.name, item.device, str(address(pod, ipv6)))


def _host_end(lab: Lab, host: Host, ipv6: bool) -> _End:
    return _End(host.name, lab.uplink(host).name, str(address(host, ipv6)))
