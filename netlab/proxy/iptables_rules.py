"""Rules and chains' names as kube-proxy's iptables mode has them, spelled as iptables-save prints.

Both backends print them alike, so that what is planned is compared as text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from netlab.proxy.base import MASQUERADE_MARK
from netlab.topology.resolved import Ip

HASHED = 16  # characters of a hash: chains' names are short
MARK = f"{MASQUERADE_MARK:#x}"
MARKED = f"{MARK}/{MARK}"  # the bit alone is looked at, and set
STEPS = 1 << 31  # of a probability in the kernel (xt_statistic)


class Line(NamedTuple):
    """A rule with where it stands."""

    table: str
    chain: str
    rule: str


def hashed(*parts: str) -> str:
    """The end of a chain's name (portProtoHash and servicePortEndpointChainName).

    >>> hashed("ns1/svc1:p80", "tcp")
    'XPGD46QRK7WJZT7O'
    """
    digest = hashlib.sha256("".join(parts).encode()).digest()
    return base64.b32encode(digest).decode()[:HASHED]


def probability(count: int) -> str:
    """That of the first of so many endpoints: kube-proxy writes ten decimals (computeProbability).

    iptables-save prints the step of the kernel that is nearest.

    >>> probability(3)
    '0.33333333349'
    """
    steps = round(STEPS * float(f"{1 / count:.10f}"))
    return f"{steps / STEPS:.11f}"


def comment(words: str) -> str:
    return f'-m comment --comment "{words}"'


def host(ip: Ip) -> str:
    """One address as rules have it."""
    return f"{ip}/{ip.max_prefixlen}"


def joined(parts: Iterable[str]) -> str:
    """A rule of its parts, those that are empty left out."""
    return " ".join(part for part in parts if part)
