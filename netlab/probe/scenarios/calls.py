"""Questions by TCP and UDP to whoever has an address: no server of the lab's has to be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.plan.probing.actions import Call
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import SeenAs
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.probing.scenario import Probe
from netlab.topology.resolved import PodSpec

PROTOCOLS: tuple[str, ...] = ("tcp", "udp")


def calls(
    kind: Kind,
    source: str,
    target: Host | PodSpec,
    ipv6: bool,
    seen: str,
    spoken: Iterable[str] = PROTOCOLS,
) -> Iterator[Probe[Call]]:
    """The target must see the `source`, a namespace, under the address `seen`."""
    ip = str(address(target, ipv6))
    for protocol in spoken:
        call = Call(source, target.name, ip, "tcp" if protocol == "tcp" else "udp")
        yield Probe(kind, source, target.name, call, SeenAs(seen))


def in_turn(index: int) -> tuple[str, ...]:
    """One of the protocols, where there are many pairs."""
    return (PROTOCOLS[index % len(PROTOCOLS)],)


def own_address(lab: Lab, host: Host, target: Host | PodSpec, ipv6: bool) -> str:
    """Under which address a host of the underlay calls."""
    ip = address(target, ipv6)
    return lab.source_address(host.name, ip) or str(address(host, ipv6))
