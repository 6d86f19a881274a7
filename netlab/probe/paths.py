"""Which paths are proved on the underlay and for their MTU, and what must be seen there. Pure.

The headers come from the dataplane's `frame`, the MACs from the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from netlab.plan.compile import UPLINK
from netlab.plan.dataplane import Dataplane, Frame
from netlab.plan.types import Link, Plan
from netlab.probe.barred import BarredPath
from netlab.probe.egress import egress
from netlab.probe.expect import Barrier
from netlab.probe.icmp import HEADERS, Ping
from netlab.probe.inject import Mirror, Segments
from netlab.probe.mtu import ForwardPath, MtuPath
from netlab.probe.pairs import MESH_PODS, PodPair, node_pairs, representatives, spread
from netlab.probe.wire import Device, Pair, Seen, WirePath
from netlab.topology.layout import ROUTER, ExternalSpec, Layout, NodeSpec, PodSpec, SubnetSpec

MARK = b"netlab"  # a wire echo's payload: this, 2 bytes of the run, 4 of the echo's number
_MIRRORS = 64
_TTL = 64  # as the kernel sends
_POD_TTL = 63  # a pod's, which its node has forwarded once


@dataclass(slots=True)
class Paths:
    """`marks` are the payloads of the wire paths' echoes, each with its index in `wires`."""

    wires: list[WirePath | BarredPath] = field(default_factory=list)
    marks: dict[bytes, int] = field(default_factory=dict)
    mtus: list[MtuPath] = field(default_factory=list)
    forwards: list[ForwardPath] = field(default_factory=list)
    mirrors: list[Mirror] = field(default_factory=list)


def plan_paths(
    layout: Layout, dataplane: Dataplane, plan: Plan, barrier: Barrier, run: bytes
) -> Paths:
    """All such paths of a lab. `run` are two bytes by which this run's echoes are known."""
    return _Planner(layout, dataplane, plan, run).make(barrier)


class _Planner:
    def __init__(self, layout: Layout, dataplane: Dataplane, plan: Plan, run: bytes) -> None:
        self.layout = layout
        self.dataplane = dataplane
        self.plan = plan
        self.run = run
        self.limit = dataplane.pod_mtu(layout)
        self.nodes = {node.name: node for node in layout.nodes}
        self.paths = Paths()

    def make(self, barrier: Barrier) -> Paths:
        """Across nodes, on one node, to the outside; then each pod's bridge port."""
        between = node_pairs([node for node in self.layout.nodes if node.pods])
        across = [(a, b) for a, b in between if barrier(a.name, b.name) is None]
        pairs = representatives(across)
        for pair in pairs:
            self._across(*pair)
        self._node_mtus(pairs)
        for node in self.layout.nodes:
            if len(node.pods) > 1:
                first, last = node.pods[0], node.pods[-1]
                self._wire(first.name, last.name, str(last.address), {})
                self._mtu(first.name, last.name, str(last.address))
            if node.pods and self.layout.external:
                self._outside(node.pods[-1], node, self.layout.external)
        self._machines()
        for pair in representatives([(a, b) for a, b in between if barrier(a.name, b.name)]):
            self._barred(*pair)
        self._mirrors()
        return self.paths

    def _wire(self, source: str, target: str, address: str, points: dict[Device, Seen]) -> None:
        ping = Ping(source, address, self._mark())
        self.paths.wires.append(WirePath(source, target, ping, points))

    def _mark(self) -> bytes:
        """The payload of the next wire path's echo."""
        number = len(self.paths.wires)
        payload = MARK + self.run + number.to_bytes(4, "big")
        self.paths.marks[payload] = number
        return payload

    def _mtu(self, source: str, target: str, address: str, *, refused: bool = True) -> None:
        ping = Ping(source, address, bytes(self.limit - HEADERS))
        self.paths.mtus.append(MtuPath(source, target, ping, self.limit, refused))

    def _across(self, source: PodSpec, target: PodSpec) -> None:
        a, b = self.nodes[source.node], self.nodes[target.node]
        frame = self.dataplane.frame(self.layout, a, b)
        packet = (str(source.address), str(target.address))
        points = self._points(a.name, a.subnet, b.name, b.subnet, packet, frame)
        self._wire(source.name, target.name, packet[1], points)
        self._mtu(source.name, target.name, packet[1])
        self._forward(source, target, a, b)

    def _outside(self, pod: PodSpec, node: NodeSpec, external: ExternalSpec) -> None:
        """Bare and under the node's address, however pods' packets travel between nodes."""
        packet = (str(node.address), str(external.address))
        points = self._points(
            node.name, node.subnet, external.name, external.subnet, packet, Frame()
        )
        self._wire(pod.name, external.name, packet[1], points)
        self._mtu(pod.name, external.name, packet[1])

    def _machines(self) -> None:
        """The underlay by itself: nodes with each other and with the client, pods aside."""
        external = self.layout.external
        ends = [(a, b.name, str(b.address), b.subnet) for a, b in node_pairs(self.layout.nodes)]
        if external:
            client = (external.name, str(external.address), external.subnet)
            ends += [(node, *client) for node in self.layout.nodes]
        for node, name, address, subnet in ends:
            packet = (str(node.address), address)
            points = self._points(node.name, node.subnet, name, subnet, packet, Frame(), ttl=_TTL)
            self._wire(node.name, name, address, points)

    def _barred(self, source: PodSpec, target: PodSpec) -> None:
        """What bars two nodes is seen where the next hop is looked for on the wrong segment."""
        node = self.nodes[source.node]
        way = egress(self.plan.namespaces[node.name], target.address)
        if way is None or way.gateway is None or way.device != UPLINK:
            return
        if IPv4Address(way.gateway) in node.subnet.network:
            return
        ping = Ping(source.name, str(target.address), self._mark(), wanted=False)
        port = (node.subnet.switch, node.name)
        asker = (self._mac(node.name, UPLINK), str(node.address))
        self.paths.wires.append(
            BarredPath(source.name, target.name, ping, port, asker, way.gateway)
        )

    def _points(
        self,
        source: str,
        source_subnet: SubnetSpec,
        target: str,
        target_subnet: SubnetSpec,
        packet: Pair,
        frame: Frame,
        ttl: int = _POD_TTL,
    ) -> dict[Device, Seen]:
        """How the packet must look at the switch ports of two machines of the underlay.

        Between subnets the frame goes to the router's MAC, and comes from it at the other end; a
        packet that is bare has then lost one more from its TTL. So the router's port on either
        switch must see it too, each as the machine's port does.
        """
        source_mac, target_mac = self._mac(source, UPLINK), self._mac(target, UPLINK)
        leaving, arriving = (source_mac, target_mac), (source_mac, target_mac)
        routed = source_subnet != target_subnet
        if routed:
            leaving = (source_mac, self._router_mac(source_subnet))
            arriving = (self._router_mac(target_subnet), target_mac)
        lost = 1 if routed and not frame.vxlan else 0
        here, there = source_subnet.switch, target_subnet.switch
        first = _seen(leaving, packet, ttl, frame)
        last = _seen(arriving, packet, ttl - lost, frame)
        if not routed:
            return {(here, source): first, (there, target): last}
        return {
            (here, source): first,
            (here, ROUTER): first,
            (there, ROUTER): last,
            (there, target): last,
        }

    def _forward(self, source: PodSpec, target: PodSpec, a: NodeSpec, b: NodeSpec) -> None:
        """Who must refuse depends on where the path first narrows: here, or at the other node."""
        port = self._pod_link(source).peer
        bridge = self.plan.namespaces[a.name].link(port.link).master if port else None
        if bridge is None:
            return
        way = self._egress(a, target.address)
        here = way is not None and way.mtu <= self.limit
        refusers = (str(a.gateway),) if here else self._addresses(b)
        fits, oversize = (
            Segments(
                source.name,
                self._pod_link(source).name,
                (self._pod_link(source).mac, self._mac(a.name, bridge)),
                str(source.address),
                str(target.address),
                size,
            )
            for size in (self.limit, self.limit + 1)
        )
        self.paths.forwards.append(ForwardPath(source.name, target.name, fits, oversize, refusers))

    def _node_mtus(self, pairs: Sequence[PodPair]) -> None:
        """One remote pod for each node."""
        done: set[str] = set()
        for source, target in pairs:
            if source.node not in done:
                done.add(source.node)
                way = self._egress(self.nodes[source.node], target.address)
                refused = way is not None and way.mtu == self.limit
                self._mtu(source.node, target.name, str(target.address), refused=refused)

    def _mirrors(self) -> None:
        """The pods whose bridge port is to send frames back where they came from (hairpin)."""
        small = len(self.layout.pods) <= MESH_PODS
        for pod in self.layout.pods if small else spread(self.layout.pods, _MIRRORS):
            link = self._pod_link(pod)
            port = link.peer and self.plan.namespaces[link.peer.namespace].link(link.peer.link)
            if port and port.hairpin:
                self.paths.mirrors.append(Mirror(pod.name, link.name, link.mac))

    def _pod_link(self, pod: PodSpec) -> Link:
        return self.plan.namespaces[pod.name].links[0]

    def _mac(self, namespace: str, device: str) -> str:
        return self.plan.namespaces[namespace].link(device).mac

    def _router_mac(self, subnet: SubnetSpec) -> str:
        return next(
            link.mac
            for link in self.plan.namespaces[ROUTER].links
            if link.peer and link.peer.namespace == subnet.switch
        )

    def _addresses(self, node: NodeSpec) -> tuple[str, ...]:
        addresses = self.plan.namespaces[node.name].addresses
        return tuple(address.address.split("/")[0] for address in addresses)

    def _egress(self, node: NodeSpec, target: IPv4Address) -> Link | None:
        """The device by which the plan's routes send a node's packets to an address."""
        space = self.plan.namespaces[node.name]
        way = egress(space, target)
        return space.link(way.device) if way else None


def _seen(macs: Pair, packet: Pair, ttl: int, frame: Frame) -> Seen:
    if not frame.vxlan:
        return Seen(macs, packet, ttl)
    return Seen(
        macs, packet, ttl, "VXLAN", frame.outer, frame.udp_port, frame.vni, frame.inner_macs
    )
