"""What all flannel backends share: pods on cni0, one way to each remote node, the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.flannel.rules import EXPLAINS, rules
from netlab.plan.dataplane import Dataplane
from netlab.plan.explanations import Says
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.etcd import EtcdLeases
from netlab.topology.resolved import Ip, Layout, NodeSpec

MTU_MIN, MTU_MAX = 576, 65535  # bytes
SEED = "netlab"


@dataclass(frozen=True, slots=True)
class Flannel(Dataplane):
    """A backend says how a node gets to a remote one (`remote`) and what devices that takes.

    `rules` is the form of the masquerade and forward rules: flannel's own default is iptables;
    netlab's is nftables, flannel's `EnableNFTables`. `mtu`, in bytes, is of packets between nodes
    (net-conf.json's `Backend.MTU`); 0: as the node's device has it. `ip_masq` off is flanneld
    without `--ip-masq`: pods keep their addresses, to which nobody outside has a way back.

    `subnet_manager` is who gives nodes their pod CIDRs: `kube`, flanneld with `--kube-subnet-mgr`,
    which takes them from their nodes' `podCIDR`, or `etcd`, where each draws a free one; here it is
    drawn repeatably, from `seed`.
    """

    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    _: KW_ONLY  # so that it is not before the backends' own
    rules: Literal["nftables", "iptables"] = "nftables"
    mtu: int = 0
    ip_masq: bool = True
    subnet_manager: Literal["kube", "etcd"] = "kube"
    seed: str = SEED

    def allocator(self) -> Ipam:
        return self.ipam if self.subnet_manager == "kube" else EtcdLeases(self.seed)

    def draws(self) -> bool:
        """Whether anything is drawn from the seed."""
        return self.subnet_manager == "etcd"

    def validate(self, layout: Layout) -> Iterator[str]:
        if self.seed != SEED and not self.draws():
            yield "The option seed has no effect where nothing is drawn; use subnet_manager=etcd."
        if self.mtu and not MTU_MIN <= self.mtu <= MTU_MAX:
            yield f"The MTU {self.mtu} must lie between {MTU_MIN} and {MTU_MAX}, or be 0."

    def outer_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        """The MTU in bytes that the node's flanneld goes by; without a node, the least."""
        return self.mtu or (node.mtu if node else min(one.mtu for one in layout.nodes))

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return self.outer_mtu(layout, node)

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout, node))

    def devices(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """The backend's own devices of one family, with their addresses and settings."""
        return iter(())

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Object]:
        """What leads to the pods of one other node, of one family."""
        raise NotImplementedError

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        for ipv6 in layout.families:
            yield from self.devices(layout, node, ipv6)
            own = node.cidrs_of(ipv6)[0]
            for other in layout.others(node):
                # In a forced lab the other may have this node's own network: the kernel takes no
                # route to it by way of an address that is here.
                if other.cidrs_of(ipv6)[0][0] != own[0]:
                    yield from self.remote(layout, node, other, ipv6)
            cluster = layout.cluster_cidr_of(ipv6)
            yield from rules(self.rules, cluster, own, masquerade=self.ip_masq)

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        """What leaves the cluster network, as to another node's address too; not multicast."""
        return self.ip_masq and all(target not in cidr for cidr in layout.cluster_cidrs)
