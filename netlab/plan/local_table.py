"""What the kernel puts into the table `local` for an address. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from ipaddress import ip_interface

from netlab.plan.routing import LOCAL_TABLE, Address, NextHop, Route, is_ipv6


@functools.lru_cache(maxsize=8192)
def local_destinations(
    address: str, loopback: bool, others: str = ""
) -> tuple[tuple[str, str], ...]:
    """Types and destinations of an address's routes there.

    Of IPv4 (fib_add_ifaddr in net/ipv4/fib_frontend.c): to itself and to its network's broadcast
    address, of the loopback device to the whole network. Of IPv6 the one to itself.
    """
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


def local_routes(address: Address) -> Iterator[Route]:
    """The same as routes, with what names them."""
    hops = (NextHop(link=address.link),)
    for kind, destination in local_destinations(address.address, address.link == "lo"):
        yield Route(
            destination=destination,
            next_hops=hops,
            type=kind,
            table=LOCAL_TABLE,
            protocol="kernel",
        )
