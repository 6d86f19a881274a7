"""A lab as kubectl would print its cluster, and what of it cannot be said so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from netlab.plan.dataplane import Dataplane
from netlab.plan.proxy import Proxy
from netlab.topology.kubectl import agents, export
from netlab.topology.model import Named
from netlab.topology.resolved import Layout

_PROXIES = {"iptables", "nftables", "ipvs"}
_OF_PROXY = {"masquerade_all", "detect_local", "local_device"}


def exported(
    layout: Layout, dataplane: Dataplane, proxy: Proxy | None
) -> tuple[dict[str, Any], list[str]]:
    """The List of Kubernetes' objects, and a sentence for each thing that is not in them."""
    own = Named(dataplane.name, _options(dataplane))
    of_proxy = Named(proxy.name, _options(proxy)) if proxy else None
    told = of_proxy if of_proxy and of_proxy.name in _PROXIES else None
    document = export.export(layout, own, told, lambda node: dataplane.annotations(layout, node))
    return document, list(_left_out(layout, own, of_proxy))


def _options(part: Any) -> dict[str, Any]:
    """The options of a dataplane or proxy that are not as by default."""
    return {
        field.name: getattr(part, field.name)
        for field in dataclasses.fields(part)
        if getattr(part, field.name) != field.default
    }


def _left_out(layout: Layout, dataplane: Named, proxy: Named | None) -> Iterator[str]:
    where = "is in no object of Kubernetes'"
    if not agents.family(dataplane):
        yield f"The dataplane {dataplane.name} {where}."
    for option in agents.untold(dataplane) if agents.family(dataplane) else ():
        yield f"The option {option} of {dataplane.name} {where}."
    if proxy and proxy.name not in _PROXIES:
        yield f"The proxy {proxy.name} {where}."
    for option in sorted(proxy.options.keys() - _OF_PROXY) if proxy else ():
        yield f"The option {option} of the proxy {proxy.name if proxy else ''} {where}."
    if any(subnet.mtu != 1500 for subnet in layout.subnets):
        yield f"The MTU of the underlay {where}."
    if any(node.mtu != node.subnet.mtu for node in layout.nodes):
        yield f"The MTU of single nodes {where}."
    if layout.external is None:
        yield f"That there is no client outside {where}."
    if any(one.command for pod in layout.pods for one in pod.containers):
        yield "Read back, containers with a command are netlab's servers: nothing of it is run."
