"""Calico with route reflectors: the mesh is off, and nodes hear of each other by one or two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.calico.bgp import Bgp
from netlab.dataplane.calico.bird import Peer
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class RouteReflectors(Bgp):
    """The first `reflectors` nodes reflect (`routeReflectorClusterID`), for all others and with
    pods of their own; among each other they are plain peers.

    Next hops stay those of the blocks' owners: no packet takes its way by a reflector.
    """

    name: ClassVar[str] = "calico-rr"
    summary: ClassVar[str] = "as calico-bgp, by route reflectors instead of the mesh"

    reflectors: int = 1

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from Bgp.validate(self, layout)
        if not 1 <= self.reflectors <= len(layout.nodes):
            most = len(layout.nodes)
            yield (
                f"There cannot be {self.reflectors} reflectors among {most} "
                f"{'node' if most == 1 else 'nodes'}; use {'1' if most == 1 else f'1 to {most}'}, "
                "by --set dataplane.reflectors=N."
            )

    def peers(self, layout: Layout, node: NodeSpec) -> tuple[Peer, ...]:
        chosen = layout.nodes[: self.reflectors]
        if node in chosen:
            return tuple(Peer(one, "Node", one not in chosen) for one in layout.others(node))
        return tuple(Peer(one, "Node") for one in chosen)
