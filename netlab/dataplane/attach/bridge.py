"""Pods on a node's bridge, as the bridge CNI plugin makes them (containernetworking/plugins).

The settings are those of flannel's delegate: `isDefaultGateway` and `hairpinMode` true, a route to
the cluster network through the gateway beside the default route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlab.plan.attach import Attached
from netlab.plan.attachment import Attachment
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.links import Bridge as BridgeLink
from netlab.plan.links import Peer, Port, Veth
from netlab.plan.names import POD_DEVICE, host_veth, link_local, mac
from netlab.plan.routing import Address, Route, Sysctl, route
from netlab.plan.rulesets import Chain, Hook, NftTable, Ruleset
from netlab.plan.types import Object
from netlab.plan.underlay import FORWARDING, FORWARDING6, gen_mode
from netlab.topology.resolved import Layout, NodeSpec, PodSpec

PLUGIN = "CNI plugin bridge"
EXPLAINS = (
    Says(
        "link veth*",
        PLUGIN,
        "The node's end of a pod's cable: a port of the bridge, in hairpin mode, so that a pod "
        "reaches itself by a Service.",
    ),
    Says(
        "link *",
        PLUGIN,
        "The bridge that the node's pods are ports of. The plugin makes it with the first pod, and "
        "fixes its MAC; here it is there from the start.",
    ),
    Says(
        "address fe80:*",
        NETLAB,
        "A real kernel makes the bridge's link-local address itself. netlab writes it, without "
        "duplicate address detection, so that pods can be solicited from the first packet.",
    ),
    Says(
        "address *",
        PLUGIN,
        "The pods' gateway (isDefaultGateway): the first address of the node's pod CIDR.",
    ),
    Says(
        f"sysctl {FORWARDING.path}=1",
        PLUGIN,
        "A bridge that is a gateway forwards pods' packets, so the plugin turns forwarding on.",
    ),
    Says(
        f"sysctl {FORWARDING6.path}=1",
        PLUGIN,
        "The same for IPv6, where the bridge has an IPv6 gateway.",
    ),
    Says(
        "sysctl *accept_ra=0",
        PLUGIN,
        "The bridge takes no router advertisements: no pod can give the node a route.",
    ),
    Says(
        "nftables table bridge netlab*",
        NETLAB,
        "Keeps pods' multicast listener reports from being flooded to every port of the bridge, "
        "which no real node does: without it the cost of a pod grows with their number.",
    ),
    Says("link eth0", PLUGIN, "The pod's end of its cable to the bridge.", role="pod"),
    Says(
        "address *",
        PLUGIN,
        "The pod's address: the IPAM plugin host-local took the next free one of the node's pod "
        "CIDR, and the bridge plugin writes it.",
        role="pod",
    ),
    *(
        Says(
            f"route {everything} *",
            PLUGIN,
            "isDefaultGateway: whatever is not in the node's own pod CIDR goes to the bridge.",
            role="pod",
        )
        for everything in ("0.0.0.0/0", "::/0")
    ),
    Says(
        "route *",
        PLUGIN,
        "The cluster network by the bridge too: flannel's CNI plugin hands this route to the "
        "bridge plugin, so that it holds where another network has the default route.",
        role="pod",
    ),
    Says(
        "sysctl *arp_notify=1",
        PLUGIN,
        "The pod tells its MAC as soon as its device is up, for whoever remembers another one.",
        role="pod",
    ),
)


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of each node with the gateway's address; `mtu`, in bytes, is its and the pods'.

    The plugin fixes the bridge's MAC so that it does not follow those of its ports, and turns
    forwarding on.
    """

    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    mtu: int
    bridge: str = "cni0"
    hairpin: bool = True
    name: str = "bridge"

    def node(self, layout: Layout, node: NodeSpec) -> Sequence[Object]:
        own = mac(node.name, self.bridge)
        objects: list[Object] = [
            BridgeLink(
                name=self.bridge, mac=own, mtu=self.mtu, addr_gen_mode=gen_mode(layout.dual_stack)
            ),
            *self._gateways(node),
            FORWARDING,
            Sysctl(f"net/ipv6/conf/{self.bridge}/accept_ra", "0"),
        ]
        if layout.dual_stack:
            objects += [FORWARDING6, _no_reports()]
            # Needed at once: the kernel solicits pods for packets it forwards from it alone.
            address = f"{link_local(own)}/64"
            objects.append(Address(self.bridge, address, scope="link", nodad=True))
        return objects

    def _gateways(self, node: NodeSpec) -> Iterator[Address]:
        for gateway, cidr in zip(node.gateways, node.pod_cidrs, strict=True):
            ipv6 = gateway.version == 6
            yield Address(self.bridge, f"{gateway}/{cidr.prefixlen}", nodad=ipv6)

    def pod(self, layout: Layout, node: NodeSpec, pod: PodSpec) -> Attached:
        port = host_veth(pod.name)
        outer = Veth(
            name=port,
            mac=mac(node.name, port),
            mtu=self.mtu,
            txqlen=0,  # as the plugin asks for, without meaning to
            master=self.bridge,
            bridge_port=Port(hairpin=self.hairpin),
            peer=Peer(pod.name, POD_DEVICE),
            addr_gen_mode=gen_mode(layout.dual_stack),
        )
        inner = Veth(
            name=POD_DEVICE,
            mac=mac(pod.name, POD_DEVICE),
            mtu=self.mtu,
            txqlen=0,
            peer=Peer(node.name, port),
            addr_gen_mode="none",
        )
        addresses = [
            Address(POD_DEVICE, f"{ip}/{cidr.prefixlen}", nodad=ip.version == 6)
            for ip, cidr in zip(pod.addresses, node.pod_cidrs, strict=True)
        ]
        attachment = Attachment(
            pod=pod.name,
            node=node.name,
            device=POD_DEVICE,
            port=port,
            wiring=self.name,
            addresses=tuple(address.address for address in addresses),
            gateways=tuple(str(gateway) for gateway in node.gateways),
            gateway_mac=mac(node.name, self.bridge),
            mtu=self.mtu,
            bridge=self.bridge,
            hairpin=self.hairpin,
        )
        settings = [Sysctl(f"net/ipv4/conf/{POD_DEVICE}/arp_notify", "1")]
        inside: list[Object] = [inner, *addresses, *self._routes(layout, node), *settings]
        return Attached(attachment, inside, [outer])

    def _routes(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        for gateway, cidr in zip(node.gateways, node.pod_cidrs, strict=True):
            ipv6 = gateway.version == 6
            cluster = str(layout.cluster_cidr_of(ipv6))
            yield route("::/0" if ipv6 else "0.0.0.0/0", POD_DEVICE, str(gateway))
            # A cluster of one node has the connected route for it already, as the plugin finds.
            if cluster != str(cidr):
                yield route(cluster, POD_DEVICE, str(gateway))


def _no_reports() -> Ruleset:
    """Keep pods' multicast listener reports from being flooded to every port of the bridge.

    netlab's own: without a querier a bridge floods each report, so that the cost of a pod grows
    with their number (0.1 ms a pod with this rule, 0.4 without).
    """
    chain = Chain(
        name="prerouting",
        hook=Hook(type="filter", hook="prerouting", priority="-300"),
        rules=("icmpv6 type mld2-listener-report drop",),
    )
    return NftTable(family="bridge", name="netlab", chains=(chain,))
