"""A frame from a pod to its own MAC comes back: without, a pod cannot reach its own Service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.attachment import Attachment
from netlab.plan.probing.actions import HairpinFrame
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Reflected
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample, evenly_spaced, small
from netlab.plan.probing.scenario import Probe, Scenario

_SAMPLED_PODS = 64


class Hairpin(Scenario):
    kind: ClassVar[Kind] = "hairpin"

    def applies(self, lab: Lab) -> str | None:
        if _reflecting(lab):
            return None
        wirings = sorted({item.wiring for item in lab.attachments.values()})
        if not wirings:
            return "there are no pods"
        if any(item.bridge for item in lab.attachments.values()):
            return "hairpin mode is off at the bridge ports of the pods"
        return f"pods are attached by {' and '.join(wirings)}, not to a port of a bridge"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        pods = _reflecting(lab)
        for item in pods if small(lab.layout) else evenly_spaced(pods, _SAMPLED_PODS):
            frame = HairpinFrame(item.pod, item.device, lab.pod_mac(item.pod))
            yield Probe("hairpin", item.pod, item.pod, frame, Reflected())


def _reflecting(lab: Lab) -> list[Attachment]:
    pods = (lab.attachments[pod.name] for pod in lab.layout.pods)
    return [item for item in pods if item.bridge and item.hairpin]
