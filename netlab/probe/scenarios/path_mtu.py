"""What fits the path's MTU passes whole; what does not is refused, with the MTU that would fit.

Three ways to see it: an echo of exactly the limit, which must not be fragmented, gets its reply;
one byte more is refused by the sender's own kernel, which tells the MTU; and one byte more that has
left the sender nevertheless is refused by a node with the ICMP message of path MTU discovery. Where
the sender's device takes more than the path, as much as it takes must be refused on the way: else
it is lost where a device has a smaller MTU than its segment, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.egress import egress
from netlab.plan.links import Ipip
from netlab.plan.probing.actions import Echo, GsoPacket, LongEcho, Oversize, Together
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Forwarded, PathMtu
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.probing.sample import PodPair, Sample, node_pairs, representatives, ring, small
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.topology.resolved import Ip, NodeSpec, PodSpec

_ICMP_HEADER = 8


class PathMtus(Scenario):
    """Across nodes, on one node, from nodes, among them, and to the outside."""

    kind: ClassVar[Kind] = "mtu"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        nodes = [node for node in lab.layout.nodes if node.pods]
        between = [(a, b) for a, b in node_pairs(nodes) if not lab.unreachable(a.name, b.name)]
        pairs = representatives(between)
        for ipv6 in lab.families:
            for source, target in pairs:
                limit = _limit(lab, source.node, target.node, ipv6)
                yield _path(lab, source.name, target.name, address(target, ipv6), limit)
            for source, target in _one_for_each_node(pairs):
                limit = _limit(lab, source.node, target.node, ipv6)
                yield _path(lab, source.node, target.name, address(target, ipv6), limit)
            for one, other in _hosts(lab):
                ip = address(other, ipv6)
                yield _path(lab, one.name, other.name, ip, min(_mtu(one), _mtu(other)))
            for node in nodes:
                yield from _near(lab, node, ipv6)
            for source, target in pairs:
                if probe := _forwarded(lab, source, target, ipv6):
                    yield probe


def _hosts(lab: Lab) -> Iterator[tuple[Host, Host]]:
    """Nodes among themselves, in a large lab in a ring, and with the client outside."""
    nodes, external = lab.layout.nodes, lab.layout.external
    yield from node_pairs(nodes) if small(lab.layout) else ring(nodes)
    for node in nodes if external else ():
        assert external is not None
        yield node, external
        yield external, node


def _mtu(host: Host) -> int:
    return host.mtu if isinstance(host, NodeSpec) else host.subnet.mtu


def _one_for_each_node(pairs: list[PodPair]) -> list[PodPair]:
    """The first pair from each node."""
    first: dict[str, PodPair] = {}
    for pair in pairs:
        first.setdefault(pair[0].node, pair)
    return list(first.values())


def _limit(lab: Lab, source: str, target: str, ipv6: bool) -> int:
    return lab.datapath.path_mtu(lab.layout, lab.nodes[source], lab.nodes[target], ipv6)


def _near(lab: Lab, node: NodeSpec, ipv6: bool) -> Iterator[Probe[Together]]:
    """On the node, and from it to the outside."""
    external = lab.layout.external
    if len(node.pods) > 1:
        first, last = node.pods[0], node.pods[-1]
        limit = min(lab.attachments[pod.name].mtu for pod in (first, last))
        yield _path(lab, first.name, last.name, address(last, ipv6), limit)
    pod = node.pods[-1]
    if external and lab.unanswered(pod, external, ipv6) is None:
        limit = min(lab.attachments[pod.name].mtu, node.mtu)
        yield _path(lab, pod.name, external.name, address(external, ipv6), limit)


def _path(lab: Lab, source: str, target: str, ip: Ip, limit: int) -> Probe[Together]:
    headers = (40 if ip.version == 6 else 20) + _ICMP_HEADER
    way = egress(lab.namespace(source), ip)
    echo = Echo(source, str(ip), bytes(limit - headers))
    if way is None:
        return Probe("mtu", source, target, Together((echo,)), PathMtu(limit))
    if way.mtu > limit:
        more: Any = LongEcho(source, str(ip), way.mtu)
    else:
        more = Oversize(source, str(ip), limit + 1)
    return Probe("mtu", source, target, Together((echo, more)), PathMtu(limit))


def _forwarded(lab: Lab, source: PodSpec, target: PodSpec, ipv6: bool) -> Probe[Together] | None:
    """Who must refuse depends on where the path first narrows: here, or at the other node.

    In IPIP what may not be fragmented inside may not outside. So where the path narrows beyond it a
    router tells the node, and the node the pod, if that sends again and not to be segmented
    (tnl_update_pmtu in net/ipv4/ip_tunnel.c): the long echo asks so, and this cannot.
    """
    a, b = lab.nodes[source.node], lab.nodes[target.node]
    limit = _limit(lab, a.name, b.name, ipv6)
    way = egress(lab.namespace(a.name), address(target, ipv6))
    if way and way.mtu > limit and isinstance(lab.namespace(a.name).link(way.device), Ipip):
        return None
    narrow = a if way is not None and way.mtu <= limit else b
    told_by = lab.source_address(narrow.name, address(source, ipv6))
    refusers = dict.fromkeys([told_by, *(item.ip for item in lab.namespace(narrow.name).addresses)])
    attachment = lab.attachments[source.name]
    fits, oversize = (
        GsoPacket(
            source.name,
            attachment.device,
            (lab.pod_mac(source.name), attachment.gateway_mac),
            str(address(source, ipv6)),
            str(address(target, ipv6)),
            size,
        )
        for size in (limit, limit + 1)
    )
    expectation = Forwarded(limit, tuple(filter(None, refusers)))
    return Probe("mtu", source.name, target.name, Together((fits, oversize)), expectation)
