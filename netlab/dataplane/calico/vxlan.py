"""Calico's VXLAN (felix/dataplane/linux/vxlan_mgr.go): all of it written by Felix, no BIRD.

As the manifest calico-vxlan.yaml runs it (`calico_backend: vxlan`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.calico import rules
from netlab.dataplane.calico.base import Calico
from netlab.dataplane.calico.rules import VXLAN_PORT
from netlab.plan import headers
from netlab.plan.explanations import Says
from netlab.plan.headers import BARE, Stack
from netlab.plan.links import Vxlan as VxlanLink
from netlab.plan.names import UPLINK
from netlab.plan.routing import Address, FdbEntry, Neighbour, NextHop, Route, Sysctl
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.resolved import Layout, NodeSpec

VNI = 4096
OVERHEAD = 50  # bytes: IPv4 20, UDP 8, VXLAN 8, Ethernet 14
DEVICE = "vxlan.calico"
FELIX = "80"  # the protocol of Felix's own routes (dataplanedefs.DefaultRouteProto)


@dataclass(frozen=True, slots=True)
class Vxlan(Calico):
    """VNI 4096 on UDP port 4789. `cross_subnet` sends packets bare to nodes in the own subnet;
    pods' MTU is the tunnel's nevertheless. `tunnels` are addresses of tunnel devices that are given
    (`IPv4VXLANTunnelAddr`), each to the node in whose block it is.
    """

    name: ClassVar[str] = "calico-vxlan"
    summary: ClassVar[str] = "Calico's VXLAN overlay, VNI 4096 on UDP port 4789"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}",
            rules.FELIX,
            "The node's end of the overlay (VTEP): puts frames into UDP and takes them out. Its "
            "MAC follows from the node's name.",
        ),
        Says(
            f"address * dev {DEVICE}",
            rules.FELIX,
            "The tunnel's address, which calico-node takes out of the node's first block before "
            "any pod. It is the gateway for other nodes.",
        ),
        Says(
            "sysctl */accept_ra=0",
            rules.FELIX,
            "The tunnel takes no router advertisements.",
        ),
        Says(
            "route blackhole * proto 80",
            rules.FELIX,
            "A block of the node's own: what no pod has of it ends here, and does not leave by the "
            "default route. Pods' host routes are longer and win.",
        ),
        Says(
            "neighbour *",
            rules.FELIX,
            "The MAC of the other node's VTEP: nothing asks by ARP through the tunnel.",
        ),
        Says(
            "fdb *",
            rules.FELIX,
            "Frames for that VTEP's MAC go to this node's address: the outer header of VXLAN.",
        ),
        Says(
            f"route * dev {DEVICE} *",
            rules.FELIX,
            "Another node's block, by its VTEP. onlink, because the gateway is in no network of "
            "the device: it leads to the neighbour, and that to the FDB entry.",
        ),
        rules.CROSS_SUBNET,
    )
    ipam: ClassVar[Ipam] = Blocks(tunnel=True)
    dual_stack: ClassVar[bool] = False

    cross_subnet: bool = False
    tunnels: tuple[str, ...] = ()

    def allocator(self) -> Ipam:
        return Blocks(tunnel=True, tunnels=self.tunnels)

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return Calico.pod_mtu(self, layout, node) - OVERHEAD

    def tunnel(self) -> str:
        return DEVICE

    def senders(self, layout: Layout, node: NodeSpec) -> tuple[str, ...]:
        """Of the others: its own address is none of a remote VTEP."""
        return tuple(str(other.address) for other in layout.others(node))

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        mtu = self.pod_mtu(layout, node)
        yield VxlanLink(
            name=DEVICE,
            mac=vtep_mac(node),
            mtu=mtu,
            txqlen=0,
            vni=VNI,
            port=VXLAN_PORT,
            local=str(node.address),
            device=UPLINK,
            learning=False,
        )
        yield Address(DEVICE, f"{vtep(node)}/32")
        yield Sysctl(f"net/ipv6/conf/{DEVICE}/accept_ra", "0")
        for block in node.pod_cidrs:
            yield Route(destination=str(block), type="blackhole", protocol=FELIX)
        for other in layout.others(node):
            yield from self._remote(node, other, mtu)

    def _remote(self, node: NodeSpec, other: NodeSpec, mtu: int) -> Iterator[Object]:
        if self._direct(node, other):
            hop = NextHop(link=UPLINK, gateway=str(other.address), onlink=True)
            for block in other.pod_cidrs:
                yield Route(destination=str(block), next_hops=(hop,), protocol=FELIX)
            return
        yield Neighbour(DEVICE, vtep(other), vtep_mac(other))
        yield FdbEntry(DEVICE, vtep_mac(other), str(other.address))
        hop = NextHop(link=DEVICE, gateway=vtep(other), onlink=True)
        for block in other.pod_cidrs:
            yield Route(destination=str(block), next_hops=(hop,), mtu=mtu)

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        if self._direct(source, target):
            return BARE
        outer = headers.ip(str(source.address), str(target.address))
        inner = headers.Ether(vtep_mac(source), vtep_mac(target))
        return outer / headers.Udp(VXLAN_PORT) / headers.Vxlan(VNI) / inner

    def _direct(self, node: NodeSpec, other: NodeSpec) -> bool:
        return self.cross_subnet and node.subnet == other.subnet


def vtep(node: NodeSpec) -> str:
    """The address of the node's tunnel device: the first that its blocks gave out."""
    return str(dict(node.reserved)["tunnel"])


def vtep_mac(node: NodeSpec) -> str:
    """66 and five bytes of the name's SHA-1 (felix/calc/vxlan_resolver.go)."""
    digest = hashlib.sha1(node.name.encode(), usedforsecurity=False).digest()
    return (b"f" + digest[:5]).hex(":")
