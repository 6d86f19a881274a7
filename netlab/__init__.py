"""Kubernetes networking on real Linux, without Kubernetes.

A topology file imports from here: `from netlab import Cluster, Node, Pod, Container, flannel`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from netlab.topology.model import Cluster, Container, Node, Pod

if TYPE_CHECKING:
    from netlab.dataplane import flannel as flannel
    from netlab.plan.dataplane import Dataplane as Dataplane

__all__ = ["Cluster", "Container", "Dataplane", "Node", "Pod", "flannel"]
__version__ = "0.1.0"
_LAZY = {
    "flannel": ("netlab.dataplane.flannel", None),
    "Dataplane": ("netlab.plan.dataplane", "Dataplane"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'netlab' has no attribute '{name}'")
    module, attribute = _LAZY[name]
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded
