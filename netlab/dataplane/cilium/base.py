"""What both ways of Cilium's routing share: `cilium_host`, pods behind `lxc…` veths, the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from netlab.dataplane.attach.lxc import Lxc
from netlab.dataplane.cilium.rules import AGENT, rules
from netlab.dataplane.cilium.rules import EXPLAINS as OF_RULES
from netlab.plan.dataplane import Dataplane
from netlab.plan.explanations import Says
from netlab.plan.links import Peer, Veth
from netlab.plan.names import mac
from netlab.plan.routing import Address, Sysctl, route
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.resolved import Layout, NodeSpec

HOST, NET = "cilium_host", "cilium_net"
# What the agent writes for each of its devices (pkg/datapath/loader, setupDev).
_SETTINGS = (
    ("forwarding", "1"),
    ("rp_filter", "0"),
    ("accept_local", "1"),
    ("send_redirects", "0"),
)
EXPLAINS = (
    Says(
        f"link {HOST}",
        AGENT,
        "With cilium_net a veth pair whose ends are both in the node; it has the router address, "
        "the gateway of the node's pods. In Cilium an eBPF program on it decides where packets go; "
        "here the kernel's routes do.",
    ),
    Says(
        f"link {NET}",
        AGENT,
        "The other end of cilium_host, without an address. In Cilium eBPF programs are on both; "
        "here nothing passes but what no pod takes.",
    ),
    Says(
        f"address * dev {HOST}",
        AGENT,
        "The router address, drawn from the node's pod CIDR as a pod's is: the gateway of the "
        "node's pods, and the source of the node's own packets to pods.",
    ),
    Says(
        f"route */32 dev {HOST}",
        AGENT,
        "Makes the router address usable as a gateway on cilium_host.",
    ),
    Says(
        f"route * via * dev {HOST} *",
        AGENT,
        "The node's own pod CIDR goes into cilium_host, where in Cilium eBPF finds the endpoint. "
        "Here each pod has a host route, which is longer: addresses that nobody has end here.",
    ),
    Says(
        "sysctl */forwarding=1",
        AGENT,
        "Set up like this for each of its devices: packets are forwarded.",
    ),
    Says(
        "sysctl */rp_filter=0",
        AGENT,
        "Set up like this for each of its devices: packets may come in by another way than the "
        "answer takes.",
    ),
    Says(
        "sysctl */accept_local=1",
        AGENT,
        "Set up like this for each of its devices: packets from the node's own addresses may come "
        "in here.",
    ),
    Says(
        "sysctl */send_redirects=0",
        AGENT,
        "Set up like this for each of its devices: nobody is told of a shorter way.",
    ),
    *OF_RULES,
)


@dataclass(frozen=True, slots=True)
class Cilium(Dataplane):
    """`routers` and `health` are the addresses that nodes have for `cilium_host` and for the health
    endpoint, each in the CIDR of its node; what is not given is drawn, repeatably, from `seed`.

    The health endpoint itself is not built: its address is kept free, as in a real node's CIDR.
    """

    dual_stack: ClassVar[bool] = False
    inserts: ClassVar[bool] = True  # prepend-iptables-chains
    accepts_pods: ClassVar[bool] = True  # `-i lxc+ -j ACCEPT`
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    _: KW_ONLY  # so that it is not before the modes' own
    routers: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    seed: str = "netlab"

    def allocator(self) -> Ipam:
        return ClusterPool(self.seed, self.routers, self.health)

    def annotations(self, layout: Layout, node: NodeSpec) -> dict[str, str]:
        """By their names up to 1.11 and since (pkg/annotation/k8s.go, with `annotateK8sNode`)."""
        own = dict(node.reserved)
        values = {
            "ipv4-pod-cidr": str(node.pod_cidr),
            "ipv4-cilium-host": str(own["router"]),
            "ipv4-health-ip": str(own["health"]),
        }
        prefixes = ("io.cilium.network.", "network.cilium.io/")
        return {f"{prefix}{key}": value for prefix in prefixes for key, value in values.items()}

    def route_mtu(self, layout: Layout, node: NodeSpec) -> int:
        """The MTU in bytes that routes have where it is less than their device's; else 0."""
        return 0

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        """What leads to the other nodes' pods."""
        raise NotImplementedError

    def attach(self, layout: Layout, node: NodeSpec) -> Lxc:
        return Lxc(node.mtu, self.route_mtu(layout, node))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        router = str(node.gateway)
        for name, other in ((HOST, NET), (NET, HOST)):
            yield Veth(
                name=name,
                mac=mac(node.name, name),
                mtu=node.mtu,
                arp=False,
                peer=Peer(node.name, other),
            )
            yield from device_settings(name)
        yield Address(HOST, f"{router}/32")
        yield route(f"{router}/32", HOST, protocol="kernel")
        yield route(str(node.pod_cidr), HOST, router, protocol="kernel", source=router)
        yield from self.routing(layout, node)
        yield from rules(layout, node, tunnel=self.route_mtu(layout, node) > 0)


def device_settings(device: str) -> Iterator[Sysctl]:
    for key, value in _SETTINGS:
        yield Sysctl(f"net/ipv4/conf/{device}/{key}", value)
