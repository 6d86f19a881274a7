"""One packet followed through a lab: captured on all devices while it is sent.

An echo, a datagram and HTTP's port are asked with words of their own. A TCP connection is known by
the sequence number that its SYN begins with, which no translation of addresses changes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netlab.plan.probing.actions import Echo, EchoReply, Request, Response
from netlab.probe.engines.capture import Capture, Captured, timing
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.requests import send_requests
from netlab.probe.engines.sockets import await_closing, bind, open_in

COOKIE = b"netlab"
_ECHO_HEADER, _UDP_HEADER, _TCP_HEADER = 8, 8, 20
_REQUESTS, _REPLIES = (8, 128), (0, 129)  # ICMP's and ICMPv6's types
_ERRORS, _ERRORS_IPV6 = (3, 4, 5, 11, 12), (1, 2, 3, 4)  # types that quote a packet
_SYN, _RESET, _ACK = 0x02, 0x04, 0x10
_ACK_AT = 8  # where TCP's header has the number that it acknowledges
_FLAGS_AFTER_ACK = 5
_ETHERNET = 14
_ICMP = {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}
_UDP, _TCP = {socket.IPPROTO_UDP}, {socket.IPPROTO_TCP}


class Seen(NamedTuple):
    """A packet as it passed a device, and the addresses of its innermost IP header."""

    captured: Captured
    source: str
    destination: str


class Followed(NamedTuple):
    """What came of a question, and where it and its answer were seen, in the order of time.

    Of a datagram's answer nothing is known. `lost` says of namespaces why nothing of them is, and
    `dropped` how many frames found no room in the capture. `frames` are all of the nodes' segments
    meanwhile, for what is encrypted.
    """

    outcome: EchoReply | Response
    request: tuple[Seen, ...]
    reply: tuple[Seen, ...]
    lost: Mapping[str, str]
    dropped: int
    frames: tuple[Captured, ...]


def follow(
    action: Echo | Request, namespaces: Iterable[str], segments: Sequence[str], timeout: float
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
            asked = action._replace(words=cookie + b"\n")
            outcome = send_requests([asked], timeout=timeout)[0]
        frames = sorted(capture.drain(), key=lambda one: one.seconds)
        dropped, lost = capture.dropped, dict(capture.lost)
    await_closing()
    udp = isinstance(action, Request) and action.application == "udp"
    if isinstance(action, Echo):
        request, reply = _echo(frames, cookie, _REQUESTS), _echo(frames, cookie, _REPLIES)
    elif udp:
        request, reply = _with(frames, cookie, _UDP_HEADER, _UDP), iter(())
    else:
        begun = _beginning(frames, action)
        request = _with(frames, begun + bytes(4), 4, _TCP) if begun else iter(())
        reply = _answers(frames, begun) if begun else iter(())
    on_segments = tuple(one for one in frames if one.namespace in segments)
    return Followed(outcome, tuple(request), tuple(reply), lost, dropped, on_segments)


def _with(
    frames: Iterable[Captured], words: bytes, before: int, protocols: Container[int]
) -> Iterator[Seen]:
    """Those that hold the words, `before` bytes after the start of what the IP header carries."""
    for one in frames:
        at = one.frame.find(words)
        if at >= before and (ends := _ends(one.frame, at - before, protocols)):
            yield Seen(one, *ends)


def _echo(frames: Iterable[Captured], cookie: bytes, kinds: Sequence[int]) -> Iterator[Seen]:
    for one in _with(frames, cookie, _ECHO_HEADER, _ICMP):
        frame = one.captured.frame
        if frame[frame.find(cookie) - _ECHO_HEADER] in kinds:
            yield one


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
        start = _ETHERNET if one.ethernet else 0
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
        flags = one.frame[at + _FLAGS_AFTER_ACK] if at >= _ACK_AT else 0
        if not (flags & _ACK and flags & (_SYN | _RESET)):
            continue
        # What the asker says next has the number too, elsewhere: no IP header ends there.
        if ends := _ends(one.frame, at - _ACK_AT, _TCP):
            yield Seen(one, *ends)


def _ends(frame: bytes, carried: int, protocols: Container[int]) -> tuple[str, str] | None:
    """The addresses of the IP header of one of the protocols that ends where `carried` begins.

    None where there is none, and where an ICMP error quotes it: that is no packet under way.
    """
    if carried >= 20 and frame[carried - 20] == 0x45 and frame[carried - 11] in protocols:
        if _is_quoted(frame, carried - 20):
            return None
        pair = frame[carried - 8 : carried - 4], frame[carried - 4 : carried]
        return socket.inet_ntoa(pair[0]), socket.inet_ntoa(pair[1])
    if carried >= 40 and frame[carried - 40] >> 4 == 6 and frame[carried - 34] in protocols:
        if _is_quoted(frame, carried - 40):
            return None
        pair = frame[carried - 32 : carried - 16], frame[carried - 16 : carried]
        source, destination = (socket.inet_ntop(socket.AF_INET6, one) for one in pair)
        return source, destination
    return None


def _is_quoted(frame: bytes, start: int) -> bool:
    """Whether what stands before the IP header that starts there is an ICMP error's header."""
    error = start - _ECHO_HEADER
    if error >= 20 and frame[error - 20] == 0x45 and frame[error - 11] == socket.IPPROTO_ICMP:
        return frame[error] in _ERRORS
    if error >= 40 and frame[error - 40] >> 4 == 6 and frame[error - 34] == socket.IPPROTO_ICMPV6:
        return frame[error] in _ERRORS_IPV6
    return False
