"""Kubernetes networking on real Linux, without Kubernetes.

A topology file imports the values it is made of: `from netlab import Cluster, Node, flannel`. A
program builds labs and asks them:

>>> import netlab
>>> with netlab.up("flannel-vxlan", nodes=2) as lab:
...     lab.verify().ok
...     lab.pod("pod-1-1").run("hostname").stdout
True
'pod-1-1\\n'

All but the values is loaded when it is first used, so that importing this costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet
from netlab.topology.model import (
    Cluster,
    Container,
    HostAlias,
    Node,
    Pod,
    Ready,
    Service,
    ServicePort,
)

if TYPE_CHECKING:
    from netlab.api import lab, labs, up
    from netlab.captures import Capture
    from netlab.dataplane import calico, cilium, flannel
    from netlab.plan.dataplane import Dataplane
    from netlab.plan.proxy import Proxy
    from netlab.proxy import kube_proxy
    from netlab.running import Lab

__all__ = [
    "BadInput",
    "Capture",
    "Cluster",
    "Container",
    "Dataplane",
    "HostAlias",
    "Lab",
    "LabUnavailable",
    "NetlabError",
    "Node",
    "Pod",
    "Proxy",
    "Ready",
    "Service",
    "ServicePort",
    "Unmet",
    "calico",
    "cilium",
    "flannel",
    "kube_proxy",
    "lab",
    "labs",
    "up",
]
__version__ = "0.1.0"
# Where the other names are: in a module, or (without a colon) a module themselves.
_LAZY = {
    "Capture": "netlab.captures:Capture",
    "Dataplane": "netlab.plan.dataplane:Dataplane",
    "Lab": "netlab.running:Lab",
    "Proxy": "netlab.plan.proxy:Proxy",
    "calico": "netlab.dataplane.calico",
    "cilium": "netlab.dataplane.cilium",
    "flannel": "netlab.dataplane.flannel",
    "kube_proxy": "netlab.proxy.kube_proxy",
    "lab": "netlab.api:lab",
    "labs": "netlab.api:labs",
    "up": "netlab.api:up",
}

if not TYPE_CHECKING:  # a type checker takes a module with this function to have every name

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'netlab' has no attribute '{name}'")
        path, _, attribute = _LAZY[name].partition(":")
        module = importlib.import_module(path)
        return getattr(module, attribute) if attribute else module


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
