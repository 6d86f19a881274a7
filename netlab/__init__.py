"""Kubernetes networking on real Linux, without Kubernetes.

A topology file imports from here: `from netlab import Cluster, Node, Pod, Container, flannel`.
Dataplane families (`flannel`, …) come from the registry in `netlab.dataplane`.
"""

from __future__ import annotations

from typing import Any

from netlab.topology.model import Cluster, Container, Node, Pod

__all__ = ["Cluster", "Container", "Node", "Pod"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    from netlab.dataplane import families

    try:
        return families()[name]
    except KeyError:
        raise AttributeError(f"module 'netlab' has no attribute '{name}'") from None
