"""Proxies: a file for each mode of kube-proxy. The registry finds them, as it finds dataplanes.

A proxy is a frozen dataclass below `netlab.plan.proxy.Proxy` with a `name`. It may also stand in a
user's own topology file, or come from another package by an entry point of the group
`netlab.proxies`.
"""

from __future__ import annotations

from netlab.plan.links import Link
from netlab.plan.proxy import Proxy
from netlab.plan.rulesets import Ruleset
from netlab.registry import Registry
from netlab.topology.layout import lay_out
from netlab.topology.model import Cluster

PROXIES = Registry(
    "proxy",
    Proxy,
    __name__,
    "netlab.proxies",
    "kube_proxy.Nftables()",
    ("name", "summary", "requires", "explains", "answers_ping", "refuses_other_ports"),
    family="kube_proxy",
)


def needs(kind: type[Proxy]) -> tuple[str, ...]:
    """The features of the kernel that it takes on a small cluster, with its default options."""
    try:
        proxy = kind()
        layout = lay_out(Cluster(nodes=1, pods_per_node=1, proxy=proxy))
        objects = list(proxy.node(layout, layout.nodes[0]))
    except Exception:  # a stranger's, or one that has no defaults
        return kind.requires
    found = [item.kind for item in objects if isinstance(item, Link)]
    found += [name for item in objects if isinstance(item, Ruleset) for name in item.requires]
    return tuple(dict.fromkeys([*found, *kind.requires]))
