"""The table `local` against the addresses from which the kernel fills it.

Which these are `netlab/plan/local_table.py` says; an IPv6 address has its route while it is in use.
Each device on which IPv6 is has one for multicast.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from netlab.kernel.devices.base import ARPHRD_ETHER, Raw
from netlab.plan.local_table import local_destinations
from netlab.plan.routing import (
    CONNECTED_IPV6_METRIC,
    LOCAL_TABLE,
    Address,
    NextHop,
    Route,
    is_ipv6,
)
from netlab.plan.types import Namespace

NO_MULTICAST = "no IPv6 multicast route"
_MULTICAST = "ff00::/8"
_NEVER_TOLD = frozenset({"vxlan", "dummy"})  # whose state stays "unknown" while they are up
Way = tuple[str, str, str]  # type, destination, device
_NOT_COMPARED = "fe80:"  # the kernel's own link-local addresses are not read either


def has_multicast(raw: Raw) -> bool:
    """Whether IPv6 gives a device a route for multicast (addrconf_add_dev, net/ipv6/addrconf.c)."""
    if raw.type != ARPHRD_ETHER or "IFLA_INET6_ADDR_GEN_MODE" not in raw.values:
        return False
    return raw.up and (raw.operational or raw.kind in _NEVER_TOLD)


def multicast_route(link: str) -> Route:
    hops = (NextHop(link=link),)
    return Route(
        destination=_MULTICAST,
        next_hops=hops,
        type="multicast",
        table=LOCAL_TABLE,
        protocol="kernel",
        metric=CONNECTED_IPV6_METRIC,
    )


def judge(space: Namespace, up: Collection[str]) -> tuple[bool, set[str]]:
    """Leave out the routes that the kernel has for addresses; an address without one says so.

    What is left of the local table nobody's address explains. Returns whether an IPv6 address is
    without, which it is too for a moment when it is new, and the devices that have a route for
    multicast.
    """
    multicast: set[str] = set()
    owners: dict[Way, list[Address]] = {}
    for item in space.addresses:
        for way in _ways(item):
            owners.setdefault(way, []).append(item)
    there: set[Way] = set()
    routes = []
    for route in space.routes:
        if route.table == LOCAL_TABLE and route.connected:
            way = (route.type, route.destination, route.link)
            if route.type == "multicast" and route == multicast_route(route.link):
                multicast.add(route.link)
                continue
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
    return any(is_ipv6(key) for key in lost), multicast


def _is_link_local(route: Route) -> bool:
    return route.type == "local" and route.destination.startswith(_NOT_COMPARED)


def _is_plain(route: Route) -> bool:
    """Whether it has nothing that the kernel would not give it."""
    return not (route.gateway or route.metrics or route.mtu or route.others or route.tos)


def _ways(item: Address) -> Iterator[Way]:
    destinations = local_destinations(item.address, item.link == "lo", item.others)
    return ((kind, destination, item.link) for kind, destination in destinations)
