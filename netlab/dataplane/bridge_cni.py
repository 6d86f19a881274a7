"""Pods on a node's bridge, as the bridge CNI plugin makes them (containernetworking/plugins).

The settings are those of flannel's delegate: `isDefaultGateway` and `hairpinMode` true, host-local
addresses, a route to the cluster network through the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

from netlab.plan.names import host_veth, mac
from netlab.plan.types import Address, Link, Namespace, Peer, Route, Sysctl
from netlab.topology.layout import Layout, NodeSpec, PodSpec

BRIDGE = "cni0"
POD_DEVICE = "eth0"


def attach_pods(layout: Layout, node: NodeSpec, spaces: Mapping[str, Namespace], mtu: int) -> None:
    """Give the node its bridge, and each of its pods a veth on it, an address and its routes.

    `mtu` is that of bridge and pods in bytes. The plugin fixes the bridge's MAC so that it does
    not follow those of its ports, and turns forwarding on.
    """
    space = spaces[node.name]
    space.links.append(Link(BRIDGE, "bridge", mac(node.name, BRIDGE), mtu))
    space.addresses.append(Address(BRIDGE, f"{node.gateway}/{node.pod_cidr.prefixlen}"))
    space.sysctls += [
        Sysctl("net/ipv4/ip_forward", "1"),
        Sysctl(f"net/ipv6/conf/{BRIDGE}/accept_ra", "0"),
    ]
    for pod in node.pods:
        _attach(layout, node, pod, space, spaces[pod.name], mtu)


def _attach(
    layout: Layout, node: NodeSpec, pod: PodSpec, host: Namespace, space: Namespace, mtu: int
) -> None:
    port = host_veth(pod.name)
    host.links.append(
        Link(
            port,
            "veth",
            mac(node.name, port),
            mtu,
            master=BRIDGE,
            hairpin=True,
            peer=Peer(pod.name, POD_DEVICE),
        )
    )
    space.links.append(
        Link(POD_DEVICE, "veth", mac(pod.name, POD_DEVICE), mtu, peer=Peer(node.name, port))
    )
    space.addresses.append(Address(POD_DEVICE, f"{pod.address}/{node.pod_cidr.prefixlen}"))
    for destination in ("0.0.0.0/0", str(layout.cluster_cidr)):
        # A cluster of one node has the connected route for it already, as the real plugin finds.
        if destination != str(node.pod_cidr):
            space.routes.append(Route(destination, POD_DEVICE, str(node.gateway)))
    space.sysctls.append(Sysctl(f"net/ipv4/conf/{POD_DEVICE}/arp_notify", "1"))
