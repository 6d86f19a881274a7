"""Pods behind a veth of their own, with a host route: as Calico's CNI plugin attaches them.

projectcalico/calico cni-plugin/pkg/dataplane/linux: a /32 in the pod, its default route through
169.254.1.1, which the node answers for by proxy ARP; nothing is bridged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.plan.attach import Attached
from netlab.plan.attachment import Attachment
from netlab.plan.links import Peer, Veth
from netlab.plan.names import POD_DEVICE, link_local, mac
from netlab.plan.routing import Address, Neighbour, NextHop, Route, Sysctl, is_ipv6, route
from netlab.plan.types import Object
from netlab.plan.underlay import FORWARDING, FORWARDING6, gen_mode
from netlab.topology.resolved import DEFAULT_NAMESPACE, Layout, NodeSpec, PodSpec

HOST_MAC = "ee:ee:ee:ee:ee:ee"  # of every host end
GATEWAY = "169.254.1.1"
ROUTE_METRIC = 1024  # of host routes (felix IPv4NormalRoutePriority, v3.32)


@dataclass(frozen=True, slots=True)
class Ptp:
    """`mtu` is the pods' in bytes; host ends are named `prefix` and 11 hex digits, as Calico's."""

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
