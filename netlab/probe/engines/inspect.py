"""The Linux namespaces of a pod's containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netlab.errors import NetlabError
from netlab.plan.probing.actions import Inspection, Namespaces
from netlab.probe.engines.sockets import Unavailable, in_words, namespace_inode

ContainerNamespaces = Mapping[tuple[str, str], Mapping[str, int]]


def inspect(actions: Sequence[Inspection], containers: ContainerNamespaces) -> list[Namespaces]:
    """`containers` has the inodes of every container that runs, by pod and name."""
    pods = {pod: _inode(pod) for pod in {action.pod for action in actions}}

    def inodes(pod: str, container: str) -> dict[str, int] | None:
        found = containers.get((pod, container))
        return dict(found) if found else None

    return [
        Namespaces(
            inodes(action.pod, action.one), inodes(action.pod, action.other), pods[action.pod]
        )
        for action in actions
    ]


def _inode(namespace: str) -> int | None:
    try:
        return namespace_inode(namespace)
    except Unavailable:
        return None
    except OSError as error:
        raise NetlabError(f"Cannot look at namespace {namespace}: {in_words(error)}.") from error
