"""The arithmetic of one `ADDRESS/LEN`: network, broadcast, usable hosts, and the binary split.

Of both families. Besides, a network in subnets, and whether something is inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network

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

    A /31 has two (RFC 3021), a /32 one. Of IPv6 the first address of a network is that of its
    routers (RFC 4291, 2.6.1), but for a /127 and a /128 (RFC 6164); all others are hosts'.
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


@dataclass(frozen=True, slots=True)
class Subnet:
    cidr: str
    first: str
    last: str
    usable: int


def calculate(text: str) -> Calculation:
    """Work out `ADDRESS/LEN` or `ADDRESS/NETMASK`. Raises BadInput for anything else."""
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
    )


def subnets(text: str, length: str) -> list[Subnet]:
    """The network of `ADDRESS/LEN` in subnets of `/LENGTH`. Raises BadInput, also for too many."""
    network = _interface(text).network
    digits = length.removeprefix("/")
    least, most = network.prefixlen, network.max_prefixlen
    if not (digits.isascii() and digits.isdecimal()) or not least <= int(digits) <= most:
        raise BadInput(
            f"{network} cannot be split into {shown(length)}", f"say one of /{least} to /{most}"
        )
    if 1 << (int(digits) - least) > MOST:
        raise BadInput(
            f"{network} has {1 << (int(digits) - least)} subnets of /{int(digits)}, and {MOST} are "
            "the most that are listed",
            f"say one of /{least} to /{least + MOST.bit_length() - 1}",
        )
    return [_subnet(one) for one in network.subnets(new_prefix=int(digits))]


def contains(text: str, other: str) -> bool:
    """Whether an address, or all of a network, is in the network of `ADDRESS/LEN`.

    Raises BadInput for what is neither, and for another family's.
    """
    network = _interface(text).network
    try:
        inside: Network = ip_network(other, strict=False)
    except ValueError:
        raise BadInput(f"{shown(other)} is neither an address nor a network.") from None
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
    try:
        if "/" in text:
            return ip_interface(text)
    except ValueError:
        pass
    raise BadInput(f"{shown(text)} is no ADDRESS/LEN such as 10.244.1.7/24 or fd44::7/64.")


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
