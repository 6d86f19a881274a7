"""From a `Cluster` to a `Layout`: every name given, every address assigned, every conflict refused.

Pods' addresses are the word of an IPAM (`netlab/topology/ipam/`), all else is decided here.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from netlab.errors import BadInput, shown
from netlab.topology import underlay
from netlab.topology.cidr import addresses, networks, refuse_overlaps
from netlab.topology.containers import refuse_bad_containers
from netlab.topology.dns import DNS_POD, dns_service, has_dns, nameserver
from netlab.topology.ipam import Ipam, Lease, Pool, Wish
from netlab.topology.ipam.host_local import HostLocal
from netlab.topology.ipam.node_cidrs import too_many_nodes
from netlab.topology.model import Cluster, Container, Node, Pod
from netlab.topology.names import refuse_bad_names, refuse_non_subdomain
from netlab.topology.node_servers import with_servers
from netlab.topology.resolved import (
    EXTERNAL,
    ContainerSpec,
    ExternalSpec,
    Ip,
    Layout,
    Network,
    NodeSpec,
    PodSpec,
    ServiceSpec,
    SubnetSpec,
)
from netlab.topology.services import resolve_services

SERVER_PORT = 8080
LOCAL_PORT = 10000
ALL_LOCAL_PORTS = 50_000
LOCAL_PORTS = 256  # that are of one node alone, if it is one of the first 195
MAX_CONTAINERS = LOCAL_PORT - SERVER_PORT  # of a pod, whose default ones have a port each
UNDERLAY_MTU_MIN = 576
IPV6_MTU_MIN = 1280  # RFC 8200; a device with less has no IPv6
# More cannot be proved: a packet too large to be forwarded is sent as the segments of one packet,
# and two of 32787 bytes are all that fit in an IPv4 packet.
UNDERLAY_MTU_MAX = 32768
# Kubernetes' allocator keeps a bitmap (pkg/controller/nodeipam/ipam/cidrset).
IPV6_NODE_BITS_MAX = 16


def lay_out(cluster: Cluster, ipam: Ipam | None = None, *, force: bool = False) -> Layout:
    """Decide every name and address of a cluster; `ipam` is host-local unless said.

    Raises BadInput where CIDRs overlap (unless `force`) or are too small, or a name is taken, too
    long or malformed.
    """
    cluster = _in_own_pool(cluster, getattr(ipam, "pool", None))
    cluster_cidrs = networks(cluster.cluster_cidr, "cluster CIDR")
    service_cidrs = networks(cluster.service_cidr, "service CIDR")
    pools = [replace(pool, forced=force) for pool in _pools(cluster, cluster_cidrs)]
    segments = underlay.subnets(cluster, dual_stack=len(cluster_cidrs) > 1)
    if not force:
        _check_overlaps(cluster_cidrs, service_cidrs, segments)
    _check_numbers(cluster, service_cidrs, dual_stack=len(cluster_cidrs) > 1)
    _refuse_too_many(cluster, pools)
    underlay.refuse_too_many(cluster, segments)
    nodes = _nodes(cluster)
    pods = {name: _pods_of(cluster, node) for name, node in nodes.items()}
    proxy = bool(cluster.services) or cluster.proxy is not None
    wanted = list(cluster.services)
    if has_dns(cluster, map(len, pods.values()), proxy=proxy):
        wanted.append(dns_service(cluster, service_cidrs[0]))
        pods = _with_dns(pods)
    specs = _told_apart(_node_specs(cluster, nodes, pods, segments, pools, ipam or HostLocal()))
    services: tuple[ServiceSpec, ...] = ()
    if proxy:
        ports = cluster.node_port_range
        services = resolve_services(wanted, specs, service_cidrs, ports)
        specs = with_servers(specs, services, LOCAL_PORT - 1)
    layout = Layout(
        cluster_cidrs=cluster_cidrs,
        node_masks=tuple(pool.node_mask for pool in pools),
        service_cidrs=service_cidrs,
        node_port_range=cluster.node_port_range,
        underlay_mtu=min(subnet.mtu for subnet in segments),
        subnets=segments,
        nodes=specs,
        external=_external(cluster_cidrs, service_cidrs, segments) if cluster.external else None,
        spared=getattr(ipam, "spared", 0),
        services=services,
        nameserver=nameserver(cluster, services, _dns_servers(specs)),
    )
    refuse_bad_names(layout)
    refuse_bad_containers(layout)
    return layout


def _dns_servers(nodes: Sequence[NodeSpec]) -> list[str]:
    return [pod.name for node in nodes for pod in node.pods if pod.dns]


def _in_own_pool(cluster: Cluster, pool: tuple[str, int] | None) -> Cluster:
    """The cluster with the pod network of an IPAM that brings one. Raises BadInput."""
    if pool is None:
        return cluster
    for name in ("cluster_cidr", "node_mask"):
        if getattr(cluster, name) != Cluster.__dataclass_fields__[name].default:
            raise BadInput(
                f"The cluster's {name} {shown(getattr(cluster, name))} has no effect, as nodes get "
                f"their pod CIDRs from the dataplane's own pool, {pool[0]} in parts of /{pool[1]}",
                "leave it out, and set the pool",
            )
    return replace(cluster, cluster_cidr=pool[0], node_mask=pool[1])


def _pools(cluster: Cluster, cidrs: tuple[Network, ...]) -> list[Pool]:
    pools = []
    for cidr in cidrs:
        ipv6 = cidr.version == 6
        mask, longest = (cluster.node_mask_ipv6, 126) if ipv6 else (cluster.node_mask, 30)
        if cidr.prefixlen > longest:
            raise BadInput(f"The cluster CIDR {cidr} is too small", f"use a /{longest} or wider")
        if not cidr.prefixlen <= mask <= longest:
            raise BadInput(
                f"The node mask /{mask} must lie between the cluster CIDR's /{cidr.prefixlen} and "
                f"/{longest}."
            )
        if ipv6 and mask - cidr.prefixlen > IPV6_NODE_BITS_MAX:
            raise BadInput(
                f"The node mask /{mask} may be at most {IPV6_NODE_BITS_MAX} bits longer than the "
                f"cluster CIDR {cidr}, as in Kubernetes",
                f"use a /{mask - IPV6_NODE_BITS_MAX} or longer for the cluster",
            )
        pools.append(Pool(cidr, mask))
    return pools


def _check_overlaps(
    cluster_cidrs: Sequence[Network],
    service_cidrs: Sequence[Network],
    segments: Sequence[SubnetSpec],
) -> None:
    named = [("cluster CIDR", cidr) for cidr in cluster_cidrs]
    named += [("service CIDR", cidr) for cidr in service_cidrs]
    named += [(f"underlay subnet {net}", net) for subnet in segments for net in subnet.networks]
    refuse_overlaps(named)


def _check_numbers(cluster: Cluster, service_cidrs: Sequence[Network], *, dual_stack: bool) -> None:
    smallest = IPV6_MTU_MIN if dual_stack else UNDERLAY_MTU_MIN
    given = cluster.underlay_mtu
    for mtu in [given] if isinstance(given, int) else given:
        if not smallest <= mtu <= UNDERLAY_MTU_MAX:
            raise BadInput(
                f"The underlay MTU {mtu} must lie between {smallest} and "
                f"{UNDERLAY_MTU_MAX}{' where there is IPv6' if dual_stack else ''}."
            )
    first, last = cluster.node_port_range
    if not 1 <= first <= last <= 65535:
        raise BadInput(f"The NodePort range {first}-{last} must lie between 1 and 65535.")
    if isinstance(cluster.nodes, int) and cluster.nodes < 1:
        raise BadInput(f"A cluster needs at least one node, not {shown(cluster.nodes)}.")
    if cluster.pods_per_node < 0 or cluster.containers < 0:
        raise BadInput("Pods per node and containers per pod cannot be negative.")
    for cidr in service_cidrs:
        longest = 30 if cidr.version == 4 else 126
        if cidr.prefixlen > longest:
            raise BadInput(f"The service CIDR {cidr} is too small", f"use a /{longest} or wider")


def _refuse_too_many(cluster: Cluster, pools: Sequence[Pool]) -> None:
    """Counts that nothing could hold, before anything as long as they say is made."""
    _refuse_many_containers(cluster.containers)
    if isinstance(cluster.nodes, int):
        for pool in pools:
            if cluster.nodes > 2 ** (pool.node_mask - pool.network.prefixlen):
                raise too_many_nodes(pool, cluster.nodes)


def _refuse_many_containers(count: int) -> None:
    if count > MAX_CONTAINERS:
        raise BadInput(f"A pod holds {MAX_CONTAINERS} containers, not {shown(count)}.")


def _nodes(cluster: Cluster) -> dict[str, Node]:
    if isinstance(cluster.nodes, int):
        return {f"node-{number}": Node() for number in range(1, cluster.nodes + 1)}
    if not cluster.nodes:
        raise BadInput("A cluster needs at least one node, not 0.")
    nodes: dict[str, Node] = {}
    for number, node in enumerate(cluster.nodes, 1):
        name = f"node-{number}" if node.name is None else node.name
        if name in nodes:
            raise BadInput(f"Two nodes are named {shown(name)}; names must be unique.")
        nodes[name] = node
    return nodes


def _node_specs(
    cluster: Cluster,
    nodes: dict[str, Node],
    pods: dict[str, Sequence[Pod]],
    segments: tuple[SubnetSpec, ...],
    pools: Sequence[Pool],
    ipam: Ipam,
) -> tuple[NodeSpec, ...]:
    wishes = [
        Wish(name, len(pods[name]), _given_cidrs(name, node, pools), _fixed(pods[name], pools))
        for name, node in nodes.items()
    ]
    given_ports = {one.port for own in pods.values() for one in _containers(own) if one.port}
    leases = [ipam.assign(pool, wishes) for pool in pools]
    places = underlay.places(nodes, segments)
    specs = []
    smallest = IPV6_MTU_MIN if len(pools) > 1 else UNDERLAY_MTU_MIN
    for index, (name, node) in enumerate(nodes.items()):
        own = [of_pool[index] for of_pool in leases]
        ips, subnet = places[index]
        specs.append(
            NodeSpec(
                name=name,
                addresses=ips,
                subnet=subnet,
                pod_cidrs=tuple(cidr for lease in own for cidr in lease.cidrs),
                gateways=tuple(lease.gateway for lease in own),
                pods=tuple(_pods(cluster, pods[name], index + 1, name, own, given_ports)),
                reserved=tuple(item for lease in own for item in lease.reserved),
                mtu=_mtu(name, node, subnet, smallest),
                host=node.host,
            )
        )
    return tuple(specs)


def _mtu(name: str, node: Node, subnet: SubnetSpec, smallest: int) -> int:
    if node.mtu is None:
        return subnet.mtu
    if not smallest <= node.mtu <= subnet.mtu:
        raise BadInput(
            f"The MTU {node.mtu} of {name} must lie between {smallest} and the {subnet.mtu} of its "
            "subnet."
        )
    return node.mtu


def _given_cidrs(name: str, node: Node, pools: Sequence[Pool]) -> tuple[Network, ...]:
    if not node.pod_cidr:
        return ()
    given = networks(node.pod_cidr, f"pod CIDR of {name}")
    for cidr in given:
        if all(cidr.version != pool.network.version for pool in pools):
            raise BadInput(f"The pod CIDR {cidr} of {name} is of a family the cluster has not.")
    return given


def _fixed(pods: Sequence[Pod], pools: Sequence[Pool]) -> tuple[tuple[int, Ip], ...]:
    """The addresses that pods were given, with the pods' numbers."""
    if isinstance(pods, _Same):
        return ()
    found = []
    for number, pod in enumerate(pods):
        what = f"address of the pod {pod.name or number + 1}"
        for ip in addresses(pod.address, what) if pod.address is not None else ():
            if all(ip.version != pool.network.version for pool in pools):
                raise BadInput(f"The {what}, {ip}, is of a family the cluster has not.")
            found.append((number, ip))
    return tuple(found)


def _containers(pods: Sequence[Pod]) -> Iterator[Container]:
    """Those that are named; a number of default pods names none."""
    if not isinstance(pods, _Same):
        yield from (container for pod in pods for container in pod.containers or ())


def _pods_of(cluster: Cluster, node: Node) -> Sequence[Pod]:
    wanted = cluster.pods_per_node if node.pods is None else node.pods
    if isinstance(wanted, int):
        if wanted < 0:
            raise BadInput(f"A node cannot have {shown(wanted)} pods.")
        return _Same(wanted)
    for pod in wanted:
        _refuse_many_containers(len(pod.containers or ()))
        if pod.name is not None:  # before a namespace is put before it, as in web/pod
            refuse_non_subdomain(pod.name)
    return wanted


def _with_dns(pods: dict[str, Sequence[Pod]]) -> dict[str, Sequence[Pod]]:
    """The DNS server's pod after those of the first node that has any: theirs stay as they are."""
    first = next(name for name, own in pods.items() if own)
    own = pods[first]
    return pods | {first: own.with_one(DNS_POD) if isinstance(own, _Same) else (*own, DNS_POD)}


class _Same(Sequence[Pod]):
    """So many default pods, then `more`; without a list as long as a number that was mistyped."""

    def __init__(self, count: int, more: Sequence[Pod] = ()) -> None:
        self._count = count
        self._more = more

    def with_one(self, pod: Pod) -> _Same:
        return _Same(self._count, (*self._more, pod))

    def __len__(self) -> int:
        return min(self._count + len(self._more), 2**62)

    def __getitem__(self, index: int) -> Pod:  # type: ignore[override]
        return Pod() if index < self._count else self._more[index - self._count]


def _pods(
    cluster: Cluster,
    pods: Sequence[Pod],
    number: int,
    node: str,
    leases: Sequence[Lease],
    given_ports: Collection[int],
) -> Iterator[PodSpec]:
    local_ports = (port for port in _local_ports(number) if port not in given_ports)
    default = tuple(Container(f"container-{k}") for k in range(1, cluster.containers + 1))
    for slot, pod in enumerate(pods):
        containers = default if pod.containers is None else pod.containers
        yield PodSpec(
            name=f"pod-{number}-{slot + 1}" if pod.name is None else pod.name,
            node=node,
            addresses=tuple(lease.pods[slot] for lease in leases),
            containers=tuple(_container(c, k, local_ports) for k, c in enumerate(containers)),
            namespace=pod.namespace,
            host_aliases=pod.host_aliases,
            labels=pod.labels,
            dns=pod.dns,
        )


def _container(one: Container, index: int, local_ports: Iterator[int]) -> ContainerSpec:
    if one.command:
        return ContainerSpec(one.name, one.command, one.port, 0, one.env, one.ready)
    port = one.port or SERVER_PORT + index
    return ContainerSpec(one.name, None, port, next(local_ports), one.env, one.ready)


def _local_ports(number: int) -> Iterator[int]:
    """Those of a node's containers: its own, whatever nodes there are and what pods they have.

    Nodes share some where one has more containers than LOCAL_PORTS, or there are very many.
    """
    start = (number - 1) * LOCAL_PORTS
    return (LOCAL_PORT + (start + count) % ALL_LOCAL_PORTS for count in itertools.count())


def _told_apart(nodes: Sequence[NodeSpec]) -> tuple[NodeSpec, ...]:
    """Pods' names with their namespaces, where pods of several have one name."""
    namespaces: dict[str, set[str]] = {}
    for node in nodes:
        for pod in node.pods:
            namespaces.setdefault(pod.name, set()).add(pod.namespace)
    if all(len(known) == 1 for known in namespaces.values()):
        return tuple(nodes)

    def named(pod: PodSpec) -> PodSpec:
        if len(namespaces[pod.name]) == 1:
            return pod
        return replace(pod, name=f"{pod.namespace}/{pod.name}")

    return tuple(replace(node, pods=tuple(map(named, node.pods))) for node in nodes)


def _external(
    cluster_cidrs: Sequence[Network],
    service_cidrs: Sequence[Network],
    segments: Sequence[SubnetSpec],
) -> ExternalSpec:
    used = [*cluster_cidrs, *service_cidrs, *(net for one in segments for net in one.networks)]
    mtu = max(one.mtu for one in segments)
    subnet = underlay.internet(used, mtu, dual_stack=len(cluster_cidrs) > 1)
    server = ContainerSpec("client", None, SERVER_PORT, LOCAL_PORT - 1)
    return ExternalSpec(EXTERNAL, underlay.client(subnet), subnet, server)
