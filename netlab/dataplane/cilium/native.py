"""Cilium's native routing with `auto-direct-node-routes`: the other nodes are the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.cilium.base import Cilium
from netlab.dataplane.cilium.rules import AGENT
from netlab.plan.explanations import Says
from netlab.plan.names import UPLINK
from netlab.plan.routing import route
from netlab.plan.types import Object
from netlab.topology.resolved import Ip, Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Native(Cilium):
    """Packets cross the underlay as they are. The cluster's CIDR is `ipv4-native-routing-cidr`."""

    name: ClassVar[str] = "cilium-native"
    summary: ClassVar[str] = "Cilium's native routing, auto-direct-node-routes; one segment only"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"route * dev {UPLINK}",
            AGENT,
            "auto-direct-node-routes: the other node is the gateway to its pods, so it must be on "
            "the same segment. This one Cilium leaves to the kernel too.",
        ),
    )

    def validate(self, layout: Layout) -> Iterator[str]:
        first = layout.nodes[0]
        for node in layout.apart:
            yield (
                f"cilium-native needs all nodes on one segment: the route to {node.address} "
                f"contains gateway {first.subnet.gateway}, must be directly reachable; use "
                "cilium-vxlan, or --force to see it fail."
            )

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        if source.subnet == target.subnet:
            return None
        return f"{target.address} is not directly reachable, so that its pods have no route"

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        for other in layout.others(node):
            # As with `direct-routing-skip-unreachable`: the rest goes to the default gateway.
            if other.subnet == node.subnet:
                yield route(str(other.pod_cidr), UPLINK, str(other.address), protocol="kernel")

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        nodes = {one.address for one in layout.nodes}
        return target not in layout.cluster_cidr and target not in nodes
