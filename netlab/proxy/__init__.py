"""Proxies: a file for each mode of kube-proxy. The registry finds them, as it finds dataplanes.

A proxy is a frozen dataclass below `netlab.plan.proxy.Proxy` with a `name`. It may also stand in a
user's own topology file, or come from another package by an entry point of the group
`netlab.proxies`.
"""

from __future__ import annotations

from netlab.plan.proxy import Proxy
from netlab.registry import Registry

PROXIES = Registry(
    "proxy",
    Proxy,
    __name__,
    "netlab.proxies",
    "kube_proxy.Nftables()",
    ("name", "summary", "requires", "explains", "answers_ping", "refuses_other_ports"),
    family="kube_proxy",
)
