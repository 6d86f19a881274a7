"""The arithmetic of one `ADDRESS/LEN`: network, broadcast, usable hosts, and the binary split.

Of both families. The mask may be written as a netmask too, or as IPv4's wildcard (its inverse), and
a space may stand for the slash: `10.0.0.1 255.255.255.0`. Where digits are both, they are a netmask
(0.0.0.0 and 255.255.255.255). Besides, a network in subnets, and whether something is inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)

from netlab.errors import BadInput, shown
from netlab.topology.resolved import Ip, Network

MOST = 65536  # subnets that are listed


@dataclass(frozen=True, slots=True)
class Split:
    """Addresses as binary digits, a space between network and host part.

    Dots are between the bytes of IPv4, colons between the groups of 16 bits of IPv6, which has no
    broadcast.
    """

    address: str
    netmask: str
    network: str
    broadcast: str | None


@dataclass(frozen=True, slots=True)
class Calculation:
    """`first`, `last` and `usable` count host addresses.

    A /31 has two (RFC 3021), a /32 one: there `broadcast` is an address like any other, and only
    the last. Of IPv6 the first address of a network is that of its routers (RFC 4291, 2.6.1), but
    for a /127 and a /128 (RFC 6164); all others are hosts'. `wildcard` is the netmask's inverse, as
    access lists have it, of IPv4 only. `kind` is `default` (a /0), `network`, `pair` (a /31 or
    /127) or `host` (a /32 or /128), as routes are spoken of.
    """

    address: str
    prefix_length: int
    netmask: str
    binary: Split
    network: str
    broadcast: str | None
    first: str
    last: str
    usable: int
    wildcard: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Subnet:
    cidr: str
    first: str
    last: str
    usable: int


def calculate(text: str) -> Calculation:
    """Work out an address and its mask. Raises BadInput for anything else."""
    interface = _interface(text)
    network, length = interface.network, interface.network.prefixlen
    one = _subnet(network)
    broadcast = network.broadcast_address if network.version == 4 else None

    def digits(ip: Ip) -> str:
        return binary(int(ip), network.max_prefixlen, length)

    return Calculation(
        address=str(interface.ip),
        prefix_length=length,
        netmask=str(network.netmask),
        binary=Split(
            digits(interface.ip),
            digits(network.netmask),
            digits(network.network_address),
            digits(broadcast) if broadcast else None,
        ),
        network=str(network.network_address),
        broadcast=str(broadcast) if broadcast else None,
        first=one.first,
        last=one.last,
        usable=one.usable,
        wildcard=str(network.hostmask) if network.version == 4 else None,
        kind=_kind(network),
    )


def _kind(network: Network) -> str:
    ends = {0: "default", network.max_prefixlen - 1: "pair", network.max_prefixlen: "host"}
    return ends.get(network.prefixlen, "network")


def subnets(text: str, mask: str) -> list[Subnet]:
    """The network of an address in subnets of a mask. Raises BadInput, also for too many."""
    network = _interface(text).network
    length = _length(mask.removeprefix("/"), network.version)
    least, most = network.prefixlen, network.max_prefixlen
    if length is None or length < least:
        raise BadInput(
            f"{network} cannot be split into {shown(mask)}", f"say one of /{least} to /{most}"
        )
    if 1 << (length - least) > MOST:
        raise BadInput(
            f"{network} has {1 << (length - least)} subnets of /{length}, and {MOST} are the most "
            "that are listed",
            f"say one of /{least} to /{least + MOST.bit_length() - 1}",
        )
    return [_subnet(one) for one in network.subnets(new_prefix=length)]


def contains(text: str, other: str) -> bool:
    """Whether an address, or all of a network, is in the network of `ADDRESS/LEN`.

    Raises BadInput for what is neither, and for another family's.
    """
    network = _interface(text).network
    try:
        inside: Network | None = ip_network(other, strict=False)
    except ValueError:
        inside = None
    if inside is None or "%" in other:  # what follows a % is an interface's name
        raise BadInput(f"{shown(other)} is neither an address nor a network.")
    if inside.version != network.version:
        raise BadInput(
            f"{inside} is of IPv{inside.version}, and {network} of IPv{network.version}."
        )
    if inside.prefixlen < network.prefixlen:
        return False
    return int(inside.network_address) >> _rest(network) == int(network[0]) >> _rest(network)


def _rest(network: Network) -> int:
    """How many bits are hosts'."""
    return network.max_prefixlen - network.prefixlen


def _interface(text: str) -> IPv4Interface | IPv6Interface:
    given, _, mask = text.partition("/" if "/" in text else " ")
    wrong = f"{shown(text)} is no ADDRESS/LEN such as 10.244.1.7/24 or fd44::7/64"
    try:
        ip = ip_address(given)
    except ValueError:
        raise BadInput(f"{wrong}.") from None
    if "%" in given:
        raise BadInput(wrong, "leave out the interface after the %")
    length = _length(mask.lstrip(" "), ip.version)
    if length is None:
        netmask = "255.255.255.0" if ip.version == 4 else "ffff:ffff::"
        raise BadInput(
            wrong, f"a mask is a length up to /{ip.max_prefixlen}, or a netmask such as {netmask}"
        )
    return ip_interface(f"{ip}/{length}")


def _length(mask: str, version: int) -> int | None:
    """The prefix length that digits or a netmask say; None where they say none."""
    try:
        if ":" not in mask:
            network = ip_network(f"{'::' if version == 6 else '0.0.0.0'}/{mask}")
            return int(network.prefixlen)
        bits = int(IPv6Address(mask))
    except ValueError:
        return None
    length = bits.bit_count()
    whole = bits == (1 << 128) - (1 << 128 - length)  # ones, and then zeros
    return length if whole and version == 6 else None


def _subnet(network: Network) -> Subnet:
    pair = network.prefixlen >= network.max_prefixlen - 1
    start = 0 if pair else 1
    end = 0 if pair or network.version == 6 else 1
    first, last = network[start], network[-1 - end]
    return Subnet(str(network), str(first), str(last), int(last) - int(first) + 1)


def binary(value: int, width: int, *cuts: int) -> str:
    """So many binary digits, dots or colons between groups, a space after each of `cuts` digits."""
    group, mark = (8, ".") if width == 32 else (16, ":")
    text = ""
    for place, digit in enumerate(f"{value:0{width}b}", 1):
        text += digit + (mark if place % group == 0 and place != width else "")
        text += " " if place in cuts and place != width else ""
    return text
