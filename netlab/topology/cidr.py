"""Networks and addresses as a topology writes them: parsed, and refused where they cannot work."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from netlab.errors import BadInput

# What no interface or route of a cluster may hold (RFC 6890), and why.
UNUSABLE = {
    IPv4Network("0.0.0.0/8"): "stands for this host and cannot be a destination",
    IPv4Network("127.0.0.0/8"): "is every host's loopback",
    IPv4Network("224.0.0.0/4"): "is for multicast",
    IPv4Network("240.0.0.0/4"): "is reserved",
}


def network(text: str, what: str) -> IPv4Network:
    """Parse a CIDR; the error names what it was for and, with host bits set, the right one."""
    try:
        parsed = IPv4Network(text, strict=False)
    except ValueError:
        raise BadInput(f"The {what} '{text}' is not an IPv4 network such as 10.0.0.0/16.") from None
    if "/" not in text:
        raise BadInput(f"The {what} '{text}' lacks its prefix length, as in {text}/24.")
    if str(parsed).split("/")[0] != text.split("/")[0]:
        raise BadInput(f"The {what} '{text}' has host bits set; the network is {parsed}.")
    for block, reason in UNUSABLE.items():
        if parsed.overlaps(block):
            raise BadInput(f"The {what} {parsed} cannot be used, because {block} {reason}.")
    return parsed


def address(text: str, what: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise BadInput(f"The {what} '{text}' is not an IPv4 address.") from None


def usable_pods(cidr: IPv4Network) -> int:
    """Pods one node CIDR holds: all but network, bridge and broadcast (253 in a /24)."""
    return max(cidr.num_addresses - 3, 0)


def refuse_overlaps(named: Sequence[tuple[str, IPv4Network]]) -> None:
    for (name_a, a), (name_b, b) in itertools.combinations(named, 2):
        if a.overlaps(b):
            raise BadInput(f"The {name_a} ({a}) and the {name_b} ({b}) overlap.")
