"""Pods and the client outside the cluster: who reaches whom is the dataplane's word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, evenly_spaced, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.servers import application
from netlab.topology.resolved import ExternalSpec, PodSpec

# So many times in a row a router tells one host that it has no way (ip_error in net/ipv4/route.c);
# then it is silent for a while, and silence costs a timeout.
_ANSWERED = 5


class PodToExternal(Scenario):
    """The client answers, and sees the node's address where that masquerades, else the pod's."""

    kind: ClassVar[Kind] = "pod-external"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        if external is None:
            return
        for ipv6 in lab.families:
            index = 0
            for node in lab.layout.nodes:
                reason = lab.outside(node, ipv6)
                for pod in node.pods if small(lab.layout) else node.pods[:1]:
                    ip = str(address(external, ipv6))
                    yield echo("pod-external", pod.name, external.name, ip, reason)
                    if reason is None:
                        yield _request(lab, pod, external, index, ipv6)
                        index += 1


def _request(
    lab: Lab, pod: PodSpec, external: ExternalSpec, index: int, ipv6: bool
) -> Probe[Request]:
    server = external.server
    request = Request(pod.name, str(address(external, ipv6)), server.port, application(index))
    answer = Answer(f"{external.name} {server.name}", (lab.seen_outside(pod, ipv6),))
    return Probe("pod-external", pod.name, external.name, request, answer)


class ExternalToPod(Scenario):
    """The client has no way to a pod, unless the dataplane says that it has."""

    kind: ClassVar[Kind] = "negative"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        if external is None:
            return
        nodes = [node for node in lab.layout.nodes if node.pods]
        for node in evenly_spaced(nodes, _ANSWERED):
            pod, reason = node.pods[0], lab.datapath.outside_to_pods(lab.layout, node)
            for ipv6 in lab.families:
                ip = str(address(pod, ipv6))
                yield echo("pod-external", external.name, pod.name, ip, reason)
