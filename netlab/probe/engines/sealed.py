"""Echoes that are encrypted on the underlay: each is known there by its length alone.

So each of a few at a time has another one, which is drawn: what others send, or another command
that verifies the same lab, has it by chance only. The cookie is at either end of their payload; a
packet that left its node in the clear is known by that, as all others are.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from netlab.plan.headers import Wireguard
from netlab.plan.probing.actions import CapturedEcho
from netlab.probe.engines.capture import Captured
from netlab.probe.engines.decode import decode

# Bytes of the encrypted packet: so that nothing is padded, and less than any tunnel's MTU.
LENGTHS = range(128, 480, 16)
AT_A_TIME = len(LENGTHS) // 2
ATTEMPTS = 2  # of asking again where something of the same length passed too
_ICMP_HEADER = 8


def draw(echoes: Sequence[CapturedEcho]) -> list[int]:
    """A length for each echo; 0 for one that cannot be encrypted."""
    lengths = iter(random.sample(LENGTHS, sum(echo.sealed is not None for echo in echoes)))
    return [0 if echo.sealed is None else next(lengths) for echo in echoes]


def payload(echo: CapturedEcho, cookie: bytes, length: int) -> bytes:
    """What the echo carries, so that the whole packet has that length."""
    if not length:
        return cookie
    filling = length - (40 if echo.ipv6 else 20) - _ICMP_HEADER - 2 * len(cookie)
    return cookie + bytes(filling) + cookie


def carrying(echo: CapturedEcho, length: int, frames: Iterable[Captured]) -> list[Captured]:
    """Those with an encrypted packet of that length, the echo's reply aside."""
    if not length:
        return []
    found = []
    for item in frames:
        stack = decode(item.frame)
        outer, last = stack.outer, stack.headers[-1]
        ends = outer and (outer.source, outer.destination)
        if isinstance(last, Wireguard) and last.length == length and ends != echo.sealed:
            found.append(item)
    return found


def are_several(echo: CapturedEcho, length: int, frames: Sequence[Captured]) -> bool:
    """Whether they are more packets than the echo is: the same one passes several places.

    No two encrypted packets are alike. Of an echo that should not be seen at all, one is too many.
    """
    packets = {item.frame[-length - Wireguard.size :] for item in frames}
    return len(packets) > (1 if any(echo.sealed or ()) else 0)
