"""A dataplane of one's own, here static routes between the nodes, proved with real packets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest

from netlab import Cluster, Dataplane, Lab
from netlab.dataplane.attach.bridge import Bridge
from netlab.plan.routing import Route, route
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class StaticRoutes(Dataplane):
    """Pods on a bridge, a route to the pods of every other node, and no masquerade."""

    name: ClassVar[str] = "static-routes"

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        for other in layout.others(node):
            yield route(str(other.pod_cidr), "eth0", str(other.address))


pytestmark = pytest.mark.netlab(Cluster(nodes=3, pods_per_node=1, dataplane=StaticRoutes()))


def test_packets_cross_as_they_are(lab: Lab) -> None:
    found = lab.pod("pod-1-1").reaches("pod-3-1", port=8080)
    assert found.via("direct").seen_as("10.244.0.2").mtu(1500)


def test_all_that_holds_in_a_cluster_holds(lab: Lab) -> None:
    assert lab.verify().ok


def test_a_route_that_is_gone_cuts_one_way_alone(lab: Lab) -> None:
    lab.node("node-1").run("ip", "route", "del", "10.244.1.0/24")
    assert lab.pod("pod-1-1").not_reaches("pod-2-1", timeout=0.3)
    assert lab.pod("pod-1-1").reaches("pod-3-1")
    lab.repair()
    assert lab.pod("pod-1-1").reaches("pod-2-1")
