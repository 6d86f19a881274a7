"""The address plan of a cluster in figures: what is assigned, and how much there is room for."""

from __future__ import annotations

from dataclasses import dataclass

from netlab.topology.cidr import usable_pods
from netlab.topology.resolved import Ip, Layout, Network, NodeSpec

KUBELET_MAX_PODS = 110  # the kubelet's default `maxPods`, whatever the node's CIDR holds


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """`first` and `last` are the pod addresses at the ends of its IPv4 CIDR, or of its blocks.

    `addresses` are its own on the underlay, one for each family; `reserved` are those of its pod
    CIDRs that are the node's, by what for (Cilium's `router` and `health`).
    """

    name: str
    addresses: tuple[str, ...]
    pod_cidr: str
    pod_cidrs: tuple[str, ...]
    gateway: str
    first: str
    last: str
    usable_pods: int
    reserved: dict[str, str]


@dataclass(frozen=True, slots=True)
class Band:
    """Service addresses from `first` to `last`; both are None where `size` is 0."""

    first: str | None
    last: str | None
    size: int


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The figures of `netlab addresses`; its fields are the keys of the command's JSON.

    `kubernetes_service_ip` is that of the API server, always the first. An address for a Service
    comes from the dynamic band unless the user names one, best from the static band.
    `kubelet_max_pods` is the kubelet's own default limit for a node; `usable_pods` is how many pods
    the nodes that are there have addresses for. `underlay` are the networks of nodes' addresses.
    """

    underlay: tuple[str, ...]
    cluster_cidr: str
    cluster_cidrs: tuple[str, ...]
    node_mask: int
    max_nodes: int
    service_cidr: str
    service_addresses: int
    kubernetes_service_ip: str
    static_band: Band
    dynamic_band: Band
    node_port_range: str
    kubelet_max_pods: int
    usable_pods: int
    nodes: tuple[NodeAddresses, ...]


def address_plan(layout: Layout) -> AddressPlan:
    """Work the figures out."""
    services = layout.service_cidr
    static = static_band_size(services)
    first_port, last_port = layout.node_port_range
    nodes = tuple(map(_node, layout.nodes))
    return AddressPlan(
        underlay=tuple(str(one) for subnet in layout.subnets for one in subnet.networks),
        cluster_cidr=str(layout.cluster_cidr),
        cluster_cidrs=tuple(map(str, layout.cluster_cidrs)),
        node_mask=layout.node_mask,
        max_nodes=min(
            2 ** (mask - cidr.prefixlen) - layout.spared
            for mask, cidr in zip(layout.node_masks, layout.cluster_cidrs, strict=True)
        ),
        service_cidr=str(services),
        service_addresses=services.num_addresses - 2,
        kubernetes_service_ip=str(services[1]),
        static_band=_band(services, 1, static),
        dynamic_band=_band(services, 1 + static, services.num_addresses - 2 - static),
        node_port_range=f"{first_port}-{last_port}",
        kubelet_max_pods=KUBELET_MAX_PODS,
        usable_pods=sum(node.usable_pods for node in nodes),
        nodes=nodes,
    )


def static_band_size(services: Network) -> int:
    """The number of addresses at the start of a service CIDR kept for Services that name theirs.

    min(max(16, size/16), 256), none in a CIDR of 16 or fewer (calculateRangeOffset in Kubernetes'
    pkg/registry/core/service/ipallocator).
    """
    size: int = services.num_addresses
    return 0 if size <= 16 else min(max(16, size // 16), 256)


def _band(services: Network, start: int, size: int) -> Band:
    if size <= 0:
        return Band(None, None, 0)
    return Band(str(services[start]), str(services[start + size - 1]), size)


def _node(node: NodeSpec) -> NodeAddresses:
    first, last, usable = pod_addresses(node)
    return NodeAddresses(
        name=node.name,
        addresses=tuple(map(str, node.addresses)),
        pod_cidr=str(node.pod_cidr),
        pod_cidrs=tuple(map(str, node.pod_cidrs)),
        gateway=str(node.gateway),
        first=str(first),
        last=str(last),
        usable_pods=usable,
        reserved={name: str(ip) for name, ip in node.reserved},
    )


def pod_addresses(node: NodeSpec) -> tuple[Ip, Ip, int]:
    """The ends of what its IPAM gives to pods, of the first family, and how many there are."""
    cidr = node.pod_cidr
    cidrs = node.cidrs_of(cidr.version == 6)
    if node.gateway not in cidr:  # blocks: every address is a pod's
        return cidr[0], cidrs[-1][-1], sum(block.num_addresses for block in cidrs)
    own = sum(ip in cidr for _, ip in node.reserved)
    if own:  # drawn from anywhere between network and broadcast address
        return cidr[1], cidr[-2], cidr.num_addresses - 2 - own
    return cidr[2], cidr[-2], usable_pods(cidr)
