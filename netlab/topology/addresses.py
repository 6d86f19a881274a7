"""The address plan of a cluster in figures: what is assigned, and how much there is room for.

A lab has addresses of three kinds: nodes' on the underlay, Services' (the cluster's own, which no
device has), and pods'.
"""

from __future__ import annotations

from dataclasses import dataclass

from netlab.topology import underlay
from netlab.topology.bands import port_band, service_band
from netlab.topology.pod_ranges import PodRange, pod_range
from netlab.topology.resolved import Layout, Network, NodeSpec, SubnetSpec

KUBELET_MAX_PODS = 110  # the kubelet's default `maxPods`, whatever the node's CIDR holds


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the underlay: its networks, one a family, the router's addresses in them.

    `nodes` is how many nodes it has addresses for.
    """

    name: str
    networks: tuple[str, ...]
    routers: tuple[str, ...]
    nodes: int


@dataclass(frozen=True, slots=True)
class PodAddresses:
    """What a node's pods can get of one family.

    `first` and `last` are the pod addresses at the ends of its CIDR, or of its blocks; `reserved`
    are addresses between that are the node's own, by what for.
    """

    pod_cidrs: tuple[str, ...]
    gateway: str
    first: str
    last: str
    usable_pods: int
    reserved: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """`first`, `last` and `usable_pods` are those of the first of its families.

    `addresses` are its own on the underlay, one for each family; `reserved` are those of its pod
    CIDRs that are the node's, by what for (Cilium's `router` and `health`), of the first family.
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
    families: tuple[PodAddresses, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Service addresses from `first` to `last`; both are None where `size` is 0."""

    first: str | None
    last: str | None
    size: int


@dataclass(frozen=True, slots=True)
class PortBand:
    """NodePorts from `first` to `last`; both are None where `size` is 0."""

    first: int | None
    last: int | None
    size: int


@dataclass(frozen=True, slots=True)
class ServiceRange:
    """The service CIDR of one family, and how many Services have addresses of it."""

    cidr: str
    addresses: int
    static_band: Band
    dynamic_band: Band


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The figures of `netlab addresses`; its fields are the keys of the command's JSON.

    `kubernetes_service_ip` is that of the API server's Service, always the first. A Service that
    names no address gets one of the dynamic band, and one of the static band only when that is
    full; NodePorts likewise. `kubelet_max_pods` is the kubelet's own default limit for a node;
    `usable_pods` is how many pods the nodes that are there have addresses for. `underlay` are the
    networks of nodes' addresses. `max_nodes` is what the cluster CIDRs have room for; `block_mask`
    is the length of what nodes get, where that are blocks. What is not in `segments`, `families`
    or `service_ranges` is of the first family.
    """

    underlay: tuple[str, ...]
    segments: tuple[Segment, ...]
    cluster_cidr: str
    cluster_cidrs: tuple[str, ...]
    node_mask: int
    node_masks: tuple[int, ...]
    block_mask: int | None
    max_nodes: int
    service_cidr: str
    service_addresses: int
    kubernetes_service_ip: str
    static_band: Band
    dynamic_band: Band
    service_ranges: tuple[ServiceRange, ...]
    node_port_range: str
    node_ports: int
    static_port_band: PortBand
    dynamic_port_band: PortBand
    kubelet_max_pods: int
    usable_pods: int
    nodes: tuple[NodeAddresses, ...]


def address_plan(layout: Layout) -> AddressPlan:
    """Work the figures out."""
    services = tuple(map(service_range, layout.service_cidrs))
    first_port, last_port = layout.node_port_range
    static_ports, dynamic_ports = port_bands(first_port, last_port)
    nodes = tuple(_node(layout, node) for node in layout.nodes)
    blocks = layout.nodes[0].pod_cidr.prefixlen if in_blocks(layout) else None
    return AddressPlan(
        underlay=tuple(str(one) for subnet in layout.subnets for one in subnet.networks),
        segments=tuple(map(_segment, layout.subnets)),
        cluster_cidr=str(layout.cluster_cidr),
        cluster_cidrs=tuple(map(str, layout.cluster_cidrs)),
        node_mask=layout.node_mask,
        node_masks=layout.node_masks,
        block_mask=blocks,
        max_nodes=_max_nodes(layout),
        service_cidr=services[0].cidr,
        service_addresses=services[0].addresses,
        kubernetes_service_ip=str(layout.service_cidr[1]),
        static_band=services[0].static_band,
        dynamic_band=services[0].dynamic_band,
        service_ranges=services,
        node_port_range=f"{first_port}-{last_port}",
        node_ports=last_port - first_port + 1,
        static_port_band=static_ports,
        dynamic_port_band=dynamic_ports,
        kubelet_max_pods=KUBELET_MAX_PODS,
        usable_pods=sum(node.usable_pods for node in nodes),
        nodes=nodes,
    )


def in_blocks(layout: Layout) -> bool:
    """Whether nodes take blocks as they need them, and not one CIDR each."""
    return pod_range(layout.nodes[0], layout.families[0]).blocks


def _max_nodes(layout: Layout) -> int:
    """A node has a piece of each family's network: one of its mask, or at least one block."""
    rooms: list[int] = []
    node = layout.nodes[0]
    for ipv6, mask in zip(layout.families, layout.node_masks, strict=True):
        cidr = layout.cluster_cidr_of(ipv6)
        rooms.append(2 ** (mask - cidr.prefixlen) - layout.spared)
        pods = pod_range(node, ipv6)
        if pods.blocks:
            rooms.append(2 ** (pods.cidrs[0].prefixlen - cidr.prefixlen))
    return min(rooms)


def service_range(cidr: Network) -> ServiceRange:
    """What Services can have of a CIDR: all but the first address, and of IPv4 but the last.

    hostsPerNetwork in Kubernetes' pkg/registry/core/service/ipallocator/ipallocator.go.
    """
    addresses = cidr.num_addresses - (2 if cidr.version == 4 else 1)
    static = service_band(cidr.num_addresses)
    return ServiceRange(
        str(cidr),
        addresses,
        _band(cidr, 1, static),
        _band(cidr, 1 + static, addresses - static),
    )


def _band(services: Network, start: int, size: int) -> Band:
    if size <= 0:
        return Band(None, None, 0)
    return Band(str(services[start]), str(services[start + size - 1]), size)


def port_bands(first: int, last: int) -> tuple[PortBand, PortBand]:
    """The static band of a range of NodePorts, and the dynamic one above it."""
    size = last - first + 1
    static = port_band(size)
    lower = PortBand(first, first + static - 1, static) if static else PortBand(None, None, 0)
    return lower, PortBand(first + static, last, size - static)


def _segment(subnet: SubnetSpec) -> Segment:
    return Segment(
        subnet.switch,
        tuple(map(str, subnet.networks)),
        tuple(map(str, subnet.gateways)),
        min(map(underlay.room, subnet.networks)),
    )


def _node(layout: Layout, node: NodeSpec) -> NodeAddresses:
    families = tuple(_pods(pod_range(node, ipv6)) for ipv6 in layout.families)
    first = families[0]
    return NodeAddresses(
        name=node.name,
        addresses=tuple(map(str, node.addresses)),
        pod_cidr=str(node.pod_cidr),
        pod_cidrs=tuple(map(str, node.pod_cidrs)),
        gateway=first.gateway,
        first=first.first,
        last=first.last,
        usable_pods=first.usable_pods,
        reserved=first.reserved,
        families=families,
    )


def _pods(pods: PodRange) -> PodAddresses:
    return PodAddresses(
        pod_cidrs=tuple(map(str, pods.cidrs)),
        gateway=str(pods.gateway),
        first=str(pods.first),
        last=str(pods.last),
        usable_pods=pods.usable,
        reserved={name: str(ip) for name, ip in pods.reserved},
    )
