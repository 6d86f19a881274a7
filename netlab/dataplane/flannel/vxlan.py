"""Flannel's VXLAN backend (flannel pkg/backend/vxlan): pods' packets inside UDP between nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.rules import FLANNELD
from netlab.plan import headers
from netlab.plan.explanations import Says
from netlab.plan.headers import BARE, Stack
from netlab.plan.links import Vxlan as VxlanLink
from netlab.plan.names import UPLINK, mac
from netlab.plan.routing import Address, FdbEntry, Neighbour, Sysctl, route
from netlab.plan.types import Object
from netlab.plan.underlay import gen_mode
from netlab.topology.resolved import Ip, Layout, NodeSpec

# What flannel takes off the underlay's MTU for devices of both families: IPv4 20, UDP 8, VXLAN 8,
# Ethernet 14. With IPv6 outside, the kernel itself cuts the device to 70 less.
OVERHEAD, OVERHEAD6 = 50, 70


@dataclass(frozen=True, slots=True)
class Vxlan(Flannel):
    """Options are flannel's: `vni`, UDP `port` (8472 is Linux's default, not IANA's 4789), and
    `direct_routing`, which sends packets bare to nodes on the same segment. `tx_checksum` off is
    the remedy where a tunnel's checksums come out wrong (flannel#1279): that of
    `ethtool -K flannel.1 tx-checksum-ip-generic off`.
    """

    name: ClassVar[str] = "flannel-vxlan"
    summary: ClassVar[str] = "VXLAN overlay, VNI 1 on UDP port 8472"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            "link flannel*",
            FLANNELD,
            "The node's end of the overlay (VTEP): puts frames into UDP and takes them out. It "
            "learns nothing from packets, as flanneld knows every other node.",
        ),
        Says(
            "address * dev flannel*",
            FLANNELD,
            "The first address of the node's pod CIDR, alone: no segment comes with it. It is the "
            "gateway for other nodes, and the source of the node's own packets to their pods.",
        ),
        Says(
            "sysctl net/ipv6/conf/flannel*/accept_ra=0",
            FLANNELD,
            "The tunnel takes no router advertisements.",
        ),
        Says(
            "neighbour *",
            FLANNELD,
            "The MAC of the other node's VTEP, told by its lease: nothing asks by ARP through the "
            "tunnel.",
        ),
        Says(
            "fdb *",
            FLANNELD,
            "Frames for that VTEP's MAC go to this node's address: the outer header of VXLAN.",
        ),
        Says(
            "route * dev flannel*",
            FLANNELD,
            "To another node's pods by its VTEP. onlink, because the gateway is in no network of "
            "the device: it leads to the neighbour, and that to the FDB entry.",
        ),
        Says(
            f"route * dev {UPLINK}",
            FLANNELD,
            "DirectRouting: a node on the same segment is reached without the tunnel.",
        ),
    )

    vni: int = 1
    port: int = 8472
    direct_routing: bool = False
    tx_checksum: bool = True

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from Flannel.validate(self, layout)
        if not 1 <= self.vni < 2**24:
            yield f"The VNI {self.vni} must lie between 1 and {2**24 - 1}."
        if not 1 <= self.port <= 65535:
            yield f"The VXLAN port {self.port} must lie between 1 and 65535."
        if layout.dual_stack and (mtu := self.outer_mtu(layout)) < 1280 + OVERHEAD6:
            yield (
                f"The underlay MTU {mtu} leaves IPv6 inside VXLAN less than its "
                f"minimum of 1280 bytes; use {1280 + OVERHEAD6} or more."
            )

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return self.outer_mtu(layout, node) - OVERHEAD

    def devices(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """The device's address is the pod network's .0 as a host route, so that it has no segment;
        it is the source of packets from the node itself to remote pods."""
        device = self._device(ipv6)
        yield VxlanLink(
            name=device,
            mac=self._vtep_mac(node, ipv6),
            mtu=self.outer_mtu(layout, node) - (OVERHEAD6 if ipv6 else OVERHEAD),
            txqlen=0,
            vni=self.vni,
            port=self.port,
            local=str(node.address_of(ipv6)),
            device=UPLINK,
            learning=False,
            offloads=() if self.tx_checksum else (("tx-checksum-ip-generic", False),),
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        yield Address(device, f"{self._vtep(node, ipv6)}/{128 if ipv6 else 32}", nodad=ipv6)
        yield Sysctl(f"net/ipv6/conf/{device}/accept_ra", "0")

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Object]:
        """Neighbour, FDB entry and onlink route; or a plain route where the node is near."""
        cidr, address = str(other.cidrs_of(ipv6)[0]), str(other.address_of(ipv6))
        if self._direct(node, other):
            yield route(cidr, UPLINK, address)
            return
        device, vtep = self._device(ipv6), str(self._vtep(other, ipv6))
        vtep_mac = self._vtep_mac(other, ipv6)
        yield Neighbour(device, vtep, vtep_mac)
        yield FdbEntry(device, vtep_mac, address)
        yield route(cidr, device, vtep, onlink=True)

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        if self._direct(source, target):
            return BARE
        outer = headers.ip(str(source.address_of(ipv6)), str(target.address_of(ipv6)))
        inner = headers.Ether(self._vtep_mac(source, ipv6), self._vtep_mac(target, ipv6))
        return outer / headers.Udp(self.port) / headers.Vxlan(self.vni) / inner

    def _direct(self, node: NodeSpec, other: NodeSpec) -> bool:
        return self.direct_routing and node.subnet == other.subnet

    def _device(self, ipv6: bool) -> str:
        return f"flannel-v6.{self.vni}" if ipv6 else f"flannel.{self.vni}"

    def _vtep(self, node: NodeSpec, ipv6: bool) -> Ip:
        return node.cidrs_of(ipv6)[0][0]

    def _vtep_mac(self, node: NodeSpec, ipv6: bool) -> str:
        return mac(node.name, self._device(ipv6))
