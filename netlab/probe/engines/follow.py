"""One packet followed through a lab: captured on all devices while it is sent.

An echo, a datagram and HTTP's port are asked with words of their own. A TCP connection is known by
the sequence number that its SYN begins with, which no translation of addresses changes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netlab.plan.probing.actions import Echo, EchoReply, Request, Response
from netlab.probe.engines.capture import Capture, Captured, timing
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.requests import send_requests
from netlab.probe.engines.sockets import await_closing, bind, open_in

COOKIE = b"netlab"
_BEFORE_COOKIE = 8  # bytes: of an echo's header, and of UDP's
_ICMP_HEADER, _TCP_HEADER = 8, 20
_REPLIES = (0, 129)  # ICMP's and ICMPv6's types of an echo reply
_ERRORS, _ERRORS6 = (3, 11), (1, 2, 3)  # unreachable, too big, time exceeded
_SYN, _RESET, _ACK = 0x02, 0x04, 0x10
_ACK_AT = 8  # where TCP's header has the number that it acknowledges
_FLAGS_AFTER_ACK = 5
_ICMP = {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}
_UDP, _TCP = {socket.IPPROTO_UDP}, {socket.IPPROTO_TCP}


class Seen(NamedTuple):
    """A packet as it passed a device, and the addresses of its innermost IP header.

    An `error` is ICMP's about the packet, which it quotes; the addresses are then its own.
    """

    captured: Captured
    source: str
    destination: str
    error: bool = False


class Followed(NamedTuple):
    """What came of a question, and where it and its answer were seen, in the order of time.

    Of a datagram's answer nothing is known, but for an error. `lost` says of namespaces why nothing
    of them is, and `dropped` how many frames found no room in the capture. `frames` are all of the
    nodes' segments meanwhile, for what is encrypted.
    """

    outcome: EchoReply | Response
    request: tuple[Seen, ...]
    reply: tuple[Seen, ...]
    lost: Mapping[str, str]
    dropped: int
    frames: tuple[Captured, ...]


def follow(
    action: Echo | Request, namespaces: Iterable[str], segments: Collection[str], timeout: float
) -> Followed:
    """Ask, and wait for the answer so many seconds; captured on all devices of `namespaces`.

    An echo is sent once; again only where its socket had no room for the reply. Raises Unavailable
    where nothing can be sent at all from its namespace, or from its source.
    """
    family = socket.AF_INET6 if action.ipv6 else socket.AF_INET
    opened = open_in(action.namespace, family, socket.SOCK_DGRAM)
    bind(opened, action.source)
    opened.close()
    cookie = COOKIE + os.urandom(6)
    with timing(action.namespace), Capture(namespaces, timed=True) as capture:
        outcome: EchoReply | Response
        if isinstance(action, Echo):
            echo = action._replace(payload=cookie + action.payload[len(cookie) :])
            outcome = send_echoes([echo], waits=(timeout,))[0]
        else:
            request = action._replace(words=cookie + b"\n")
            outcome = send_requests([request], timeout=timeout)[0]
        frames = sorted(capture.drain(), key=lambda one: one.seconds)
        dropped, lost = capture.dropped, dict(capture.lost)
    await_closing()
    sightings = sorted(_sightings(action, frames, cookie), key=lambda one: one[1].captured.seconds)
    on_segments = tuple(one for one in frames if one.namespace in segments)
    asked = tuple(one for answers, one in sightings if not answers)
    reply = tuple(one for answers, one in sightings if answers)
    return Followed(outcome, asked, reply, lost, dropped, on_segments)


def _sightings(
    action: Echo | Request, frames: Sequence[Captured], cookie: bytes
) -> Iterator[tuple[bool, Seen]]:
    """The packet wherever it was seen, and its answer; first whether it is that."""
    if isinstance(action, Request) and action.application != "udp":
        if begun := _beginning(frames, action):
            yield from _with(frames, begun + bytes(4), 4, _TCP)
            yield from ((True, one) for one in _answers(frames, begun))
        return
    spoken = _ICMP if isinstance(action, Echo) else _UDP
    for answers, one in _with(frames, cookie, _BEFORE_COOKIE, spoken):
        frame = one.captured.frame
        kind = frame[frame.find(cookie) - _BEFORE_COOKIE]
        yield answers or (isinstance(action, Echo) and kind in _REPLIES), one


def _with(
    frames: Iterable[Captured], words: bytes, before: int, protocols: Container[int]
) -> Iterator[tuple[bool, Seen]]:
    """Those that hold the words, `before` bytes after the start of what the IP header carries.

    First whether it is an error about the packet.
    """
    for one in frames:
        at = one.frame.find(words)
        if at < before or not (ends := _ends(one.frame, at - before, protocols)):
            continue
        inside = at - before - (20 if "." in ends[0] else 40)
        if told := _of_error(one.frame, inside):
            yield True, Seen(one, *told, error=True)
        else:
            yield False, Seen(one, *ends)


def _of_error(frame: bytes, quoted: int) -> tuple[str, str] | None:
    """The addresses of the ICMP error that quotes a packet from there on; None if none does."""
    start = quoted - _ICMP_HEADER
    ends = _ends(frame, start, _ICMP)
    kinds = _ERRORS if ends and "." in ends[0] else _ERRORS6
    return ends if ends and frame[start] in kinds else None


def _beginning(frames: Iterable[Captured], action: Request) -> bytes:
    """The sequence number of the SYN that the namespace sent; empty where it sent none."""
    found = [
        (frame[start + 4 : start + 8], frame[start + 2 : start + 4], ends)
        for frame, start, ends in _segments(frames, action.namespace)
        if frame[start + 13] & (_SYN | _ACK) == _SYN
    ]
    port = action.port.to_bytes(2, "big")
    plain = [number for number, to, ends in found if (to, ends[1]) == (port, action.address)]
    # What the namespace itself translated has another address already when it meets a device.
    return next(iter([*plain, *(number for number, _, _ in found)]), b"")


def _segments(
    frames: Iterable[Captured], namespace: str
) -> Iterator[tuple[bytes, int, tuple[str, str]]]:
    """The TCP segments that a namespace sent: the frame, where TCP begins in it, and its ends."""
    for one in frames:
        if one.namespace != namespace or one.direction != "out":
            continue
        start = one.packet_at
        ipv6 = one.frame[start] >> 4 == 6
        if one.frame[start + (6 if ipv6 else 9)] != socket.IPPROTO_TCP:
            continue
        start += 40 if ipv6 else (one.frame[start] & 15) * 4
        if len(one.frame) >= start + _TCP_HEADER and (ends := _ends(one.frame, start, _TCP)):
            yield one.frame, start, ends


def _answers(frames: Iterable[Captured], begun: bytes) -> Iterator[Seen]:
    """What acknowledges the SYN alone: SYN and ACK, or a reset."""
    number = (int.from_bytes(begun, "big") + 1) & 0xFFFFFFFF
    words = number.to_bytes(4, "big")
    for one in frames:
        at = one.frame.find(words)
        flags = at + _FLAGS_AFTER_ACK
        if at < _ACK_AT or flags >= len(one.frame):
            continue
        if not (one.frame[flags] & _ACK and one.frame[flags] & (_SYN | _RESET)):
            continue
        # What the asker says next has the number too, elsewhere: no IP header ends there.
        if ends := _ends(one.frame, at - _ACK_AT, _TCP):
            yield Seen(one, *ends)


def _ends(frame: bytes, carried: int, protocols: Container[int]) -> tuple[str, str] | None:
    """The addresses of the IP header of one of the protocols that ends where `carried` begins.

    None where there is none.
    """
    if carried >= 20 and frame[carried - 20] == 0x45 and frame[carried - 11] in protocols:
        pair = frame[carried - 8 : carried - 4], frame[carried - 4 : carried]
        return socket.inet_ntoa(pair[0]), socket.inet_ntoa(pair[1])
    if carried >= 40 and frame[carried - 40] >> 4 == 6 and frame[carried - 34] in protocols:
        pair = frame[carried - 32 : carried - 16], frame[carried - 16 : carried]
        source, destination = (socket.inet_ntop(socket.AF_INET6, one) for one in pair)
        return source, destination
    return None
