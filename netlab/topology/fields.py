"""The fields of a Cluster as options, which a user sets beside what a topology's file says.

Every field is one, so that the command line and Python know the same; what would change nothing is
refused. Pure.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, Union

from netlab.errors import BadInput
from netlab.topology.check import hints, members
from netlab.topology.convert import is_text
from netlab.topology.model import ELSEWHERE, Cluster, Node, Pod


@functools.cache
def cluster_options() -> Mapping[str, Any]:
    """Every field of a Cluster, with those of its types that text can express, if any can."""
    return {name: _in_text(kind) for name, kind in hints(Cluster, ELSEWHERE).items()}


def _in_text(kind: Any) -> Any:
    found = tuple(filter(is_text, members(kind)))
    return Union[found] if found else kind  # noqa: UP007


def with_fields(name: str, cluster: Cluster, given: Mapping[str, Any]) -> Cluster:
    """The cluster of a topology with other values of its fields. Raises BadInput."""
    try:
        changed = dataclasses.replace(cluster, **given)
    except TypeError as error:
        raise BadInput(f"{error}.") from None
    for field in given:
        if reason := _without_effect(field, changed, cluster):
            raise BadInput(f"The topology {name} {reason}.")
    return changed


def _without_effect(field: str, cluster: Cluster, before: Cluster) -> str:
    """Why a value given for a field changes nothing; empty where it does."""
    if field == "nodes" and not isinstance(before.nodes, int) and isinstance(cluster.nodes, int):
        return "names its nodes; their number cannot be set"
    nodes = () if isinstance(cluster.nodes, int) else cluster.nodes
    if field == "pods_per_node" and nodes and all(node.pods is not None for node in nodes):
        return "gives each node its pods; no number can be set"
    if field == "containers" and nodes and all(map(_names_containers, _pods(nodes))):
        return "gives each pod its containers; no number can be set"
    if field == "node_mask_ipv6" and ":" not in str(cluster.cluster_cidr):
        return "has no IPv6 range for pods that node_mask_ipv6 would divide"
    return ""


def _pods(nodes: Iterable[Node]) -> list[Pod | None]:
    """The pods of the nodes; None stands for those that are only counted."""
    return [
        pod
        for node in nodes
        for pod in ([None] if node.pods is None or isinstance(node.pods, int) else node.pods)
        if node.pods != 0
    ]


def _names_containers(pod: Pod | None) -> bool:
    return pod is not None and pod.containers is not None
