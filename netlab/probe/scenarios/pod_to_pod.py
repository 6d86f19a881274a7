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
from netlab.probe.scenarios.servers import APPLICATIONS, application, choose, servers
from netlab.topology.resolved import PodSpec

# Requests between pods: all three protocols where that is few, else one for each pair.
_REQUESTS = 1000
_SAMPLED_REQUESTS = 300


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
        for ipv6 in lab.families:
            yield from _requests(lab, sample, pairs, ipv6)


def _kind(source: PodSpec, target: PodSpec) -> Kind:
    return "pod-same-node" if source.node == target.node else "pod-cross-node"


def _requests(
    lab: Lab, sample: Sample, pairs: list[PodPair], ipv6: bool
) -> Iterator[Probe[Request]]:
    able = [(a, b) for a, b in pairs if servers(b) and lab.unreachable(a.node, b.node) is None]
    few = small(lab.layout) and sample.pairs is None
    able = evenly_spaced(able, _REQUESTS if few else _SAMPLED_REQUESTS)
    everything = len(able) * len(APPLICATIONS) <= _SAMPLED_REQUESTS
    for index, (source, target) in enumerate(able):
        client = (str(address(source, ipv6)),)
        chosen = APPLICATIONS if everything else (application(index),)
        for number, spoken in enumerate(chosen, index):
            request, server = choose(source.name, target, spoken, number, ipv6)
            answer = Answer(f"{target.name} {server.name}", client)
            yield Probe(_kind(source, target), source.name, target.name, request, answer)
