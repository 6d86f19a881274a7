"""Plain routes without masquerade, and a question of the dataplane's own: pods and their nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from netlab import Cluster, Dataplane
from netlab.dataplane.attach.bridge import Bridge
from netlab.plan.names import UPLINK
from netlab.plan.probing.actions import Echo, Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Refused, Reply
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.plan.routing import Route, route
from netlab.topology.resolved import Layout, NodeSpec


class PodToNode(Scenario):
    """A pod reaches its node, where nothing listens on a pod's port."""

    kind: ClassVar[Kind] = "pod-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for pod in lab.layout.pods:
            target = str(lab.nodes[pod.node].address)
            yield Probe("pod-node", pod.name, pod.node, Echo(pod.name, target), Reply())
            request = Request(pod.name, target, 8080, "tcp")
            yield Probe("pod-node", pod.name, pod.node, request, Refused())


@dataclass(frozen=True, slots=True)
class Plain(Dataplane):
    name: ClassVar[str] = "plain"

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        for other in layout.others(node):
            yield route(str(other.pod_cidr), UPLINK, str(other.address))

    def scenarios(self, layout: Layout) -> Iterable[Scenario]:
        yield PodToNode()


topology = Cluster(nodes=3, pods_per_node=2, dataplane=Plain())
