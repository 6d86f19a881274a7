"""What all modes of Calico share: pods behind `cali…` veths, blocks of a pool, Felix's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from netlab.dataplane.attach.ptp import Ptp
from netlab.dataplane.calico.rules import EXPLAINS, rules
from netlab.plan.dataplane import Dataplane
from netlab.plan.explanations import Says
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.resolved import Ip, Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Calico(Dataplane):
    """A mode says how a node gets to the blocks of the others (`routing`).

    `nat_outgoing` is the IPv4 pool's: what leaves the pool, for another node's address too, has the
    node's own. Calico's IPv6 pools have it off.
    """

    ipam: ClassVar[Ipam] = Blocks()
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS

    _: KW_ONLY  # so that it is not before the modes' own
    nat_outgoing: bool = True

    def attach(self, layout: Layout, node: NodeSpec) -> Ptp:
        return Ptp(self.pod_mtu(layout, node))

    def tunnel(self) -> str:
        """The tunnel's device, whose address is that of packets from the node itself; or empty."""
        return ""

    def senders(self, layout: Layout, node: NodeSpec) -> tuple[str, ...]:
        """The addresses from which the node takes tunnelled packets: of all nodes."""
        return tuple(str(one.address) for one in layout.nodes)

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        """The node's tunnel device and daemon, and what leads to the other nodes' blocks."""
        raise NotImplementedError

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        yield from self.routing(layout, node)
        for ipv6 in layout.families:
            pool = layout.cluster_cidr_of(ipv6)
            masquerade = self.nat_outgoing and not ipv6
            tunnel = "" if ipv6 else self.tunnel()
            hosts = self.senders(layout, node) if tunnel else ()
            yield from rules(pool, masquerade=masquerade, tunnel=tunnel, hosts=hosts)

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        return (
            self.nat_outgoing
            and target.version == 4
            and all(target not in cidr for cidr in layout.cluster_cidrs)
        )
