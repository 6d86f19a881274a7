"""Pods reach their own node under their own address, and others under the dataplane's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.check import Kind
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.calls import calls
from netlab.topology.resolved import NodeSpec, PodSpec


class PodToNode(Scenario):
    """Each pod to all nodes in a small lab; else a pod of each node to its own and to another."""

    kind: ClassVar[Kind] = "pod-node"

    def applies(self, lab: Lab) -> str | None:
        return None if lab.layout.pods else "there are no pods"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for ipv6 in lab.families:
            for pod, node in _pairs(lab):
                reason = lab.unanswered(pod, node, ipv6)
                yield echo("pod-node", pod.name, node.name, str(address(node, ipv6)), reason)
                if reason is None:
                    seen = lab.seen_as(pod, node, ipv6)
                    yield from calls("pod-node", pod.name, node, ipv6, seen)


def _pairs(lab: Lab) -> Iterator[tuple[PodSpec, NodeSpec]]:
    nodes = lab.layout.nodes
    if small(lab.layout):
        yield from ((pod, node) for pod in lab.layout.pods for node in nodes)
        return
    for index, node in enumerate(nodes):
        for pod in node.pods[:1]:
            yield pod, node
            if len(nodes) > 1:
                yield pod, nodes[(index + 1) % len(nodes)]
