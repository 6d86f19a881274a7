"""What all flannel backends share: pods on cni0, one way to each remote node, the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.flannel.rules import rules
from netlab.plan.dataplane import Dataplane
from netlab.plan.types import Object
from netlab.topology.resolved import Ip, Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Flannel(Dataplane):
    """A backend says how a node gets to a remote one (`remote`) and what devices that takes.

    `rules` is the form of the masquerade and forward rules: flannel's own default is iptables;
    netlab's is nftables, flannel's `EnableNFTables`.
    """

    _: KW_ONLY  # so that it is not before the backends' own
    rules: Literal["nftables", "iptables"] = "nftables"

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

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
            for other in layout.others(node):
                yield from self.remote(layout, node, other, ipv6)
            cluster = layout.cluster_cidr_of(ipv6)
            yield from rules(self.rules, cluster, node.cidrs_of(ipv6)[0])

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        """What leaves the cluster network, as to another node's address too; not multicast."""
        return all(target not in cidr for cidr in layout.cluster_cidrs)
