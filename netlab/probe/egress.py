"""Which way the plan's routes send a namespace's packets, and under which address. Pure."""

from __future__ import annotations

import functools
import socket
from ipaddress import IPv4Address
from typing import NamedTuple

from netlab.plan.types import Namespace


class Way(NamedTuple):
    """The device, and the next hop where there is one: None means that the target is near."""

    device: str
    gateway: str | None = None


def egress(space: Namespace, target: IPv4Address) -> Way | None:
    """The most specific of the plan's routes and of its addresses' networks."""
    number = int(target)
    best, way = -1, None
    for route in space.routes:
        length = _fits(route.destination, number)
        if length > best and route.link:
            best, way = length, Way(route.link, route.gateway)
    for address in space.addresses:
        length = _fits(address.address, number)
        if length > best:
            best, way = length, Way(address.link)
    return way


def source_address(space: Namespace, target: IPv4Address) -> str | None:
    """The address that the namespace's own packets have: the first of the device they leave by."""
    way = egress(space, target)
    addresses = (item.address for item in space.addresses if way and item.link == way.device)
    return next((address.split("/")[0] for address in addresses), None)


def _fits(network: str, target: int) -> int:
    """The prefix length where the address is in the network, else -1."""
    number, length = _parse(network)
    return length if (number ^ target) >> (32 - length) == 0 else -1


@functools.cache
def _parse(network: str) -> tuple[int, int]:
    """A large lab's nodes all have routes to the same networks, so this is worth keeping."""
    address, _, length = network.partition("/")
    return int.from_bytes(socket.inet_aton(address), "big"), int(length)
