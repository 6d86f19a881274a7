"""Which paths are proved on the underlay and for their MTU, and what must be seen there. Pure.

The headers come from the dataplane's `frame`, the MACs from the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from netlab.plan.compile import UPLINK
from netlab.plan.dataplane import Dataplane, Frame
from netlab.plan.types import Link, Plan
from netlab.probe.expect import Barrier
from netlab.probe.icmp import HEADERS, Ping
from netlab.probe.inject import Mirror, Segments
from netlab.probe.mtu import ForwardPath, MtuPath
from netlab.probe.pairs import MESH_PODS, PodPair, node_pairs, representatives, spread
from netlab.probe.wire import Device, Pair, Seen, WirePath
from netlab.topology.layout import ROUTER, ExternalSpec, Layout, NodeSpec, PodSpec, SubnetSpec

MARK = b"netlab"  # a wire echo's payload: this, 2 bytes of the run, 4 of the echo's number
_MIRRORS = 64
_POD_TTL = 63  # a pod sends with 64 and its node has forwarded it once


@dataclass(slots=True)
class Paths:
    """`marks` are the payloads of the wire paths' echoes, each with its index in `wires`."""

    wires: list[WirePath] = field(default_factory=list)
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
        across = [(a, b) for a, b in node_pairs(self.layout) if barrier(a.name, b.name) is None]
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
        self._mirrors()
        return self.paths

    def _wire(self, source: str, target: str, address: str, points: dict[Device, Seen]) -> None:
        number = len(self.paths.wires)
        payload = MARK + self.run + number.to_bytes(4, "big")
        ping = Ping(source, address, payload)
        self.paths.marks[payload] = number
        self.paths.wires.append(WirePath(source, target, ping, points))

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

    def _points(
        self,
        source: str,
        source_subnet: SubnetSpec,
        target: str,
        target_subnet: SubnetSpec,
        packet: Pair,
        frame: Frame,
    ) -> dict[Device, Seen]:
        """How the packet must look at the switch ports of two machines of the underlay.

        Between subnets the frame goes to the router's MAC, and comes from it at the other end; a
        packet that is bare has then lost one more from its TTL.
        """
        source_mac, target_mac = self._mac(source, UPLINK), self._mac(target, UPLINK)
        leaving, arriving = (source_mac, target_mac), (source_mac, target_mac)
        routed = source_subnet != target_subnet
        if routed:
            leaving = (source_mac, self._router_mac(source_subnet))
            arriving = (self._router_mac(target_subnet), target_mac)
        lost = 1 if routed and not frame.vxlan else 0
        return {
            (source_subnet.switch, source): _seen(leaving, packet, _POD_TTL, frame),
            (target_subnet.switch, target): _seen(arriving, packet, _POD_TTL - lost, frame),
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
        ways = [(IPv4Network(route.destination), route.link) for route in space.routes]
        ways += [(IPv4Interface(item.address).network, item.link) for item in space.addresses]
        fitting = [way for way in ways if target in way[0]]
        if not fitting:
            return None
        return space.link(max(fitting, key=lambda way: way[0].prefixlen)[1])


def _seen(macs: Pair, packet: Pair, ttl: int, frame: Frame) -> Seen:
    if not frame.vxlan:
        return Seen(macs, packet, ttl)
    return Seen(
        macs, packet, ttl, "VXLAN", frame.outer, frame.udp_port, frame.vni, frame.inner_macs
    )
