"""Pods as Calico wires them (a /32, proxy ARP for 169.254.1.1), in its blocks, on static routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab import Cluster, Dataplane
from netlab.dataplane.attach.ptp import Ptp
from netlab.plan.names import UPLINK
from netlab.plan.routing import Route, route
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class StaticRoutes(Dataplane):
    name: ClassVar[str] = "static-routes"
    ipam: ClassVar[Ipam] = Blocks()

    def attach(self, layout: Layout, node: NodeSpec) -> Ptp:
        return Ptp(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        for block in node.pod_cidrs:
            yield Route(destination=str(block), type="blackhole")
        for other in layout.others(node):
            for block in other.pod_cidrs:
                yield route(str(block), UPLINK, str(other.address))


topology = Cluster(nodes=2, pods_per_node=2, containers=1, dataplane=StaticRoutes())
