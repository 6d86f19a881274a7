"""Flannel's VXLAN backend (flannel pkg/backend/vxlan): pods' packets inside UDP between nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.bridge_cni import attach_pods
from netlab.dataplane.flannel import rules
from netlab.plan.compile import UPLINK
from netlab.plan.dataplane import Frame
from netlab.plan.names import mac
from netlab.plan.types import Address, FdbEntry, Link, Namespace, Neighbour, Route, Sysctl, Vxlan
from netlab.topology.layout import Layout, NodeSpec

OVERHEAD = 50  # bytes: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14


@dataclass(frozen=True, slots=True)
class FlannelVxlan:
    """Options are flannel's: `vni`, UDP `port` (8472 is Linux's default, not IANA's 4789), and
    `direct_routing`, which sends packets bare to nodes on the same segment."""

    name: ClassVar[str] = "flannel-vxlan"
    family: ClassVar[str] = "flannel"
    title: ClassVar[str] = "Vxlan"
    summary: ClassVar[str] = "VXLAN overlay, VNI 1 on UDP port 8472"
    requires: ClassVar[tuple[str, ...]] = ("vxlan", "nftables-masquerade")

    vni: int = 1
    port: int = 8472
    direct_routing: bool = False

    def pod_mtu(self, layout: Layout) -> int:
        return layout.underlay_mtu - OVERHEAD

    def refuse(self, layout: Layout) -> str | None:
        if not 1 <= self.vni < 2**24:
            return f"The VNI {self.vni} must lie between 1 and {2**24 - 1}."
        if not 1 <= self.port <= 65535:
            return f"The VXLAN port {self.port} must lie between 1 and 65535."
        return None

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        return None

    def configure(self, layout: Layout, node: NodeSpec, spaces: Mapping[str, Namespace]) -> None:
        """The device and, for each remote node, neighbour, FDB entry and onlink route.

        The device's address is the pod network's .0 as a /32, so that no broadcast route is made;
        it is the source of packets from the node itself to remote pods.
        """
        space = spaces[node.name]
        device = f"flannel.{self.vni}"
        space.links.append(
            Link(
                device,
                "vxlan",
                self._vtep_mac(node),
                self.pod_mtu(layout),
                txqlen=0,
                vxlan=Vxlan(self.vni, self.port, str(node.address), UPLINK),
            )
        )
        space.addresses.append(Address(device, f"{node.pod_cidr[0]}/32"))
        space.sysctls.append(Sysctl(f"net/ipv6/conf/{device}/accept_ra", "0"))
        for remote in layout.nodes:
            if remote is node:
                continue
            if self._direct(node, remote):
                space.routes.append(Route(str(remote.pod_cidr), UPLINK, str(remote.address)))
                continue
            vtep, vtep_mac = str(remote.pod_cidr[0]), self._vtep_mac(remote)
            space.neighbours.append(Neighbour(device, vtep, vtep_mac))
            space.fdb.append(FdbEntry(device, vtep_mac, str(remote.address)))
            space.routes.append(Route(str(remote.pod_cidr), device, vtep, onlink=True))
        space.ruleset.append(rules(layout, node))
        attach_pods(layout, node, spaces, self.pod_mtu(layout))

    def frame(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> Frame:
        if self._direct(source, target):
            return Frame()
        return Frame(
            vxlan=True,
            outer=(str(source.address), str(target.address)),
            udp_port=self.port,
            vni=self.vni,
            inner_macs=(self._vtep_mac(source), self._vtep_mac(target)),
        )

    def _direct(self, node: NodeSpec, remote: NodeSpec) -> bool:
        return self.direct_routing and node.subnet == remote.subnet

    def _vtep_mac(self, node: NodeSpec) -> str:
        return mac(node.name, f"flannel.{self.vni}")
