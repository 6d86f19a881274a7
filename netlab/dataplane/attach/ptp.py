"""Pods behind a veth of their own, with a host route: as Calico's CNI plugin attaches them.

projectcalico/calico cni-plugin/pkg/dataplane/linux: a /32 in the pod, its default route through
169.254.1.1, which the node answers for by proxy ARP; nothing is bridged.
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
from netlab.plan.names import POD_DEVICE, link_local, mac
from netlab.plan.routing import Address, Neighbour, NextHop, Route, Sysctl, is_ipv6, route
from netlab.plan.types import Object
from netlab.plan.underlay import FORWARDING, FORWARDING6, gen_mode
from netlab.topology.resolved import DEFAULT_NAMESPACE, Layout, NodeSpec, PodSpec

HOST_MAC = "ee:ee:ee:ee:ee:ee"  # of every host end
GATEWAY = "169.254.1.1"
ROUTE_METRIC = 1024  # of host routes (felix IPv4NormalRoutePriority, v3.32)


PLUGIN, FELIX = "CNI plugin calico", "felix"
EXPLAINS = (
    Says(
        "link *",
        PLUGIN,
        "The node's end of a pod's cable, on no bridge; its name is a hash of the pod's. "
        "All of them have one MAC, ee:ee:ee:ee:ee:ee.",
    ),
    Says(
        "address fe80:*",
        NETLAB,
        "The pods' IPv6 gateway. A real kernel makes it of the MAC; netlab writes it, without "
        "duplicate address detection.",
    ),
    Says(
        "route *",
        FELIX,
        "The host route to a pod. The CNI plugin writes it first, then felix owns it and gives it "
        "the metric 1024.",
    ),
    Says(
        "neighbour *",
        FELIX,
        "The pod's MAC, so that the node needs not ask for it. Of IPv4 alone.",
    ),
    Says(
        f"sysctl {FORWARDING.path}=1",
        FELIX,
        "The node routes between its pods and the underlay, so felix turns forwarding on.",
    ),
    Says(f"sysctl {FORWARDING6.path}=1", FELIX, "The same for IPv6."),
    Says(
        "sysctl */proxy_arp=1",
        PLUGIN,
        f"The node answers a pod that asks for {GATEWAY}, which nobody has. felix writes it again.",
    ),
    Says(
        "sysctl */proxy_delay=0",
        PLUGIN,
        "It answers at once: by default the first answer is up to 0.8 s late. felix writes it "
        "again.",
    ),
    Says(
        "sysctl */proxy_ndp=1",
        PLUGIN,
        "The same as proxy_arp for IPv6, though nothing is proxied: the gateway is the cali's own "
        "link-local address. felix writes it again.",
    ),
    Says(
        "sysctl */route_localnet=1",
        PLUGIN,
        "Packets of 127.0.0.0/8 may pass here, as of a host port that is asked on 127.0.0.1. "
        "felix writes it again.",
    ),
    Says(
        "sysctl */accept_ra=0",
        PLUGIN,
        "The node takes no router advertisements of pods. felix writes it again.",
    ),
    Says("link eth0", PLUGIN, "The pod's end of its cable to the node.", role="pod"),
    Says(
        "address *",
        PLUGIN,
        "The pod's address, by calico-ipam out of a block of the node. It is a single one, so "
        "that nothing is on the pod's segment and every packet is routed.",
        role="pod",
    ),
    Says(
        f"route {GATEWAY}/32 dev *",
        PLUGIN,
        "Makes the gateway reachable, which is in no network of the pod's.",
        role="pod",
    ),
    Says(
        "route 0.0.0.0/0 *",
        PLUGIN,
        f"All packets go to the node by {GATEWAY}, the same in every pod: no address is needed "
        "for a gateway.",
        role="pod",
    ),
    Says(
        "route ::/0 *",
        PLUGIN,
        "All packets go to the node: the gateway is the link-local address of every cali, of one "
        "MAC.",
        role="pod",
    ),
)


@dataclass(frozen=True, slots=True)
class Ptp:
    """`mtu` is the pods' in bytes; host ends are named `prefix` and 11 hex digits, as Calico's."""

    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    mtu: int
    prefix: str = "cali"
    name: str = "ptp"
    sourced: bool = False

    def node(self, layout: Layout, node: NodeSpec) -> Sequence[Object]:
        return [FORWARDING, *([FORWARDING6] if layout.dual_stack else [])]

    def pod(self, layout: Layout, node: NodeSpec, pod: PodSpec) -> Attached:
        port = self.port(pod.own_name, pod.namespace)
        addresses = [f"{ip}/{128 if ip.version == 6 else 32}" for ip in pod.addresses]
        gateways = [link_local(HOST_MAC) if is_ipv6(ip) else GATEWAY for ip in addresses]
        attachment = Attachment(
            pod=pod.name,
            node=node.name,
            device=POD_DEVICE,
            port=port,
            wiring=self.name,
            addresses=tuple(addresses),
            gateways=tuple(gateways),
            gateway_mac=HOST_MAC,
            mtu=self.mtu,
        )
        inner = Veth(
            name=POD_DEVICE,
            mac=mac(pod.name, POD_DEVICE),
            mtu=self.mtu,
            peer=Peer(node.name, port),
            addr_gen_mode="none",
        )
        own = [Address(POD_DEVICE, ip, nodad=is_ipv6(ip)) for ip in addresses]
        return Attached(
            attachment,
            [inner, *own, *self._routes(gateways)],
            list(self._host_end(layout, node, pod.name, port, addresses)),
        )

    def port(self, pod: str, namespace: str = DEFAULT_NAMESPACE) -> str:
        """The host end's name; Calico hashes `NAMESPACE.POD` by SHA-1."""
        digest = hashlib.sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()
        return self.prefix + digest[:11]

    def _routes(self, gateways: Sequence[str]) -> Iterator[Route]:
        for gateway in gateways:
            if is_ipv6(gateway):
                yield route("::/0", POD_DEVICE, gateway)
            else:
                yield route(f"{gateway}/32", POD_DEVICE)
                yield route("0.0.0.0/0", POD_DEVICE, gateway)

    def _host_end(
        self, layout: Layout, node: NodeSpec, pod: str, port: str, addresses: Sequence[str]
    ) -> Iterator[Object]:
        yield Veth(
            name=port,
            mac=HOST_MAC,
            mtu=self.mtu,
            peer=Peer(pod, POD_DEVICE),
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        if layout.dual_stack:
            yield Address(port, f"{link_local(HOST_MAC)}/64", scope="link", nodad=True)
        for address in addresses:
            yield Route(
                destination=address,
                next_hops=(NextHop(link=port),),
                scope="global" if is_ipv6(address) else "link",
                metric=ROUTE_METRIC,
                source=str(node.address) if self.sourced and not is_ipv6(address) else None,
            )
            if not is_ipv6(address):  # felix/routetable writes one, of IPv4 alone
                yield Neighbour(port, address.partition("/")[0], mac(pod, POD_DEVICE))
        # The order is the plugin's; without proxy_delay 0 the first ARP answer is late.
        for key in ("route_localnet", "proxy_arp"):
            yield Sysctl(f"net/ipv4/conf/{port}/{key}", "1")
        yield Sysctl(f"net/ipv4/neigh/{port}/proxy_delay", "0")
        yield Sysctl(f"net/ipv6/conf/{port}/accept_ra", "0")
        if layout.dual_stack:
            yield Sysctl(f"net/ipv6/conf/{port}/proxy_ndp", "1")
