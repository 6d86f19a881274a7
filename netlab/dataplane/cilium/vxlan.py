"""Cilium's tunnel mode: one VXLAN device that takes everything else from each packet's route."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.cilium.base import Cilium, device_settings
from netlab.dataplane.cilium.rules import AGENT
from netlab.plan import headers
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.headers import Stack
from netlab.plan.links import Vxlan as VxlanLink
from netlab.plan.names import mac
from netlab.plan.routing import Encap, NextHop, Route
from netlab.plan.types import Object
from netlab.topology.resolved import Ip, Layout, NodeSpec

DEVICE, PORT = "cilium_vxlan", 8472
OVERHEAD = 50  # bytes: IPv4 20, UDP 8, VXLAN 8, Ethernet 14
IDENTITIES = range(256, 65536)  # of endpoints (pkg/identity/numericidentity.go)


@dataclass(frozen=True, slots=True)
class Vxlan(Cilium):
    """The VNI is the security `identity` of the sender: here of all pods the same, as of pods with
    the same labels, and of what a node sends itself, which is 6 there.

    Devices have the underlay's MTU, and routes 50 bytes less.
    """

    name: ClassVar[str] = "cilium-vxlan"
    summary: ClassVar[str] = "Cilium's tunnel mode, VXLAN on UDP port 8472, by kernel routes"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}",
            AGENT,
            "The tunnel's device. VNI and outer addresses are no setting of it (external): in "
            "Cilium eBPF gives them with each packet, here the packet's route does.",
        ),
        Says(
            f"route * encap ip id * dev {DEVICE} *",
            NETLAB,
            "In the place of Cilium's eBPF, which finds the node of an address in its ipcache map "
            "and sets VNI and outer address. There the route leads to cilium_host; here it carries "
            "the tunnel itself, and a packet loses one more from its TTL (62, not 63).",
        ),
    )

    identity: int = 256

    def validate(self, layout: Layout) -> Iterator[str]:
        if self.identity not in IDENTITIES:
            yield f"The identity {self.identity} must lie between 256 and 65535."

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return Cilium.pod_mtu(self, layout, node) - OVERHEAD

    def route_mtu(self, layout: Layout, node: NodeSpec) -> int:
        return node.mtu - OVERHEAD

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        """The gateway is the other node's router, and not as there the own one: it is what ARP
        looks for, through the tunnel."""
        yield VxlanLink(
            name=DEVICE,
            mac=mac(node.name, DEVICE),
            mtu=node.mtu,
            txqlen=0,
            port=PORT,
            external=True,
            learning=False,
        )
        yield from device_settings(DEVICE)
        for other in layout.others(node):
            yield Route(
                destination=str(other.pod_cidr),
                next_hops=(
                    NextHop(
                        link=DEVICE,
                        gateway=str(other.gateway),
                        onlink=True,
                        encap=Encap(id=self.identity, destination=str(other.address)),
                    ),
                ),
                protocol="kernel",
                source=str(node.gateway),
                mtu=self.route_mtu(layout, node),
            )

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        outer = headers.ip(str(source.address), str(target.address))
        inner = headers.Ether(mac(source.name, DEVICE), mac(target.name, DEVICE))
        return outer / headers.Udp(PORT) / headers.Vxlan(self.identity) / inner

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        return target not in layout.cluster_cidr
