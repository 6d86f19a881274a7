"""Which way a namespace's routes send its packets, and under which address. Pure.

Only the main table is looked at, and of a multipath route the first next hop: rules and ECMP are
for whoever has them to prove.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from ipaddress import ip_address

from netlab.plan.links import Value
from netlab.plan.routing import MAIN_TABLE, Address, Route, is_ipv6
from netlab.plan.types import Namespace
from netlab.topology.resolved import Ip


class Egress(Value, frozen=True):
    """The device by which packets leave, and the route's own words where it has any.

    `gateway` None: the target is on the device's segment. `mtu` is in bytes.
    """

    device: str
    mtu: int
    gateway: str | None = None
    source: str | None = None


def egress(namespace: Namespace, target: Ip) -> Egress | None:
    """By the most specific of the routes, of equal ones that with the lowest metric.

    Routes that a daemon is to bring count as routes. None: unreachable, or by blackhole.
    """
    number, ipv6 = int(target), target.version == 6
    found: tuple[int, int] = (-1, 0)
    best: Route | Address | None = None
    for item in _ways(namespace):
        network = item.destination if isinstance(item, Route) else item.address
        if is_ipv6(network) is not ipv6:
            continue
        rank = (_fits(network, number), -item.metric if isinstance(item, Route) else 0)
        if rank[0] >= 0 and rank > found:
            found, best = rank, item
    if best is None or not best.link:
        return None
    mtu = namespace.link(best.link).mtu
    if isinstance(best, Address):
        return Egress(best.link, mtu)
    return Egress(best.link, best.mtu or mtu, best.gateway, best.source)


def source_address(namespace: Namespace, target: Ip) -> str | None:
    """The source address that the kernel gives the namespace's own packets to a target.

    The route's preferred source, else the first address of the device; a device without one
    borrows from the others (IPv4: inet_select_addr; IPv6: RFC 6724). What is valid on a link or
    on the host only is no choice.
    """
    way = egress(namespace, target)
    if way is None:
        return None
    return way.source or next(iter(_addresses(namespace, way.device, target.version == 6)), None)


def masquerade_addresses(namespace: Namespace, target: Ip) -> tuple[str, ...]:
    """The source addresses of which a masquerade gives a packet one on its way to a target.

    The first of the device by which it leaves; what a route prefers is not asked. A device without
    any borrows one, as does loopback, by which the namespace reaches its own addresses: that of the
    device that is the oldest, which no plan knows, so that it may be any (nf_nat_masquerade_ipv4 in
    net/netfilter/nf_nat_masquerade.c, inet_select_addr in net/ipv4/devinet.c).
    """
    way, ipv6 = egress(namespace, target), target.version == 6
    if way is None:
        return ()
    found = _addresses(namespace, way.device, ipv6)
    to_itself = str(target) in found
    own = [one.ip for one in namespace.addresses if one.link == way.device and one.ip in found]
    return tuple(own[:1]) if own and not to_itself else tuple(found)


def _addresses(namespace: Namespace, device: str, ipv6: bool) -> list[str]:
    """The addresses that may be a source: the device's first, then those of others."""
    usable = [
        address
        for address in namespace.addresses
        if address.scope == "global" and is_ipv6(address.address) is ipv6
    ]
    usable.sort(key=lambda address: address.link != device)
    return [address.ip for address in usable]


def _ways(namespace: Namespace) -> Iterator[Route | Address]:
    for route in namespace.routes:
        if route.table == MAIN_TABLE:
            yield route
    for daemon in namespace.daemons:
        yield from daemon.brings
    yield from namespace.addresses


def _fits(network: str, target: int) -> int:
    """The prefix length where the address is in the network, else -1."""
    number, length, width = _parse(network)
    return length if (number ^ target) >> (width - length) == 0 else -1


@functools.cache
def _parse(network: str) -> tuple[int, int, int]:
    """A large lab's nodes all have routes to the same networks, so this is worth keeping."""
    text, _, length = network.partition("/")
    address = ip_address(text)
    return int(address), int(length), address.max_prefixlen
