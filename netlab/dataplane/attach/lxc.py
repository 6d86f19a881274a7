"""Pods behind an `lxc…` veth, as Cilium's CNI plugin attaches them (plugins/cilium-cni).

A /32 in the pod, its default route through the node's router address, that of `cilium_host`: a
local address of the node, so that the host end answers ARP for it. Cilium itself answers in eBPF;
here it is the kernel's own routing, with a host route for each pod (`enable-endpoint-routes`). Its
source is the router's: as the pod sees its node there, by the route of the whole CIDR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.plan.attach import Attached
from netlab.plan.attachment import Attachment
from netlab.plan.links import Peer, Veth
from netlab.plan.names import POD_DEVICE, mac
from netlab.plan.routing import Address, Route, Sysctl, route
from netlab.plan.types import Object
from netlab.plan.underlay import FORWARDING, gen_mode
from netlab.topology.resolved import Layout, NodeSpec, PodSpec


@dataclass(frozen=True, slots=True)
class Lxc:
    """`mtu` is the devices' in bytes, `route_mtu` that of the pods' default route (0: none).

    The node's router address is its own to assign. IPv4 only.
    """

    mtu: int
    route_mtu: int = 0
    name: str = "lxc"

    def node(self, layout: Layout, node: NodeSpec) -> Sequence[Object]:
        return [FORWARDING]

    def pod(self, layout: Layout, node: NodeSpec, pod: PodSpec) -> Attached:
        port, router = self.port(pod.name), str(node.gateway)
        address = f"{pod.address}/32"
        attachment = Attachment(
            pod=pod.name,
            node=node.name,
            device=POD_DEVICE,
            port=port,
            wiring=self.name,
            addresses=(address,),
            gateways=(router,),
            gateway_mac=mac(node.name, port),
            mtu=self.route_mtu or self.mtu,
        )
        inner = Veth(
            name=POD_DEVICE,
            mac=mac(pod.name, POD_DEVICE),
            mtu=self.mtu,
            peer=Peer(node.name, port),
            addr_gen_mode="none",
        )
        outer = Veth(
            name=port,
            mac=mac(node.name, port),
            mtu=self.mtu,
            peer=Peer(pod.name, POD_DEVICE),
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        inside: list[Object] = [inner, Address(POD_DEVICE, address), *self._routes(router)]
        settings = (("rp_filter", "0"), ("accept_local", "1"), ("send_redirects", "0"))
        node_side: list[Object] = [outer, route(address, port, protocol="kernel", source=router)]
        node_side += [Sysctl(f"net/ipv4/conf/{port}/{key}", value) for key, value in settings]
        return Attached(attachment, inside, node_side)

    def port(self, pod: str) -> str:
        """`lxc` and the first 12 digits of a SHA-256, there of the container's ID and device."""
        return "lxc" + hashlib.sha256(f"{pod}:{POD_DEVICE}".encode()).hexdigest()[:12]

    def _routes(self, router: str) -> Iterator[Route]:
        yield route(f"{router}/32", POD_DEVICE)
        yield route("0.0.0.0/0", POD_DEVICE, router, mtu=self.route_mtu)
