"""Flannel's IPIP backend (flannel pkg/backend/ipip): pods' packets inside IPv4 between nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.rules import FLANNELD, TUNNEL_ADDRESS
from netlab.plan import headers
from netlab.plan.explanations import Says
from netlab.plan.headers import BARE, Stack
from netlab.plan.links import Ipip as IpipLink
from netlab.plan.names import UPLINK
from netlab.plan.routing import Address, route
from netlab.plan.types import Object
from netlab.plan.underlay import gen_mode
from netlab.topology.resolved import Layout, NodeSpec

DEVICE = "flannel.ipip"
OVERHEAD = 20  # bytes: the outer IPv4 header


@dataclass(frozen=True, slots=True)
class Ipip(Flannel):
    """One device for all nodes: the outer destination is the gateway of each packet's route.

    `direct_routing` sends packets bare to nodes on the same segment; pods' MTU is the tunnel's
    nevertheless. The device has the node's address as `local`, so that what arrives is not given to
    `tunl0`, which the kernel's module has in every namespace.
    """

    name: ClassVar[str] = "flannel-ipip"
    summary: ClassVar[str] = "IPIP overlay: one more IPv4 header, protocol 4"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}",
            FLANNELD,
            "Puts packets behind an outer IP header (protocol 4) to the gateway of their route. "
            "Its local address is the node's, as `tunl0` takes what fits no other tunnel.",
        ),
        TUNNEL_ADDRESS,
        Says(
            f"route * dev {DEVICE} onlink",
            FLANNELD,
            "To another node's pods: the gateway is that node, and the outer destination. onlink, "
            "because no network of the device has it.",
        ),
        Says(
            f"route * dev {UPLINK} onlink",
            FLANNELD,
            "DirectRouting: a node on the same segment is reached without the tunnel.",
        ),
    )
    dual_stack: ClassVar[bool] = False

    direct_routing: bool = False

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return self.outer_mtu(layout, node) - OVERHEAD

    def devices(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """The device's address is the pod network's .0, and nobody's: the source of packets from
        the node itself. Its path MTU discovery is off, as flannel's library makes one: "Don't
        Fragment" is then what the inner header says.
        """
        yield IpipLink(
            name=DEVICE,
            mtu=self.pod_mtu(layout, node),
            txqlen=0,
            local=str(node.address),
            pmtudisc=False,
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        yield Address(DEVICE, f"{node.pod_cidr[0]}/32")

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Object]:
        device = UPLINK if self._direct(node, other) else DEVICE
        yield route(str(other.pod_cidr), device, str(other.address), onlink=True)

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        if self._direct(source, target):
            return BARE
        return Stack((headers.ip(str(source.address), str(target.address)),))

    def _direct(self, node: NodeSpec, other: NodeSpec) -> bool:
        return self.direct_routing and node.subnet == other.subnet
