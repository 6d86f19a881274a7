"""Proxies: a file for each mode of kube-proxy. The registry finds them, as it finds dataplanes.

A proxy is a frozen dataclass below `netlab.plan.proxy.Proxy` with a `name`. It may also stand in a
user's own topology file, or come from another package by an entry point of the group
`netlab.proxies`.
"""

from __future__ import annotations

import contextlib

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
    ("name", "summary", "requires", "explains", "no_ping", "refuses_other_ports"),
    family="kube_proxy",
)
DEFAULT = "iptables"  # cmd/kube-proxy/app/options.go, also in 1.37


def needs(kind: type[Proxy]) -> tuple[str, ...]:
    """The features of the kernel that it takes on a small cluster, with its default options."""
    try:
        return _features(kind())
    except Exception:  # a stranger's, or one that has no defaults
        return kind.requires


def spared(proxy: Proxy | None) -> dict[str, str]:
    """The features of the kernel that the default one would do without, with how to choose that."""
    if proxy is None or proxy.name == DEFAULT:
        return {}
    usual = needs(PROXIES.kinds()[DEFAULT])
    with contextlib.suppress(Exception):  # a stranger's
        instead = f"or choose another proxy by --set {PROXIES.word}={DEFAULT}"
        return {name: instead for name in _features(proxy) if name not in usual}
    return {}


def _features(proxy: Proxy) -> tuple[str, ...]:
    layout = lay_out(Cluster(nodes=1, pods_per_node=1, proxy=proxy))
    node = layout.nodes[0]
    objects = [*proxy.node(layout, node), *proxy.at_addresses(layout, node, ())]
    found = [item.kind for item in objects if isinstance(item, Link)]
    found += [name for item in objects if isinstance(item, Ruleset) for name in item.requires]
    return tuple(dict.fromkeys([*found, *proxy.requires]))
