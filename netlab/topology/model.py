"""The values a topology file is made of. They say what is wanted; `layout` works out the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from netlab.topology.check import check_fields

ELSEWHERE = ("AnyDataplane", "AnyProxy")  # types of fields that are checked at another place


class AnyDataplane(Protocol):
    """What a cluster knows of its dataplane; the whole of it is `netlab.plan.dataplane`."""

    name: ClassVar[str]
    ipam: ClassVar[Any]


class AnyProxy(Protocol):
    """What a cluster knows of its proxy; the whole of it is `netlab.plan.proxy`."""

    name: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """How a container shows that it is ready, within `seconds`: by every condition that is given.

    A TCP port on which it listens, on more than loopback, or a UDP port likewise; a command, run
    inside the container, that ends with 0.

    >>> Ready(tcp=80, seconds=30).tcp
    80
    """

    tcp: int = 0
    udp: int = 0
    command: tuple[str, ...] = ()
    seconds: float = 10.0

    def __post_init__(self) -> None:
        check_fields(self, Ready)


@dataclass(frozen=True, slots=True)
class Named:
    """A dataplane or proxy by its name with options, where no value of its class can be written."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Container:
    """One process of a pod, in PID, mount and UTS namespaces of its own.

    Without a `command` it runs netlab's server, which answers TCP, UDP and HTTP on its `port` with
    the pod's name; 0 is 8080 for a pod's first container, 8081 for its second. With one, that
    command is run as it is; its output goes to the lab's log folder.
    `env` are variables, each as `NAME=VALUE`, beside PATH, HOSTNAME and HOME: nothing comes from
    the environment of who makes the lab. `ready` is what `up` waits for.

    >>> Container("web", ("python3", "-m", "http.server", "80"), ready=Ready(tcp=80)).command[0]
    'python3'
    """

    name: str
    command: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    ready: Ready | None = None
    port: int = 0

    def __post_init__(self) -> None:
        check_fields(self, Container)


@dataclass(frozen=True, slots=True)
class HostAlias:
    """Names of an address in a pod's /etc/hosts, as an entry of `hostAliases` in a PodSpec.

    >>> HostAlias("10.1.2.3", ("db.example.com", "db")).hostnames[1]
    'db'
    """

    ip: str
    hostnames: tuple[str, ...]

    def __post_init__(self) -> None:
        check_fields(self, HostAlias)


@dataclass(frozen=True, slots=True)
class Pod:
    """A network namespace shared by `containers`; without any, `Cluster.containers` defaults.

    `namespace` is its Kubernetes namespace: pods of one name may be in several. `host_aliases` are
    further lines of its /etc/hosts. `labels`, each as `KEY=VALUE`, are what Services select by.
    `address` is one of its node's pod CIDRs, or one of each family; without, one is given out.
    With `dns` netlab's DNS server runs in it, on port 53, as in the pod of `Cluster.dns`.

    >>> Pod("web", (Container("server"), Container("sidecar"))).containers[1].name
    'sidecar'
    """

    name: str | None = None
    containers: tuple[Container, ...] | None = None
    namespace: str = "default"
    host_aliases: tuple[HostAlias, ...] = ()
    labels: tuple[str, ...] = ()
    address: str | Sequence[str] | None = None
    dns: bool = False

    def __post_init__(self) -> None:
        check_fields(self, Pod)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service with several; `target_port` 0 is the same as `port`.

    `node_port` 0: where the Service has NodePorts, one is allocated. A name is needed where a
    Service has several ports, as in Kubernetes.

    >>> ServicePort(53, protocol="UDP", name="dns").port
    53
    """

    port: int
    target_port: int = 0
    protocol: Literal["TCP", "UDP"] = "TCP"
    node_port: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self, ServicePort)


@dataclass(frozen=True, slots=True)
class Service:
    """A Service. Its endpoints are the pods that `selector` names by their labels, each as
    `KEY=VALUE`; or those of `pods` by name (none with an empty tuple); or, without both, all pods.
    `nodes` are endpoints too, as pods with hostNetwork are: each answers on the target port itself.

    `port` with what belongs to it, or `ports`. `type` NodePort, or any `node_port`, opens it on
    every node too. `cluster_ip` None is allocated, "None" makes it headless; a pair, or
    `dual_stack`, is one of each family.
    `affinity` is the seconds for which a client keeps its endpoint (ClientIP; Kubernetes' default
    is 10800), 0 for none. Of `pods` some may be `unready` or `terminating`: kube-proxy sends to the
    ready ones alone, unless there are none (pkg/proxy/topology.go). One named `kubernetes` in the
    namespace `default` is in the place of the API server's own, which leads to the first node.

    >>> Service("web", port=80, target_port=8080, node_port=30080).port
    80
    """

    name: str
    port: int = 0
    target_port: int = 0
    protocol: Literal["TCP", "UDP"] = "TCP"
    node_port: int = 0
    selector: tuple[str, ...] = ()
    pods: tuple[str, ...] | None = None
    nodes: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    type: Literal["ClusterIP", "NodePort"] = "ClusterIP"
    cluster_ip: str | Sequence[str] | None = None
    dual_stack: bool = False
    affinity: int = 0
    external_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    internal_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    external_ips: tuple[str, ...] = ()
    namespace: str = "default"
    unready: tuple[str, ...] = ()
    terminating: tuple[str, ...] = ()
    publish_not_ready: bool = False

    def __post_init__(self) -> None:
        check_fields(self, Service)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster. What is None is given by the cluster's address plan.

    `mtu`, in bytes, is of its device on the underlay, where that is less than its subnet's. `host`
    is the machine of the inventory on which it is built, where a lab is spread over several; nodes
    without one are dealt out.

    >>> Cluster(nodes=[Node("control", pods=0), Node(pods=[Pod("web")])]).nodes[0].name
    'control'
    """

    name: str | None = None
    pods: int | Sequence[Pod] | None = None
    address: str | Sequence[str] | None = None
    pod_cidr: str | Sequence[str] | None = None
    mtu: int | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        check_fields(self, Node)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A whole topology.

    `nodes` and `pods_per_node` are counts, or `nodes` is a sequence of `Node`. `underlay` is one
    subnet (all nodes on one switch) or several (nodes are spread over them, a router between).
    `external` is a client outside the cluster, behind the router: 203.0.113.10 unless that is used.
    `dataplane` is a dataplane value such as `flannel.Vxlan()`, or the name of one with its default
    options. CIDR defaults are those of kubeadm with flannel (10.244.0.0/16, a /24 a node,
    services 10.96.0.0/12, NodePorts 30000-32767); `underlay_mtu` is in bytes, one
    for all subnets or one for each.

    A cluster is dual-stack where `cluster_cidr` is a pair, an IPv4 network and an IPv6 one; a node
    gets a /64 of the latter unless `node_mask_ipv6` says otherwise. The underlay then has both
    families too: IPv6 subnets among `underlay`, one for each of IPv4, or else fd30::/64 and so on.

    `proxy` is what makes `services` work on the nodes, such as `kube_proxy.Nftables()`, or a name;
    without, kube-proxy's iptables mode where there are Services, and else none. With a proxy there
    is the Service `kubernetes` too. With `dns` there is a DNS server, the pod `coredns-1` on the
    first node that has pods, behind the Service `kube-system/kube-dns`; True gives that the tenth
    address of the service CIDR, as kubeadm does, and text is another. Where one of `services` has
    that name, pods ask it; with False they do not.

    >>> Cluster(nodes=2, dataplane="flannel-host-gw", underlay_mtu=9000).pods_per_node
    2
    """

    nodes: int | Sequence[Node] = 3
    pods_per_node: int = 2
    containers: int = 2
    cluster_cidr: str | Sequence[str] = "10.244.0.0/16"
    node_mask: int = 24
    node_mask_ipv6: int = 64
    service_cidr: str | Sequence[str] = "10.96.0.0/12"
    node_port_range: tuple[int, int] = (30000, 32767)
    underlay: str | Sequence[str] = "192.168.0.0/24"
    underlay_mtu: int | Sequence[int] = 1500
    external: bool = True
    dataplane: AnyDataplane | Named | str = "flannel-vxlan"
    services: Sequence[Service] = ()
    proxy: AnyProxy | Named | str | None = None
    dns: bool | str | None = None

    def __post_init__(self) -> None:
        check_fields(self, Cluster, elsewhere=ELSEWHERE)
