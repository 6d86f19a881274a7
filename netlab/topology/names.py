"""Names of a cluster: unique, and such as Kubernetes takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlab.errors import BadInput, shown
from netlab.topology.resolved import EXTERNAL, ROUTER, Layout, PodSpec

# k8s.io/apimachinery/pkg/util/validation: of the labels of a subdomain none is limited by itself.
_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL = re.compile(rf"(?=.{{1,63}}$){_PART}")
DNS_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_PART}(\.{_PART})*")


def refuse_bad_names(layout: Layout) -> None:
    """Raises BadInput for a name that is taken, too long or malformed."""
    for node in layout.nodes:
        refuse_non_subdomain(node.name)
    for pod in layout.pods:
        _refuse_bad_pod(pod)
    names = [subnet.switch for subnet in layout.segments]
    names.append(ROUTER)
    names += [EXTERNAL] if layout.external else []
    names += [node.name for node in layout.nodes]
    names += [pod.name for pod in layout.pods]
    _refuse_duplicates(names, "Two namespaces of the lab would be named {}")


def _refuse_bad_pod(pod: PodSpec) -> None:
    refuse_non_subdomain(pod.own_name)
    _refuse_non_label(pod.namespace)
    containers = [container.name for container in pod.containers]
    for name in containers:
        _refuse_non_label(name)
    _refuse_duplicates(containers, f"Two containers of {pod.name} are named {{}}")


def refuse_non_subdomain(name: str) -> None:
    """Raises BadInput."""
    if not DNS_SUBDOMAIN.fullmatch(name):
        raise BadInput(
            f"The name {shown(name)} is not a DNS subdomain: lower-case letters, digits, '-' and "
            "'.', at most 253, as Kubernetes asks."
        )


def _refuse_non_label(name: str) -> None:
    if not DNS_LABEL.fullmatch(name):
        raise BadInput(
            f"The name {shown(name)} is not a DNS label: lower-case letters, digits and '-', at "
            "most 63, as Kubernetes asks."
        )


def _refuse_duplicates(names: Iterable[str], sentence: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"{sentence.format(shown(name))}; names must be unique.")
        seen.add(name)
