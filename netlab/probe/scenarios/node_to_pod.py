"""Nodes reach pods, under the address by which their packets leave."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.calls import calls, own_address
from netlab.probe.scenarios.servers import application, choose, servers
from netlab.topology.resolved import NodeSpec, PodSpec


class NodeToPod(Scenario):
    """Each node to all pods in a small lab, else to one of its own and one of another node's.

    Of its own ones it also asks a server: where there is but one pod, nobody else does.
    """

    kind: ClassVar[Kind] = "node-pod"

    def applies(self, lab: Lab) -> str | None:
        return None if lab.layout.pods else "there are no pods"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for ipv6 in lab.families:
            index = 0
            for node in lab.layout.nodes:
                for pod in _pods(lab, node):
                    reason = lab.unreachable(node.name, pod.node)
                    ip = str(address(pod, ipv6))
                    yield echo("node-pod", node.name, pod.name, ip, reason)
                    if reason is None:
                        own = own_address(lab, node, pod, ipv6)
                        yield from calls("node-pod", node.name, pod, ipv6, own)
                        if pod.node == node.name and servers(pod):
                            yield _request(node, pod, index, ipv6, own)
                            index += 1


def _request(node: NodeSpec, pod: PodSpec, index: int, ipv6: bool, own: str) -> Probe[Request]:
    request, server = choose(node.name, pod, application(index), index, ipv6)
    answer = Answer(f"{pod.name} {server.name}", (own,))
    return Probe("node-pod", node.name, pod.name, request, answer)


def _pods(lab: Lab, node: NodeSpec) -> Iterator[PodSpec]:
    if small(lab.layout):
        yield from lab.layout.pods
        return
    yield from node.pods[:1]
    others = [other for other in lab.layout.others(node) if other.pods]
    if others:
        yield others[lab.layout.nodes.index(node) % len(others)].pods[-1]
