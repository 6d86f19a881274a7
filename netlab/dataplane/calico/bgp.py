"""Calico without encapsulation: every node tells every other of its blocks by BGP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.calico import bird
from netlab.dataplane.calico.base import Calico
from netlab.dataplane.calico.bird import Peer, Timers
from netlab.dataplane.calico.sessions import BgpSessions
from netlab.plan.explanations import Says
from netlab.plan.probing.scenario import Scenario
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Bgp(Calico):
    """The full mesh of nodes, AS 64512. Routes to other nodes' blocks, and the blackhole for what
    is not given out of the own ones, are BIRD's (`proto bird`, metric 1024), never netlab's.

    `timers`: with Calico's own (hold 240 s, graceful restart 120 s) a dead peer's routes live on
    for minutes; `short` (hold 3 s, no graceful restart) shows within seconds what BGP does.
    """

    name: ClassVar[str] = "calico-bgp"
    summary: ClassVar[str] = "Calico without encapsulation, BGP full mesh by BIRD; one segment only"
    explains: ClassVar[tuple[Says, ...]] = bird.EXPLAINS

    timers: Timers = "short"

    def validate(self, layout: Layout) -> Iterator[str]:
        first = layout.nodes[0]
        for node in layout.apart:
            yield (
                f"{self.name} needs all nodes on one segment, because the router between "
                f"segments hears no BGP and has no route to pods, but {first.name} is in "
                f"{first.subnet.network} and {node.name} in {node.subnet.network}; use "
                "calico-vxlan, or --force to see it fail."
            )

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        if source.subnet == target.subnet:
            return None
        return f"the router between their segments has no route to the pods of {target.name}"

    def peers(self, layout: Layout, node: NodeSpec) -> tuple[Peer, ...]:
        """The nodes with which a node has sessions."""
        return tuple(Peer(other, "Mesh") for other in layout.others(node))

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        peers = self.peers(layout, node)
        brings = (*bird.blackholes(node), *bird.learned(layout, node))
        yield bird.daemon(layout, node, peers, self.timers, brings)

    def scenarios(self, layout: Layout) -> Iterable[Scenario]:
        yield BgpSessions(self.peers)
