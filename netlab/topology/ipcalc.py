"""The arithmetic of one `ADDRESS/LEN`: network, broadcast, usable hosts, and the binary split."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface

from netlab.errors import BadInput, shown


@dataclass(frozen=True, slots=True)
class Split:
    """Addresses as 32 binary digits, a space between network and host part, dots between bytes."""

    address: str
    netmask: str
    network: str
    broadcast: str


@dataclass(frozen=True, slots=True)
class Calculation:
    """`first`, `last` and `usable` count host addresses (RFC 3021: a /31 has two, a /32 one)."""

    address: str
    prefix_length: int
    netmask: str
    binary: Split
    network: str
    broadcast: str
    first: str
    last: str
    usable: int


def calculate(text: str) -> Calculation:
    """Work out `ADDRESS/LEN`. Raises BadInput when it is not an IPv4 address with a length."""
    try:
        interface = IPv4Interface(text)
    except ValueError:
        interface = None
    if interface is None or "/" not in text:
        raise BadInput(f"{shown(text)} is not an IPv4 ADDRESS/LEN such as 10.244.1.7/24.")
    network, length = interface.network, interface.network.prefixlen
    edge = 1 if length < 31 else 0
    first, last = network[edge], network[-1 - edge]
    return Calculation(
        address=str(interface.ip),
        prefix_length=length,
        netmask=str(network.netmask),
        binary=Split(
            *(
                _binary(int(ip), length)
                for ip in (
                    interface.ip,
                    network.netmask,
                    network.network_address,
                    network.broadcast_address,
                )
            )
        ),
        network=str(network.network_address),
        broadcast=str(network.broadcast_address),
        first=str(first),
        last=str(last),
        usable=int(last) - int(first) + 1,
    )


def _binary(value: int, length: int) -> str:
    digits = f"{value:032b}"
    dotted = [digits[i] + ("." if i % 8 == 7 and i != 31 else "") for i in range(32)]
    split = "".join(dotted[:length]), "".join(dotted[length:])
    return " ".join(part for part in split if part)
