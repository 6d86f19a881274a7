"""From a `Cluster` to a `Layout`: every name given, every address assigned, every conflict refused.

Allocation follows the real systems: node CIDRs are cut from the cluster CIDR in order (Kubernetes'
node IPAM), pods get .2 onwards of their node's CIDR with the bridge at .1 (CNI host-local).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from netlab.errors import BadInput
from netlab.topology.cidr import address, network, refuse_overlaps, usable_pods
from netlab.topology.model import Cluster, Container, Node, Pod

DEVICE_NAME_MAX = 15  # IFNAMSIZ less the final NUL
SETTINGS_OF_ALL = ("all", "default")  # folders of /proc/sys/net/ipv4/conf that are no device's
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVER_PORT = 8080
LOCAL_PORT = 10000
MAX_CONTAINERS = LOCAL_PORT - SERVER_PORT  # of a pod, whose default ones have a port each
UNDERLAY_MTU_MIN = 576
# More cannot be proved: a packet too large to be forwarded is sent as the segments of one packet,
# and two of 32787 bytes are all that fit in an IPv4 packet.
UNDERLAY_MTU_MAX = 32768
EXTERNAL = "external"
ROUTER = "router"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container. `port` and `local_port` are 0 where the topology gave it a command."""

    name: str
    command: tuple[str, ...] | None
    port: int
    local_port: int


@dataclass(frozen=True, slots=True)
class PodSpec:
    name: str
    node: str
    address: IPv4Address
    containers: tuple[ContainerSpec, ...]


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """One segment of the underlay: a switch, and the router's address on it if there is one."""

    switch: str
    network: IPv4Network
    gateway: IPv4Address | None


@dataclass(frozen=True, slots=True)
class NodeSpec:
    name: str
    address: IPv4Address
    subnet: SubnetSpec
    pod_cidr: IPv4Network
    pods: tuple[PodSpec, ...]

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's address: the first of the node's pod CIDR."""
        return self.pod_cidr[1]


@dataclass(frozen=True, slots=True)
class ExternalSpec:
    """The client outside the cluster, on the first subnet of the underlay."""

    name: str
    address: IPv4Address
    subnet: SubnetSpec
    server: ContainerSpec


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster with everything decided. `underlay_mtu` is in bytes."""

    cluster_cidr: IPv4Network
    node_mask: int
    service_cidr: IPv4Network
    node_port_range: tuple[int, int]
    underlay_mtu: int
    subnets: tuple[SubnetSpec, ...]
    nodes: tuple[NodeSpec, ...]
    external: ExternalSpec | None
    pods: tuple[PodSpec, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pods", tuple(pod for node in self.nodes for pod in node.pods))

    def node(self, name: str) -> NodeSpec:
        return next(node for node in self.nodes if node.name == name)


def lay_out(cluster: Cluster) -> Layout:
    """Decide every name and address of a cluster.

    Raises BadInput where CIDRs overlap or are too small, or a name is taken, too long or malformed.
    """
    cluster_cidr = network(cluster.cluster_cidr, "cluster CIDR")
    service_cidr = network(cluster.service_cidr, "service CIDR")
    subnets = _subnets(cluster)
    named = [("cluster CIDR", cluster_cidr), ("service CIDR", service_cidr)]
    named += [(f"underlay subnet {subnet.network}", subnet.network) for subnet in subnets]
    refuse_overlaps(named)
    _check_numbers(cluster, cluster_cidr)
    if service_cidr.prefixlen > 30:
        raise BadInput(f"The service CIDR {service_cidr} is too small; use a /30 or wider.")

    _refuse_too_many(cluster, cluster_cidr, subnets)
    nodes = _nodes(cluster)
    cidrs = _node_cidrs(cluster, nodes, cluster_cidr)
    addresses = _node_addresses(nodes, subnets, with_external=cluster.external)
    local_ports = itertools.cycle(range(LOCAL_PORT, 60000))
    specs = tuple(
        NodeSpec(
            name=name,
            address=address,
            subnet=subnet,
            pod_cidr=cidr,
            pods=_pods(cluster, node, number, name, cidr, local_ports),
        )
        for number, ((name, node), cidr, (address, subnet)) in enumerate(
            zip(nodes.items(), cidrs, addresses, strict=True), 1
        )
    )
    external = None
    if cluster.external:
        server = ContainerSpec("client", None, SERVER_PORT, LOCAL_PORT - 1)
        external = ExternalSpec(EXTERNAL, subnets[0].network[-3], subnets[0], server)
    layout = Layout(
        cluster_cidr=cluster_cidr,
        node_mask=cluster.node_mask,
        service_cidr=service_cidr,
        node_port_range=cluster.node_port_range,
        underlay_mtu=cluster.underlay_mtu,
        subnets=subnets,
        nodes=specs,
        external=external,
    )
    _refuse_bad_names(layout)
    return layout


def _subnets(cluster: Cluster) -> tuple[SubnetSpec, ...]:
    texts = [cluster.underlay] if isinstance(cluster.underlay, str) else list(cluster.underlay)
    if not texts:
        raise BadInput("The underlay needs at least one subnet.")
    networks = [network(text, "underlay subnet") for text in texts]
    for subnet in networks:
        if subnet.prefixlen > 29:
            raise BadInput(f"The underlay subnet {subnet} is too small; use a /29 or wider.")
    if len(networks) == 1:
        return (SubnetSpec("underlay", networks[0], None),)
    return tuple(
        SubnetSpec(f"underlay-{number}", subnet, subnet[-2])
        for number, subnet in enumerate(networks, 1)
    )


def _check_numbers(cluster: Cluster, cluster_cidr: IPv4Network) -> None:
    if not cluster_cidr.prefixlen <= cluster.node_mask <= 30:
        raise BadInput(
            f"The node mask /{cluster.node_mask} must lie between the cluster CIDR's "
            f"/{cluster_cidr.prefixlen} and /30."
        )
    if not UNDERLAY_MTU_MIN <= cluster.underlay_mtu <= UNDERLAY_MTU_MAX:
        raise BadInput(
            f"The underlay MTU {cluster.underlay_mtu} must lie between {UNDERLAY_MTU_MIN} and "
            f"{UNDERLAY_MTU_MAX}."
        )
    first, last = cluster.node_port_range
    if not 1 <= first <= last <= 65535:
        raise BadInput(f"The NodePort range {first}-{last} must lie between 1 and 65535.")
    if isinstance(cluster.nodes, int) and cluster.nodes < 1:
        raise BadInput(f"A cluster needs at least one node, not {cluster.nodes}.")
    if cluster.pods_per_node < 0 or cluster.containers < 0:
        raise BadInput("Pods per node and containers per pod cannot be negative.")


def _refuse_too_many(
    cluster: Cluster, cluster_cidr: IPv4Network, subnets: tuple[SubnetSpec, ...]
) -> None:
    """Counts that nothing could hold, before anything as long as they say is made."""
    _refuse_many_containers(cluster.containers)
    if not isinstance(cluster.nodes, int):
        return
    if cluster.nodes > 2 ** (cluster.node_mask - cluster_cidr.prefixlen):
        raise _too_many_nodes(cluster, cluster_cidr, cluster.nodes)
    for index, subnet in enumerate(subnets):
        share = (cluster.nodes - index + len(subnets) - 1) // len(subnets)
        kept = bool(subnet.gateway) + (cluster.external and index == 0)
        if share > subnet.network.num_addresses - 2 - kept:
            raise _too_small(subnet, cluster.nodes)


def _too_many_nodes(cluster: Cluster, cluster_cidr: IPv4Network, count: int) -> BadInput:
    capacity = 2 ** (cluster.node_mask - cluster_cidr.prefixlen)
    return BadInput(
        f"The cluster CIDR {cluster_cidr} holds {capacity} nodes of /{cluster.node_mask}, "
        f"not {count}; widen it or use a longer node mask."
    )


def _too_small(subnet: SubnetSpec, nodes: int) -> BadInput:
    return BadInput(
        f"The underlay subnet {subnet.network} is too small for its share of {nodes} nodes; give "
        "a wider one."
    )


def _refuse_many_containers(count: int) -> None:
    if count > MAX_CONTAINERS:
        raise BadInput(f"A pod holds {MAX_CONTAINERS} containers, not {count}.")


def _nodes(cluster: Cluster) -> dict[str, Node]:
    if isinstance(cluster.nodes, int):
        return {f"node-{number}": Node() for number in range(1, cluster.nodes + 1)}
    if not cluster.nodes:
        raise BadInput("A cluster needs at least one node, not 0.")
    nodes: dict[str, Node] = {}
    for number, node in enumerate(cluster.nodes, 1):
        name = node.name or f"node-{number}"
        if name in nodes:
            raise BadInput(f"Two nodes are named '{name}'; names must be unique.")
        nodes[name] = node
    return nodes


def _node_cidrs(
    cluster: Cluster, nodes: dict[str, Node], cluster_cidr: IPv4Network
) -> list[IPv4Network]:
    """The given CIDRs, and for the other nodes the next free pieces of the cluster CIDR."""
    given = {
        name: network(node.pod_cidr, f"pod CIDR of {name}")
        for name, node in nodes.items()
        if node.pod_cidr
    }
    for name, cidr in given.items():
        if not cidr.subnet_of(cluster_cidr):
            raise BadInput(f"The pod CIDR {cidr} of {name} is outside the cluster {cluster_cidr}.")
        if cidr.prefixlen > 30:
            raise BadInput(f"The pod CIDR {cidr} of {name} is too small; use a /30 or wider.")
    refuse_overlaps([(f"pod CIDR of {name}", cidr) for name, cidr in given.items()])
    taken = list(given.values())
    pieces = (
        piece
        for piece in cluster_cidr.subnets(new_prefix=cluster.node_mask)
        if not any(piece.overlaps(other) for other in taken)
    )
    result = []
    for name in nodes:
        chosen = given.get(name) or next(pieces, None)
        if chosen is None:
            raise _too_many_nodes(cluster, cluster_cidr, len(nodes))
        result.append(chosen)
    return result


def _node_addresses(
    nodes: dict[str, Node], subnets: tuple[SubnetSpec, ...], *, with_external: bool
) -> list[tuple[IPv4Address, SubnetSpec]]:
    """Nodes are dealt to the subnets in turn, and get their first free host addresses.

    The last host address of a subnet is kept for a router, the one before for the external client.
    """
    given = {
        name: address(node.address, f"address of {name}")
        for name, node in nodes.items()
        if node.address
    }
    reserved = {subnet.network[-2] for subnet in subnets if subnet.gateway}
    if with_external:
        reserved.add(subnets[0].network[-3])
    taken: dict[IPv4Address, str] = {}
    for name, ip in given.items():
        if ip in taken:
            raise BadInput(f"Nodes {taken[ip]} and {name} have one address, {ip}.")
        if ip in reserved:
            raise BadInput(f"The address {ip} of {name} is kept for the router or the client.")
        taken[ip] = name
    skip = reserved | set(taken)
    free = [_hosts(subnet.network, skip) for subnet in subnets]
    result = []
    for index, name in enumerate(nodes):
        if name in given:
            result.append((given[name], _subnet_of(name, given[name], subnets)))
            continue
        subnet = subnets[index % len(subnets)]
        ip_or_none = next(free[index % len(subnets)], None)
        if ip_or_none is None:
            raise _too_small(subnet, len(nodes))
        result.append((ip_or_none, subnet))
    return result


def _hosts(subnet: IPv4Network, skip: set[IPv4Address]) -> Iterator[IPv4Address]:
    return (ip for ip in subnet.hosts() if ip not in skip)


def _subnet_of(name: str, ip: IPv4Address, subnets: tuple[SubnetSpec, ...]) -> SubnetSpec:
    for subnet in subnets:
        if ip in subnet.network and ip not in (subnet.network[0], subnet.network[-1]):
            return subnet
    raise BadInput(f"The address {ip} of {name} is not a host address of the underlay.")


def _pods(
    cluster: Cluster,
    node: Node,
    number: int,
    node_name: str,
    cidr: IPv4Network,
    local_ports: Iterator[int],
) -> tuple[PodSpec, ...]:
    wanted = cluster.pods_per_node if node.pods is None else node.pods
    count = wanted if isinstance(wanted, int) else len(wanted)
    if not 0 <= count <= usable_pods(cidr):
        raise BadInput(
            f"The pod CIDR {cidr} of {node_name} holds {usable_pods(cidr)} pods, not {count}."
        )
    pods = [Pod()] * wanted if isinstance(wanted, int) else wanted
    for pod in pods:
        _refuse_many_containers(len(pod.containers or ()))
    default = tuple(Container(f"container-{k}") for k in range(1, cluster.containers + 1))
    return tuple(
        PodSpec(
            name=pod.name or f"pod-{number}-{slot}",
            node=node_name,
            address=cidr[slot + 1],
            containers=tuple(
                ContainerSpec(c.name, c.command, 0, 0)
                if c.command
                else ContainerSpec(c.name, None, SERVER_PORT + k, next(local_ports))
                for k, c in enumerate(default if pod.containers is None else pod.containers)
            ),
        )
        for slot, pod in enumerate(pods, 1)
    )


def _refuse_bad_names(layout: Layout) -> None:
    names = [subnet.switch for subnet in layout.subnets]
    names += [ROUTER] if len(layout.subnets) > 1 else []
    names += [EXTERNAL] if layout.external else []
    names += [node.name for node in layout.nodes]
    for name in names:
        if len(name) > DEVICE_NAME_MAX:
            raise BadInput(
                f"The node name '{name}' has {len(name)} characters; it names the node's port on "
                f"the underlay switch, so the kernel allows {DEVICE_NAME_MAX}."
            )
        if name in SETTINGS_OF_ALL:
            raise BadInput(f"A node cannot be named '{name}'; the kernel has no device so named.")
    names += [pod.name for pod in layout.pods]
    for name in names:
        _refuse_non_label(name)
    _refuse_duplicates(names, "Two namespaces of the lab would be named '{}'")
    for pod in layout.pods:
        containers = [container.name for container in pod.containers]
        _refuse_duplicates(containers, f"Two containers of {pod.name} are named '{{}}'")
        for name in containers:
            _refuse_non_label(name)


def _refuse_non_label(name: str) -> None:
    if not DNS_LABEL.fullmatch(name):
        raise BadInput(
            f"The name '{name}' is not a DNS label: lower-case letters, digits and '-', at most "
            "63, as Kubernetes asks."
        )


def _refuse_duplicates(names: Iterable[str], sentence: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"{sentence.format(name)}; names must be unique.")
        seen.add(name)
