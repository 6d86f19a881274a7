"""Nodes reach pods, under the address by which their packets leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.servers import application, choose, servers
from netlab.topology.resolved import NodeSpec, PodSpec


class NodeToPod(Scenario):
    """Each node to all pods in a small lab, else to one of its own and one of another node's."""

    kind: ClassVar[Kind] = "node-pod"

    def applies(self, lab: Lab) -> str | None:
        return None if lab.layout.pods else "there are no pods"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for ipv6 in lab.families:
            index = 0
            for node in lab.layout.nodes:
                asked: set[str] = set()
                for pod in _pods(lab, node):
                    reason = lab.unreachable(node.name, pod.node)
                    ip = str(address(pod, ipv6))
                    yield echo("node-pod", node.name, pod.name, ip, reason)
                    if reason is None and servers(pod) and pod.node not in asked:
                        asked.add(pod.node)
                        request, server = choose(node.name, pod, application(index), index, ipv6)
                        own = lab.source_address(node.name, address(pod, ipv6))
                        answer = Answer(f"{pod.name} {server.name}", (own,) if own else ())
                        yield Probe("node-pod", node.name, pod.name, request, answer)
                        index += 1


def _pods(lab: Lab, node: NodeSpec) -> Iterator[PodSpec]:
    if small(lab.layout):
        yield from lab.layout.pods
        return
    yield from node.pods[:1]
    others = [other for other in lab.layout.others(node) if other.pods]
    if others:
        yield others[lab.layout.nodes.index(node) % len(others)].pods[-1]
