"""Echoes that are captured on the underlay's switches, each known there by its payload."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from netlab.plan.probing.actions import CapturedEcho, Echo, EchoReply, Sighting
from netlab.probe.engines import bpf
from netlab.probe.engines.capture import Capture, Captured
from netlab.probe.engines.decode import decode
from netlab.probe.engines.flush import Entry
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import TIMEOUT
from netlab.probe.engines.solicitations import solicitations

COOKIE = b"netlab"  # a captured echo's payload: this, 2 bytes of the run, 4 of the echo's number
_ATTEMPTS = 3  # of sending, while the capture loses frames
_ICMP_HEADER = 8
_ECHO_REQUESTS = (8, 128)  # ICMP, ICMPv6


def send_captured(
    echoes: Sequence[CapturedEcho],
    switches: Iterable[str],
    neighbours: Neighbours,
    tell: Callable[[str], None],
) -> list[Sighting]:
    """Send all echoes while all ports of the underlay are captured.

    The hosts there first forget each other's MACs: that they find them is part of the proof.
    """
    switches = list(switches)
    awaited = any(echo.unresolved for echo in echoes)
    for attempt in range(1, _ATTEMPTS + 1):
        cookies, replies, frames, lost, dropped = _send(echoes, switches, neighbours, awaited)
        if not dropped:
            break
        # What the instrument lost is no fault of the network: ask again.
        tell(f"paths on the underlay again: {dropped} frames were lost by the capture")
        if attempt == _ATTEMPTS:
            lost = lost | dict.fromkeys(switches, f"the capture lost {dropped} frames")
    found = carrying(frames, cookies)
    asked = list(solicitations(frames)) if awaited else []
    return [
        Sighting(
            reply,
            [((item.namespace, item.device), decode(item.frame)) for item in found[number]],
            asked,
            lost,
        )
        for number, reply in enumerate(replies)
    ]


def _send(
    echoes: Sequence[CapturedEcho], switches: list[str], neighbours: Neighbours, awaited: bool
) -> tuple[dict[bytes, int], list[EchoReply], list[Captured], dict[str, str], int]:
    """All echoes once: their cookies, the replies, what was captured, what was not and why."""
    common = COOKIE + os.urandom(2)
    cookies = {common + number.to_bytes(4, "big"): number for number in range(len(echoes))}
    program = bpf.echoes(common, len(common) + 4, solicitations=awaited)
    sent = [
        Echo(echo.namespace, echo.target, cookie, echo.wanted)
        for cookie, echo in zip(cookies, echoes, strict=True)
    ]
    neighbours.flush_underlay(Entry(*hop) for echo in echoes for hop in echo.unresolved)
    with Capture(switches, program) as capture:
        # A second echo of the same path would be one too many on the underlay.
        replies = neighbours.batches(
            sent, ends, lambda batch: send_echoes(batch, waits=(TIMEOUT,), between=capture.read)
        )
        return cookies, replies, capture.drain(), capture.lost, capture.dropped


def ends(echo: Echo) -> tuple[str, str]:
    return echo.namespace, echo.target


def carrying(frames: Iterable[Captured], cookies: dict[bytes, int]) -> dict[int, list[Captured]]:
    """The echo requests among `frames` by the number of the cookie that their payload begins with.

    All cookies have one length and begin with the same 8 bytes, so that this needs no decoding.
    """
    found: dict[int, list[Captured]] = {number: [] for number in cookies.values()}
    if not cookies:
        return found
    one = next(iter(cookies))
    common, length = one[:8], len(one)
    for item in frames:
        at = item.frame.find(common)
        if at < _ICMP_HEADER or item.frame[at - _ICMP_HEADER] not in _ECHO_REQUESTS:
            continue
        number = cookies.get(item.frame[at : at + length])
        if number is not None:
            found[number].append(item)
    return found
