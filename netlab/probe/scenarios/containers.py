"""Containers of a pod share its network and its loopback addresses, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from netlab.plan.probing.actions import Inspection, Request, Together
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import OneNetwork, Refused
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample, evenly_spaced, small
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.probe.scenarios.servers import servers
from netlab.topology.resolved import PodSpec

_SAMPLED_PODS = 64  # pods of a large lab whose containers are looked at


class Containers(Scenario):
    """Within each pod a ring over its containers."""

    kind: ClassVar[Kind] = "container"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for pod in _pods(lab):
            around = pod.containers[1:] + pod.containers[:1]
            for one, other in zip(pod.containers, around, strict=True):
                if one is other:
                    continue
                names = (f"{pod.name}/{one.name}", f"{pod.name}/{other.name}")
                look = Inspection(pod.name, one.name, other.name)
                expectation = OneNetwork(f"{pod.name} {other.name}")
                # A container with a command of its own listens where it likes.
                for ipv6 in lab.families if other.port else lab.families[:1]:
                    asked = [_local(pod.name, other.local_port, ipv6)] if other.port else []
                    action = Together((look, *asked))
                    yield Probe("container", *names, action, expectation)


class Loopback(Scenario):
    """What a pod's containers serve on a loopback address is not there in another pod."""

    kind: ClassVar[Kind] = "negative"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        pods = _pods(lab)
        for pod, neighbour in zip(pods, [*pods[1:], *pods[:1]], strict=True):
            able = servers(neighbour)
            if pod is not neighbour and able:
                name = f"{neighbour.name}/{able[0].name}"
                for ipv6 in lab.families:
                    request = _local(pod.name, able[0].local_port, ipv6)
                    yield Probe("negative", pod.name, name, request, Refused())


def _pods(lab: Lab) -> Sequence[PodSpec]:
    pods = lab.layout.pods
    return pods if small(lab.layout) else evenly_spaced(pods, _SAMPLED_PODS)


def _local(pod: str, port: int, ipv6: bool) -> Request:
    return Request(pod, "::1" if ipv6 else "127.0.0.1", port, "tcp")
