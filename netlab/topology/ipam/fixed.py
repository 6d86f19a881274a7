"""Addresses that a topology gave to pods, and those that an IPAM gives out around them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_address

from netlab.errors import BadInput, shown
from netlab.topology.ipam import Wish
from netlab.topology.resolved import Ip, Network


def fixed(
    wish: Wish, cidrs: Collection[Network], own: Mapping[Ip, str], *, ends: bool
) -> dict[int, Ip]:
    """The given addresses of the CIDRs' family by the pods' numbers. Raises BadInput.

    `own` are addresses that no pod can have, with whose they are; with `ends` a CIDR's network and
    broadcast address are not given out either.
    """
    families = {cidr.version for cidr in cidrs}
    found: dict[int, Ip] = {}
    for number, ip in wish.fixed:
        if ip.version not in families:
            continue
        if reason := _flaw(ip, wish, cidrs, own, ends) or _taken(ip, found.values()):
            raise BadInput(f"A pod of {wish.node} cannot have the address {ip}, {reason}.")
        found[number] = ip
    return found


def around(pods: int, given: Mapping[int, Ip], free: Callable[[], Iterable[Ip]]) -> tuple[Ip, ...]:
    """An address for each pod: what was given, or the next of the free ones."""
    if len(given) == pods:
        return tuple(given[number] for number in range(pods))
    taken = set(given.values())
    others = (ip for ip in free() if ip not in taken)
    return tuple(given[number] if number in given else next(others) for number in range(pods))


def given_to_nodes(addresses: Iterable[str], cidrs: Iterable[Network]) -> Ip | None:
    """The first of some addresses that is in a node's CIDRs. Raises BadInput for what is none."""
    own = tuple(cidrs)
    return next((ip for ip in map(node_address, addresses) if any(ip in one for one in own)), None)


def node_address(text: str) -> Ip:
    """Raises BadInput for what is no address."""
    try:
        return ip_address(text)
    except ValueError:
        raise BadInput(f"The address {shown(text)} of a node is not one.") from None


def _flaw(ip: Ip, wish: Wish, cidrs: Collection[Network], own: Mapping[Ip, str], ends: bool) -> str:
    cidr = next((one for one in cidrs if ip in one), None)
    if cidr is None:
        return f"which is not in its pod CIDR {', '.join(map(str, cidrs))}"
    if ip in own:
        return f"which is the node's own ({own[ip]})"
    if ends and (ip == cidr[0] or (ip.version == 4 and ip == cidr[-1])):
        return f"the {'first' if ip == cidr[0] else 'last'} of {cidr}, which is nobody's"
    return ""


def _taken(ip: Ip, others: Iterable[Ip]) -> str:
    return "which another pod has" if ip in others else ""
