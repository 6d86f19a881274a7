"""Echoes that are captured on the underlay's switches, each known there by its payload.

Or on a machine's own device, where the lab is spread over machines and their network is the switch.
Two of them may be at it at once: what other machines send has other payloads, and is not looked at.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from netlab.plan.probing.actions import CapturedEcho, Echo, EchoReply, Sighting
from netlab.probe.engines import bpf, icmp4, icmp6, sealed
from netlab.probe.engines.capture import Capture, Captured
from netlab.probe.engines.decode import decode
from netlab.probe.engines.flush import Entry, flush
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import TIMEOUT, chunks
from netlab.probe.engines.solicitations import solicitations

COOKIE = b"netlab"  # a captured echo's payload: this, 2 bytes of the run, 4 of the echo's number
_AT_A_TIME = (64, 8, 1)  # paths that are sent again, while the capture loses frames
_AGAIN = 0.05  # seconds between two looks for what has not passed yet
_ICMP_HEADER = 8
_ECHO_REQUESTS = (8, 128)  # ICMP, ICMPv6


def send_captured(
    echoes: Sequence[CapturedEcho],
    underlay: Mapping[str, str | None],
    neighbours: Neighbours,
    tell: Callable[[str], None],
) -> list[Sighting]:
    """Send all echoes while all ports of the underlay are captured.

    `underlay` are the namespaces where, with the one device that counts there, or all (None).
    The hosts there first forget each other's MACs: that they find them is part of the proof.
    """
    common = COOKIE + os.urandom(2)
    awaited = any(echo.unresolved for echo in echoes)
    encrypted = any(echo.sealed is not None for echo in echoes)
    program = bpf.echoes(common, len(common) + 4, solicitations=awaited, sealed=encrypted)
    neighbours.flush_underlay()
    with Capture(underlay, program) as capture:
        probing = _Probing(echoes, capture, underlay, neighbours, common)
        probing.probe(range(len(echoes)))
        probing.probe(unresolved(echoes, probing.sightings))
        for _ in range(sealed.ATTEMPTS):
            probing.probe(sorted(probing.several))
        for size in _AT_A_TIME:
            if uncertain := sorted(probing.uncertain):
                # What the instrument lost is no fault of the network: ask again.
                what = f"{len(uncertain)} paths on the underlay again"
                tell(f"{what}: {probing.dropped} frames were lost by the capture")
                probing.dropped = 0
                for part in chunks(uncertain, size):
                    probing.probe(part)
    return [probing.sightings[index] for index in range(len(echoes))]


class _Probing:
    """Echoes under one capture, and what was seen of each by its number.

    `uncertain` are those that were sent while the capture lost frames, `dropped` is how many.
    `several` are encrypted ones of whose length more packets passed than the one.
    """

    def __init__(
        self,
        echoes: Sequence[CapturedEcho],
        capture: Capture,
        underlay: Mapping[str, str | None],
        neighbours: Neighbours,
        common: bytes,
    ) -> None:
        self.echoes = echoes
        self.capture = capture
        self.underlay = underlay
        self.neighbours = neighbours
        self.cookies = (common + number.to_bytes(4, "big") for number in itertools.count())
        self.sightings: dict[int, Sighting] = {}
        self.uncertain: set[int] = set()
        self.several: set[int] = set()
        encrypted = any(echo.sealed is not None for echo in echoes)
        self.at_a_time = sealed.AT_A_TIME if encrypted else len(echoes)
        self.dropped = 0

    def probe(self, indexes: Sequence[int]) -> None:
        for part in chunks(indexes, self.at_a_time):
            self.neighbours.batches(part, lambda index: ends(self.echoes[index]), self._look)

    def _look(self, indexes: Sequence[int]) -> list[EchoReply]:
        """Send echoes, each with a cookie of its own, and keep what is seen of them."""
        echoes = [self.echoes[index] for index in indexes]
        flush(Entry(*hop) for echo in echoes for hop in echo.unresolved)
        cookies = list(itertools.islice(self.cookies, len(echoes)))
        lengths = sealed.draw(echoes)
        sent = [
            Echo(echo.namespace, echo.target, sealed.payload(echo, cookie, length), echo.wanted)
            for cookie, echo, length in zip(cookies, echoes, lengths, strict=True)
        ]
        # A second echo of the same path would be one too many on the underlay.
        replies = send_echoes(sent, waits=(TIMEOUT,), between=self.capture.read, tell=None)
        frames = self._awaited(echoes, cookies)
        dropped = self.capture.dropped
        (self.uncertain.update if dropped else self.uncertain.difference_update)(indexes)
        self.dropped += dropped
        found = carrying(frames, dict(zip(cookies, indexes, strict=True)))
        for index, length in zip(indexes, lengths, strict=True):
            same = sealed.carrying(self.echoes[index], length, frames)
            found[index] += same
            several = sealed.are_several(self.echoes[index], length, same)
            (self.several.add if several else self.several.discard)(index)
        self._keep(indexes, replies, found, frames, dropped)
        return replies

    def _awaited(self, echoes: Sequence[CapturedEcho], cookies: Sequence[bytes]) -> list[Captured]:
        """What was captured; waits for that of which no reply tells that it passed.

        On a busy machine it may be yet to.
        """
        unanswered = [
            (echo, key) for echo, key in zip(echoes, cookies, strict=True) if not echo.wanted
        ]
        silent = {
            key: number for number, (echo, key) in enumerate(unanswered) if not echo.unresolved
        }
        asked_for = {hop[2] for echo, _ in unanswered for hop in echo.unresolved}
        frames = self._drained()
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline and (
            not all(carrying(frames, silent).values())
            or (asked_for and asked_for - {one.target for one in solicitations(frames)})
        ):
            time.sleep(_AGAIN)
            frames += self._drained()
        return frames

    def _drained(self) -> list[Captured]:
        return [
            frame
            for frame in self.capture.drain()
            if self.underlay[frame.namespace] in (None, frame.device)
        ]

    def _keep(
        self,
        indexes: Sequence[int],
        replies: Sequence[EchoReply],
        found: Mapping[int, Sequence[Captured]],
        frames: Sequence[Captured],
        dropped: int,
    ) -> None:
        lost = dict(self.capture.lost)
        if dropped:
            lost |= dict.fromkeys(self.capture.namespaces, f"the capture lost {dropped} frames")
        asked = list(solicitations(frames))
        for index, reply in zip(indexes, replies, strict=True):
            seen = [((item.namespace, item.device), decode(item.frame)) for item in found[index]]
            self.sightings[index] = Sighting(reply, seen, asked, lost)


def unresolved(echoes: Sequence[CapturedEcho], sightings: Mapping[int, Sighting]) -> list[int]:
    """The numbers of what was not sent at all, as nobody answered to ARP, which may pass.

    Another verification may have forgotten what was being asked for. Nothing of it was seen, so
    that it can be sent again.
    """
    return [
        number
        for number, sighting in sightings.items()
        if echoes[number].wanted
        and not sighting.seen
        and (sighting.reply.error or "").startswith((icmp4.MAY_PASS, icmp6.MAY_PASS))
    ]


def ends(echo: Echo | CapturedEcho) -> tuple[str, str]:
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
