"""Which pods a Service selects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.topology.model import Service
from netlab.topology.resolved import NodeSpec, PodSpec, ServiceSpec


def matching(pods: Iterable[PodSpec], service: ServiceSpec) -> list[PodSpec]:
    """The pods that a Service selects: by their labels, by name, or all of its namespace."""
    return [
        pod
        for pod in pods
        if pod.namespace == service.namespace and selects(service.selector, service.chosen, pod)
    ]


def selects(selector: Iterable[str], names: Sequence[str] | None, pod: PodSpec) -> bool:
    """Whether a pod has one of the names, or without any given, all of the labels."""
    if names is not None:
        return pod.own_name in names
    if pod.dns and not selector:  # which serves names and nothing else
        return False
    return all(label in pod.labels for label in selector)


class Pods:
    """All pods by what a Service looks for, in the nodes' order: of thousands each looks at few."""

    def __init__(self, nodes: Sequence[NodeSpec]) -> None:
        self.named: dict[str, dict[str, PodSpec]] = {}
        self._labelled: dict[tuple[str, str], list[PodSpec]] = {}
        for pod in (pod for node in nodes for pod in node.pods):
            self.named.setdefault(pod.namespace, {})[pod.own_name] = pod
            for label in pod.labels:
                self._labelled.setdefault((pod.namespace, label), []).append(pod)

    def selected(self, service: Service) -> list[PodSpec]:
        """Those of its namespace that it selects."""
        names, labels = _chosen(service), service.selector
        among: Iterable[PodSpec] = self.named.get(service.namespace, {}).values()
        if names is None and labels:
            among = self._labelled.get((service.namespace, labels[0]), ())
        return [pod for pod in among if selects(labels, names, pod)]


def _chosen(service: Service) -> tuple[str, ...] | None:
    """The pods that it names; None where it selects them."""
    return () if service.pods is None and service.nodes and not service.selector else service.pods
