"""Every pod reaches every pod under its own address (the Kubernetes network model)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import PodPair, Sample, evenly_spaced, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.calls import calls
from netlab.probe.scenarios.servers import APPLICATIONS, application, choose, servers
from netlab.topology.resolved import PodSpec

# Requests between pods: all three protocols where that is few, else one for each pair. Of a pod
# without a server nothing is asked that it has to answer itself.
_REQUESTS = 1000
_SAMPLED = 300
_SAMPLED_CALLS = 10


class PodToPod(Scenario):
    kind: ClassVar[Kind] = "pod-cross-node"

    def applies(self, lab: Lab) -> str | None:
        return None if len(lab.layout.pods) > 1 else "there are no two pods"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        pairs = sample.pod_pairs(lab.layout)
        for ipv6 in lab.families:
            for source, target in pairs:
                reason = lab.unreachable(source.node, target.node)
                ip = str(address(target, ipv6))
                yield echo(_kind(source, target), source.name, target.name, ip, reason)
        reachable = [(a, b) for a, b in pairs if lab.unreachable(a.node, b.node) is None]
        serving = [(a, b) for a, b in reachable if servers(b)]
        bare = [(a, b) for a, b in reachable if not servers(b)]
        few = small(lab.layout) and sample.pairs is None
        for ipv6 in lab.families:
            yield from _requests(evenly_spaced(serving, _REQUESTS if few else _SAMPLED), ipv6)
            for source, target in evenly_spaced(bare, _REQUESTS if few else _SAMPLED_CALLS):
                seen = str(address(source, ipv6))
                yield from calls(_kind(source, target), source.name, target, ipv6, seen)


def _kind(source: PodSpec, target: PodSpec) -> Kind:
    return "pod-same-node" if source.node == target.node else "pod-cross-node"


def _requests(able: list[PodPair], ipv6: bool) -> Iterator[Probe[Request]]:
    everything = len(able) * len(APPLICATIONS) <= _SAMPLED
    for index, (source, target) in enumerate(able):
        client = (str(address(source, ipv6)),)
        chosen = APPLICATIONS if everything else (application(index),)
        for number, spoken in enumerate(chosen, index):
            request, server = choose(source.name, target, spoken, number, ipv6)
            answer = Answer(f"{target.name} {server.name}", client)
            yield Probe(_kind(source, target), source.name, target.name, request, answer)
