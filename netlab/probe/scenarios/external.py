"""Pods and the client outside the cluster: who reaches whom is the dataplane's word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, evenly_spaced, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.calls import calls, own_address
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
            ip = str(address(external, ipv6))
            for node in lab.layout.nodes:
                for pod in node.pods if small(lab.layout) else node.pods[:1]:
                    reason = lab.unanswered(pod, external, ipv6)
                    yield echo("pod-external", pod.name, external.name, ip, reason)
                    if reason is None:
                        seen = lab.seen_as(pod, external, ipv6)
                        yield from calls("pod-external", pod.name, external, ipv6, seen)
                        yield _request(pod, external, index, ipv6, seen)
                        index += 1


def _request(
    pod: PodSpec, external: ExternalSpec, index: int, ipv6: bool, seen: str
) -> Probe[Request]:
    """Of the client's server, by one application in turn."""
    server = external.server
    request = Request(pod.name, str(address(external, ipv6)), server.port, application(index))
    answer = Answer(f"{external.name} {server.name}", (seen,))
    return Probe("pod-external", pod.name, external.name, request, answer)


class ExternalToPod(Scenario):
    """The client has no way to a pod, unless the dataplane says that it has."""

    kind: ClassVar[Kind] = "negative"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        if external is None:
            return
        for pod in _asked_from_outside(lab):
            reason = lab.datapath.outside_to_pods(lab.layout, lab.nodes[pod.node])
            for ipv6 in lab.families:
                ip = str(address(pod, ipv6))
                yield echo("pod-external", external.name, pod.name, ip, reason)
                if reason is None:
                    own = own_address(lab, external, pod, ipv6)
                    yield from calls("pod-external", external.name, pod, ipv6, own)


def _asked_from_outside(lab: Lab) -> Sequence[PodSpec]:
    """All pods of a small lab, else so many that the router answers for each."""
    if small(lab.layout):
        return lab.layout.pods
    return evenly_spaced([node.pods[0] for node in lab.layout.nodes if node.pods], _ANSWERED)
