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
from typing import ClassVar

from netlab.plan.attach import Attached
from netlab.plan.attachment import Attachment
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.links import Peer, Veth
from netlab.plan.names import POD_DEVICE, mac
from netlab.plan.routing import Address, Route, Sysctl, route
from netlab.plan.types import Object
from netlab.plan.underlay import FORWARDING, gen_mode
from netlab.topology.resolved import Layout, NodeSpec, PodSpec

PLUGIN, AGENT = "CNI plugin cilium-cni", "cilium-agent"
EXPLAINS = (
    Says(
        "link *",
        PLUGIN,
        "The node's end of a pod's cable, without an address. In Cilium an eBPF program on it "
        "takes every packet of the pod, and answers its ARP; here the kernel does both.",
    ),
    Says(
        "route *",
        AGENT,
        "The host route to a pod, written with enable-endpoint-routes alone: else Cilium's eBPF "
        "knows the endpoint and needs none. Here the kernel delivers. The source is netlab's own "
        "word, so that the pod sees its node under the router address.",
    ),
    Says(
        f"sysctl {FORWARDING.path}=1",
        AGENT,
        "The node forwards. In Cilium much goes past the kernel's routing, by eBPF; here all of it "
        "takes that way.",
    ),
    Says(
        "sysctl */rp_filter=0",
        PLUGIN,
        "No check of the reverse path: replies may come by another way than the routes say.",
    ),
    Says(
        "sysctl */accept_local=1",
        NETLAB,
        "As cilium-agent has it on its own devices: packets from the node's addresses may come "
        "in here, which Cilium's eBPF would have taken before.",
    ),
    Says(
        "sysctl */send_redirects=0",
        NETLAB,
        "As cilium-agent has it on its own devices: no pod is told of a shorter way, as there is "
        "none.",
    ),
    Says(
        "link eth0",
        PLUGIN,
        "The pod's end of its cable to the node. It has the node's MTU; the routes have less "
        "where there is a tunnel.",
        role="pod",
    ),
    Says(
        "address *",
        PLUGIN,
        "The pod's address: cilium-agent drew it from the node's pod CIDR. It is a single one, so "
        "that every packet goes to the node.",
        role="pod",
    ),
    Says(
        "route 0.0.0.0/0 *",
        PLUGIN,
        "All packets go to the node's router address, that of cilium_host. With a tunnel the MTU "
        "leaves room for its headers.",
        role="pod",
    ),
    Says(
        "route */32 dev *",
        PLUGIN,
        "Makes the router address reachable, which is in no network of the pod's. In Cilium eBPF "
        "answers the ARP for it, here the kernel, as it is the node's own address.",
        role="pod",
    ),
)


@dataclass(frozen=True, slots=True)
class Lxc:
    """`mtu` is the devices' in bytes, `route_mtu` that of the pods' default route (0: none).

    `device` is the pods' end, and `host_end` the node's, where that is no hash. The node's router
    address is its own to assign. IPv4 only.
    """

    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    mtu: int
    route_mtu: int = 0
    name: str = "lxc"
    device: str = POD_DEVICE
    host_end: str = ""

    def node(self, layout: Layout, node: NodeSpec) -> Sequence[Object]:
        return [FORWARDING]

    def pod(self, layout: Layout, node: NodeSpec, pod: PodSpec) -> Attached:
        port, router = self.port(pod.name), str(node.gateway)
        address = f"{pod.address}/32"
        attachment = Attachment(
            pod=pod.name,
            node=node.name,
            device=self.device,
            port=port,
            wiring=self.name,
            addresses=(address,),
            gateways=(router,),
            gateway_mac=mac(node.name, port),
            mtu=self.route_mtu or self.mtu,
        )
        inner = Veth(
            name=self.device,
            mac=mac(pod.name, self.device),
            mtu=self.mtu,
            peer=Peer(node.name, port),
            addr_gen_mode="none",
        )
        outer = Veth(
            name=port,
            mac=mac(node.name, port),
            mtu=self.mtu,
            peer=Peer(pod.name, self.device),
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        inside: list[Object] = [inner, Address(self.device, address), *self._routes(router)]
        settings = (("rp_filter", "0"), ("accept_local", "1"), ("send_redirects", "0"))
        node_side: list[Object] = [outer, route(address, port, protocol="kernel", source=router)]
        node_side += [Sysctl(f"net/ipv4/conf/{port}/{key}", value) for key, value in settings]
        return Attached(attachment, inside, node_side)

    def port(self, pod: str) -> str:
        """`lxc` and the first 12 digits of a SHA-256, there of the container's ID and device."""
        return (
            self.host_end or "lxc" + hashlib.sha256(f"{pod}:{POD_DEVICE}".encode()).hexdigest()[:12]
        )

    def _routes(self, router: str) -> Iterator[Route]:
        yield route(f"{router}/32", self.device)
        yield route("0.0.0.0/0", self.device, router, mtu=self.route_mtu)
