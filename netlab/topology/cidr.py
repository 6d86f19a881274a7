"""Networks and addresses as a topology writes them: parsed, and refused where they cannot work."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from netlab.errors import BadInput, shown
from netlab.topology.resolved import Ip, Network

# What no interface or route of a cluster may hold (RFC 6890), and why.
UNUSABLE: dict[Network, str] = {
    IPv4Network("0.0.0.0/8"): "stands for this host and cannot be a destination",
    IPv4Network("127.0.0.0/8"): "is every host's loopback",
    IPv4Network("224.0.0.0/4"): "is for multicast",
    IPv4Network("240.0.0.0/4"): "is reserved",
    IPv6Network("::/8"): "holds the loopback and mapped addresses",
    IPv6Network("fe80::/10"): "is for link-local addresses",
    IPv6Network("ff00::/8"): "is for multicast",
}


def is_address(text: str) -> bool:
    """Whether it is written as an IP address, of whichever family."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def network(text: str, what: str) -> Network:
    """Parse a CIDR; the error names what it was for and, with host bits set, the right one."""
    try:
        parsed = ip_network(text, strict=False)
    except ValueError:
        family, example = ("IPv6", "fd44::/56") if ":" in text else ("IPv4", "10.0.0.0/16")
        raise BadInput(
            f"The {what} {shown(text)} is not an {family} network such as {example}."
        ) from None
    if "/" not in text:
        length = 64 if parsed.version == 6 else 24
        right = f"{parsed.network_address}/{length}"
        raise BadInput(f"The {what} {shown(text)} lacks its prefix length, as in {right}.")
    if parsed.network_address != ip_address(text.split("/")[0]):
        raise BadInput(f"The {what} {shown(text)} has host bits set; the network is {parsed}.")
    for block, reason in UNUSABLE.items():
        if parsed.version == block.version and parsed.overlaps(block):
            raise BadInput(f"The {what} {parsed} cannot be used, because {block} {reason}.")
    return parsed


def networks(given: str | Sequence[str], what: str) -> tuple[Network, ...]:
    """One network, or a pair for both families: IPv4 first, as Kubernetes' own flags have them."""
    texts = (given,) if isinstance(given, str) else tuple(given)
    parsed = tuple(network(text, what) for text in texts)
    if not parsed or len(parsed) > 2 or [one.version for one in parsed] not in ([4], [4, 6]):
        raise BadInput(
            f"The {what} must be one IPv4 network, or an IPv4 and an IPv6 one, not "
            f"{shown(','.join(texts))}."
        )
    return parsed


def addresses(given: str | Sequence[str], what: str) -> tuple[Ip, ...]:
    """One address, or one of each family."""
    texts = (given,) if isinstance(given, str) else tuple(given)
    result = []
    for text in texts:
        try:
            result.append(ip_address(text))
        except ValueError:
            family = "IPv6" if ":" in text else "IPv4"
            raise BadInput(f"The {what} {shown(text)} is not an {family} address.") from None
    if len({ip.version for ip in result}) < len(result):
        raise BadInput(f"The {what} must be one of each family, not {shown(','.join(texts))}.")
    return tuple(result)


def usable_pods(cidr: Network) -> int:
    """Pods one node CIDR holds: all but network and gateway, and in IPv4 broadcast (253 in a /24).

    IPv6 has no broadcast address.
    """
    return max(cidr.num_addresses - (3 if cidr.version == 4 else 2), 0)


def refuse_overlaps(named: Sequence[tuple[str, Network]]) -> None:
    for (name_a, a), (name_b, b) in itertools.combinations(named, 2):
        if a.version == b.version and a.overlaps(b):
            raise BadInput(
                f"The {name_a} ({a}) and the {name_b} ({b}) overlap", "use others, or --force"
            )
