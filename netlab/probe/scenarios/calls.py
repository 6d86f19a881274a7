"""Questions by TCP and UDP to whoever has an address: no server of the lab's has to be there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from netlab.plan.probing.actions import Call
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import SeenAs
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.probing.scenario import Probe
from netlab.topology.resolved import PodSpec

Protocol = Literal["tcp", "udp"]
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


def calls(
    kind: Kind, source: str, target: Host | PodSpec, ipv6: bool, seen: str
) -> Iterator[Probe[Call]]:
    """By either protocol, the target must see the `source`, a namespace, under `seen`."""
    ip = str(address(target, ipv6))
    for protocol in PROTOCOLS:
        yield Probe(
            kind, source, target.name, Call(source, target.name, ip, protocol), SeenAs(seen)
        )


def own_address(lab: Lab, host: Host, target: Host | PodSpec, ipv6: bool) -> str:
    """Under which address a host of the underlay calls."""
    ip = address(target, ipv6)
    return lab.source_address(host.name, ip) or str(address(host, ipv6))
