"""A cluster with everything decided: every name given, every address assigned. Plain values.

Where there is one value for each address family, the IPv4 one comes first. A cluster is dual-stack
where its `cluster_cidrs` are two.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, TypeVar

from netlab.topology.model import HostAlias, Ready

if TYPE_CHECKING:
    Ip = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network
else:  # one class each, because msgspec decodes no union of two types that are not its own

    class Ip(ABC):  # noqa: B024
        """An address of either family."""

    class Network(ABC):  # noqa: B024
        """A network of either family."""

    Ip.register(IPv4Address)
    Ip.register(IPv6Address)
    Network.register(IPv4Network)
    Network.register(IPv6Network)

V = TypeVar("V", Ip, Network)

EXTERNAL = "external"
ROUTER = "router"
INTERNET = "internet"
DEFAULT_NAMESPACE = "default"  # of Kubernetes


def of_family(values: tuple[V, ...], ipv6: bool) -> V | None:
    """The first value of a family; None where there is none."""
    return next((value for value in values if (value.version == 6) is ipv6), None)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container. `port` and `local_port` are 0 where the topology gave it a command."""

    name: str
    command: tuple[str, ...] | None
    port: int
    local_port: int
    env: tuple[str, ...] = ()
    ready: Ready | None = None


@dataclass(frozen=True, slots=True)
class PodSpec:
    """A pod. `name` is what the lab calls it: `NAMESPACE/NAME` where several pods have its name.

    In one with `dns`, and no other, netlab's DNS server runs.
    """

    name: str
    node: str
    addresses: tuple[Ip, ...]
    containers: tuple[ContainerSpec, ...]
    namespace: str = DEFAULT_NAMESPACE
    host_aliases: tuple[HostAlias, ...] = ()
    labels: tuple[str, ...] = ()
    dns: bool = False

    @property
    def own_name(self) -> str:
        """Its name in its Kubernetes namespace."""
        return self.name.rpartition("/")[2]

    @property
    def address(self) -> Ip:
        return self.addresses[0]


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """One segment of the underlay: a switch, and the router's address of each family on it.

    `mtu` is in bytes.
    """

    switch: str
    networks: tuple[Network, ...]
    gateways: tuple[Ip, ...]
    mtu: int = 1500

    @property
    def network(self) -> Network:
        return self.networks[0]

    @property
    def gateway(self) -> Ip:
        return self.gateways[0]


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node. `pod_cidrs` are its share of the cluster's: of a family one, or several blocks.

    `gateways` are the addresses by which its pods reach the node, one for each family; `reserved`
    are addresses of its CIDRs which are its own, each with what for (as `router`). `mtu` is that of
    its device on the underlay, in bytes. `host` is the machine on which it is to be, if it matters.
    `containers` run in the node's own namespace, as of a pod with hostNetwork.
    """

    name: str
    addresses: tuple[Ip, ...]
    subnet: SubnetSpec
    pod_cidrs: tuple[Network, ...]
    gateways: tuple[Ip, ...]
    pods: tuple[PodSpec, ...]
    reserved: tuple[tuple[str, Ip], ...] = ()
    mtu: int = 1500
    host: str | None = None
    containers: tuple[ContainerSpec, ...] = ()

    @property
    def address(self) -> Ip:
        return self.addresses[0]

    @property
    def pod_cidr(self) -> Network:
        return self.pod_cidrs[0]

    @property
    def gateway(self) -> Ip:
        return self.gateways[0]

    def address_of(self, ipv6: bool) -> Ip:
        """Its address of a family; the cluster must have that family."""
        found = of_family(self.addresses, ipv6)
        assert found is not None, f"{self.name} has no address of IPv{6 if ipv6 else 4}"
        return found

    def cidrs_of(self, ipv6: bool) -> tuple[Network, ...]:
        """Its pod CIDRs of a family."""
        return tuple(cidr for cidr in self.pod_cidrs if (cidr.version == 6) is ipv6)


@dataclass(frozen=True, slots=True)
class ExternalSpec:
    """The client outside the cluster, behind the router: on the `internet`, its own segment."""

    name: str
    addresses: tuple[Ip, ...]
    subnet: SubnetSpec
    server: ContainerSpec

    @property
    def address(self) -> Ip:
        return self.addresses[0]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Where a port of a Service leads: `target` is what the lab calls the pod, or the node itself.

    The conditions are those of an EndpointSlice: ready is serving and not terminating, or what the
    Service publishes anyway.
    """

    address: Ip
    port: int
    target: str
    node: str
    ready: bool = True
    serving: bool = True
    terminating: bool = False

    def __str__(self) -> str:
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServicePortSpec:
    """A port of a Service with its endpoints, of every family. `protocol` is TCP or UDP.

    `node_port` is 0 where there is none.
    """

    name: str
    protocol: str
    port: int
    target_port: int
    node_port: int = 0
    endpoints: tuple[EndpointSpec, ...] = ()

    def of_family(self, ipv6: bool) -> tuple[EndpointSpec, ...]:
        """The endpoints of one address family."""
        return tuple(one for one in self.endpoints if (one.address.version == 6) is ipv6)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A Service. Without `cluster_ips` it is headless: names lead to its endpoints, no proxy does.

    `affinity` is in seconds, 0 for none; policies are Cluster or Local. `selector` and `chosen` are
    how its endpoints were found: by labels, by pods' names, or (None) all pods.
    """

    name: str
    namespace: str
    cluster_ips: tuple[Ip, ...]
    ports: tuple[ServicePortSpec, ...]
    affinity: int = 0
    external_policy: str = "Cluster"
    internal_policy: str = "Cluster"
    external_ips: tuple[Ip, ...] = ()
    selector: tuple[str, ...] = ()
    chosen: tuple[str, ...] | None = None

    @property
    def full_name(self) -> str:
        """`NAMESPACE/NAME`, as kube-proxy calls it."""
        return f"{self.namespace}/{self.name}"

    @property
    def headless(self) -> bool:
        return not self.cluster_ips

    def port_name(self, port: ServicePortSpec) -> str:
        """`NAMESPACE/NAME:PORT`, without the colon where the port has no name.

        As kube-proxy prints it (ServicePortName.String in pkg/proxy/types.go).
        """
        return f"{self.full_name}:{port.name}" if port.name else self.full_name


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster with everything decided. `node_masks` are one a family.

    `underlay_mtu` is the least of the subnets', in bytes. `spared` are the first pieces of the
    cluster network that are given to no node. `services` are there where a proxy is; `nameserver`
    is the one of them that pods ask for names.
    """

    cluster_cidrs: tuple[Network, ...]
    node_masks: tuple[int, ...]
    service_cidrs: tuple[Network, ...]
    node_port_range: tuple[int, int]
    underlay_mtu: int
    subnets: tuple[SubnetSpec, ...]
    nodes: tuple[NodeSpec, ...]
    external: ExternalSpec | None
    spared: int = 0
    services: tuple[ServiceSpec, ...] = ()
    nameserver: Ip | None = None
    pods: tuple[PodSpec, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pods", tuple(pod for node in self.nodes for pod in node.pods))

    @property
    def cluster_cidr(self) -> Network:
        return self.cluster_cidrs[0]

    @property
    def service_cidr(self) -> Network:
        return self.service_cidrs[0]

    @property
    def node_mask(self) -> int:
        return self.node_masks[0]

    @property
    def dual_stack(self) -> bool:
        return len(self.cluster_cidrs) > 1

    @property
    def families(self) -> tuple[bool, ...]:
        """For each address family of the cluster whether it is IPv6, in the cluster's order."""
        return tuple(cidr.version == 6 for cidr in self.cluster_cidrs)

    def cluster_cidr_of(self, ipv6: bool) -> Network:
        """Its pod network of a family that it has."""
        return next(cidr for cidr in self.cluster_cidrs if (cidr.version == 6) is ipv6)

    @property
    def segments(self) -> tuple[SubnetSpec, ...]:
        """All that the router joins: the nodes' subnets, and that of the client outside."""
        return (*self.subnets, *([self.external.subnet] if self.external else []))

    def node(self, name: str) -> NodeSpec:
        return next(node for node in self.nodes if node.name == name)

    @property
    def apart(self) -> tuple[NodeSpec, ...]:
        """The nodes that are on another segment than the first."""
        return tuple(node for node in self.nodes if node.subnet != self.nodes[0].subnet)

    def others(self, node: NodeSpec) -> tuple[NodeSpec, ...]:
        """All nodes but that one."""
        return tuple(other for other in self.nodes if other is not node)
