"""What all modes of kube-proxy share: how they tell local pods, and the node's settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from ipaddress import ip_network
from typing import ClassVar, Literal

from netlab.plan.explanations import NETLAB, Says
from netlab.plan.proxy import Proxy
from netlab.plan.routing import Sysctl
from netlab.plan.types import Object
from netlab.proxy.node_ports import NodePortAddresses
from netlab.topology.resolved import Ip, Layout, NodeSpec

KUBE_PROXY = "kube-proxy"
MASQUERADE_MARK = 0x4000  # bit 14, the default of masqueradeBit
Detection = Literal["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]
# conntrack's times in seconds (pkg/proxy/apis/config/v1alpha1/defaults.go).
_TIMEOUTS = (("established", 86400), ("close_wait", 3600))


@dataclass(frozen=True, slots=True)
class KubeProxy(Proxy):
    """`detect_local` is kube-proxy's detectLocalMode: how it knows what comes from a pod of its
    node, which keeps its address; the last two take the device, or its prefix, as `local_device`.
    With `masquerade_all` everything to a ClusterIP gets the node's address. `node_port_addresses`
    is kube-proxy's nodePortAddresses, at which of the node's addresses NodePorts answer: those of
    networks, or "primary", the node's own; () is all, but localhost where a mode cannot serve that.
    """

    # Whether NodePorts can answer at 127.0.0.1.
    serves_localhost: ClassVar[bool] = False

    # Flows of UDP are forgotten when their endpoint goes; and what an endpoint answers to a pod on
    # its own bridge must meet the rules, or it comes from an address that the pod never asked.
    requires: ClassVar[tuple[str, ...]] = ("conntrack", "br_netfilter")
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            "sysctl net/netfilter/nf_conntrack_tcp_timeout_*",
            KUBE_PROXY,
            "Set when it starts: for how long conntrack remembers a TCP connection that is idle, "
            "or half closed.",
        ),
        Says(
            "sysctl net/ipv*/icmp*ratelimit=0",
            NETLAB,
            "So that every client that is to be refused is: by default a node sends one host about "
            "six refusals at once and then one a second, and the rest time out.",
        ),
    )

    _: KW_ONLY
    masquerade_all: bool = False
    detect_local: Detection = "ClusterCIDR"
    local_device: str = ""
    node_port_addresses: tuple[str, ...] = ()

    def validate(self, layout: Layout) -> Iterator[str]:
        by_device = self.detect_local in ("BridgeInterface", "InterfaceNamePrefix")
        if by_device and not self.local_device:
            yield f"The proxy's detect_local {self.detect_local} needs a local_device, as cni0."
        if self.local_device and not by_device:
            yield (
                f"The proxy's local_device has no effect with detect_local {self.detect_local}; "
                "use BridgeInterface or InterfaceNamePrefix."
            )
        yield from self.node_ports.flaws(layout, localhost=self.serves_localhost)

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        """The node's settings; modes add what they are."""
        for name, seconds in _TIMEOUTS:
            yield Sysctl(f"net/netfilter/nf_conntrack_tcp_timeout_{name}", str(seconds))
        yield Sysctl("net/ipv4/icmp_ratelimit", "0")
        if layout.dual_stack:
            yield Sysctl("net/ipv6/icmp/ratelimit", "0")

    @property
    def node_ports(self) -> NodePortAddresses:
        """Raises BadInput for what is no network."""
        return NodePortAddresses.read(self.node_port_addresses)

    def serves_node_ports(self, layout: Layout, node: NodeSpec, ip: Ip) -> bool:
        answering = self.node_ports
        return not ip.is_loopback and (answering.every(ip.version == 6) or answering.hold(node, ip))

    def is_local_pod(self, layout: Layout, node: NodeSpec, source: Ip, device: str) -> bool:
        """By the detector (pkg/proxy/util/localdetector.go)."""
        if self.detect_local == "BridgeInterface":
            return device == self.local_device
        if self.detect_local == "InterfaceNamePrefix":
            return device.startswith(self.local_device)
        cidrs = self.local_cidrs(layout, node, source.version == 6)
        return any(source in ip_network(cidr) for cidr in cidrs)

    def masquerades(self, layout: Layout, node: NodeSpec, source: Ip, device: str) -> bool:
        return self.masquerade_all or not self.is_local_pod(layout, node, source, device)

    def local_cidrs(self, layout: Layout, node: NodeSpec, ipv6: bool) -> tuple[str, ...]:
        """By what source addresses local pods are known; none where they are by their device."""
        if self.detect_local == "ClusterCIDR":
            return (str(layout.cluster_cidr_of(ipv6)),)
        return tuple(map(str, node.cidrs_of(ipv6))) if self.detect_local == "NodeCIDR" else ()
