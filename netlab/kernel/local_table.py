"""The table `local` against the addresses from which the kernel fills it.

For an IPv4 address (fib_add_ifaddr in net/ipv4/fib_frontend.c) these are the routes to itself and
to its network's broadcast address, of the loopback device to the whole network; for an IPv6 address
that is in use the one to itself.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from ipaddress import ip_interface

import msgspec

from netlab.plan.routing import LOCAL_TABLE, Address, Route, is_ipv6
from netlab.plan.types import Namespace

Way = tuple[str, str, str]  # type, destination, device
_NOT_COMPARED = "fe80:"  # the kernel's own link-local addresses are not read either


def judge(space: Namespace, up: Collection[str]) -> bool:
    """Leave out the routes that the kernel has for addresses; an address without one says so.

    What is left of the local table nobody's address explains. Returns whether an IPv6 address is
    without, which it is too for a moment when it is new.
    """
    owners: dict[Way, list[Address]] = {}
    for item in space.addresses:
        for way in _ways(item):
            owners.setdefault(way, []).append(item)
    there: set[Way] = set()
    routes = []
    for route in space.routes:
        if route.table == LOCAL_TABLE and route.connected:
            way = (route.type, route.destination, route.link)
            if _is_plain(route) and (way in owners or _is_link_local(route)):
                there.add(way)
                continue
        routes.append(route)
    space.routes = routes
    lost: dict[str, str] = {}
    for way in sorted(owners.keys() - there):  # of both, the route to itself says more
        for item in owners[way]:
            if item.link in up and not item.state:
                lost[item.key] = "not local" if way[0] == "local" else "no broadcast"
    space.addresses = [
        msgspec.structs.replace(item, state=lost[item.key]) if item.key in lost else item
        for item in space.addresses
    ]
    return any(is_ipv6(key) for key in lost)


def _is_link_local(route: Route) -> bool:
    return route.type == "local" and route.destination.startswith(_NOT_COMPARED)


def _is_plain(route: Route) -> bool:
    """Whether it has nothing that the kernel would not give it."""
    return not (route.gateway or route.metrics or route.mtu or route.others or route.tos)


def _ways(item: Address) -> Iterator[Way]:
    destinations = _destinations(item.address, item.link == "lo", item.others)
    return ((kind, destination, item.link) for kind, destination in destinations)


@functools.lru_cache(maxsize=8192)
def _destinations(address: str, loopback: bool, others: str) -> tuple[tuple[str, str], ...]:
    own = ip_interface(address)
    if is_ipv6(address):
        return (("local", f"{own.ip}/128"),)
    found = [("local", f"{own.ip}/32")]
    network = own.network
    if "peer" in others or network.prefixlen > 30:
        return tuple(found)
    if loopback:
        found.append(("local", str(network)))
    return (*found, ("broadcast", f"{network.broadcast_address}/32"))
