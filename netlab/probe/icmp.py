"""Many ICMP echoes at once: one raw socket for each source, one loop, waiting only for the late.

On one machine the reply is normally queued when `sendto` returns, so each echo is sent and its
reply read at once; epoll is for the rest. All echoes forbid fragmentation, so that a reply proves
that the path carries a packet of that size whole.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple

from netlab.probe.sockets import (
    Unavailable,
    checksum,
    chunks,
    descriptors,
    in_words,
    open_in,
    widen,
)

# Seconds after which an echo is asked again; the last is the end. A device that has just come up
# may take a second until the kernel's link watch lets it send.
PATIENCE = (0.5, 0.7, 0.8, 1.0)
UNEXPECTED = 0.3  # seconds to wait for replies that should not come, when all others are there
HEADERS = 28  # bytes of an IPv4 header without options and an ICMP echo header

_ECHO_REPLY, _UNREACHABLE, _ECHO, _TIME_EXCEEDED = 0, 3, 8, 11
_HOST, _FRAGMENTATION_NEEDED = 1, 4
_CODES = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    5: "source route failed",
    9: "network prohibited",
    10: "host prohibited",
    13: "prohibited by a filter",
}
_SOL_RAW, _ICMP_FILTER = 255, 1
# The filter's bits are the types *not* wanted: a raw socket would else be given the echo requests
# that others send to this namespace.
_FILTER = struct.pack(
    "I", 0xFFFFFFFF ^ (1 << _ECHO_REPLY | 1 << _UNREACHABLE | 1 << _TIME_EXCEEDED)
)
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2


class Ping(NamedTuple):
    """One echo. `wanted` is whether a reply should come: such a one, if lost, is asked again.

    A NamedTuple, as `Pong`: a full mesh makes a great many, and they are made fast.
    """

    namespace: str
    target: str
    payload: bytes = b""
    wanted: bool = True


class Pong(NamedTuple):
    """The outcome: round trip in seconds and the reply's TTL, or an error in words."""

    seconds: float = 0.0
    ttl: int = 0
    error: str | None = None


def ping_all(pings: Sequence[Ping], waits: Sequence[float] = PATIENCE) -> list[Pong]:
    """Send all echoes and return their outcomes in the same order.

    Waiting is for all at once: each of `waits` (seconds), after which what is lost and wanted is
    asked again, except after the last; and only UNEXPECTED where nothing lacks that is wanted.
    """
    outcomes: list[Pong | None] = [None] * len(pings)
    by_source: dict[str, list[int]] = {}
    for index, item in enumerate(pings):
        by_source.setdefault(item.namespace, []).append(index)
    for group in chunks(list(by_source), descriptors()):
        _Round(pings, outcomes, waits).run({name: by_source[name] for name in group})
    return [outcome or Pong(error="not sent") for outcome in outcomes]


class _Round:
    """The echoes of as many sources as may have a socket open at once."""

    def __init__(
        self, pings: Sequence[Ping], outcomes: list[Pong | None], waits: Sequence[float]
    ) -> None:
        self.pings = pings
        self.outcomes = outcomes
        self.waits = waits
        self.waited = 0.0
        self.doubts: dict[int, str] = {}  # errors that may pass, by index
        self.identifier = int.from_bytes(os.urandom(2), "big")
        self.buffer = memoryview(bytearray(65536))
        self.sources: dict[int, _Source] = {}

    def run(self, by_source: dict[str, list[int]]) -> None:
        try:
            for name, indexes in by_source.items():
                self._open_and_send(name, indexes)
            for number, seconds in enumerate(self.waits):
                if number and not self._ask_again():
                    break
                self._wait(seconds)
        finally:
            for source in self.sources.values():
                source.socket.close()
        for source in self.sources.values():
            for index in source.unanswered():
                words = self.doubts.get(index) or f"no reply in {self.waited:.1f} s"
                self.outcomes[index] = Pong(error=words)

    def _open_and_send(self, name: str, indexes: list[int]) -> None:
        try:
            opened = open_in(name, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except Unavailable as error:
            for index in indexes:
                self.outcomes[index] = Pong(error=str(error))
            return
        opened.setsockopt(_SOL_RAW, _ICMP_FILTER, _FILTER)
        opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        widen(opened)
        source = self.sources[opened.fileno()] = _Source(self, opened)
        source.send(indexes)

    def _wait(self, seconds: float) -> None:
        """Read what comes until nothing is awaited or the time is over."""
        late = {number: source for number, source in self.sources.items() if source.awaited}
        wanted = any(
            self.pings[index].wanted for source in late.values() for index in source.unanswered()
        )
        seconds = seconds if wanted else min(seconds, UNEXPECTED)
        self.waited += seconds if late else 0
        deadline = time.monotonic() + seconds
        with select.epoll() as poll:
            for number in late:
                poll.register(number, select.EPOLLIN)
            while late:
                left = deadline - time.monotonic()
                ready = poll.poll(left) if left > 0 else []
                if not ready:
                    return
                for number, _ in ready:
                    late[number].receive()
                    if not late[number].awaited:
                        poll.unregister(number)
                        del late[number]

    def _ask_again(self) -> bool:
        """Send once more what is lost and wanted; false when that is nothing."""
        again = {
            source: [index for index in source.unanswered() if self.pings[index].wanted]
            for source in self.sources.values()
        }
        for source, indexes in again.items():
            source.send(indexes)
        return any(again.values())


class _Source:
    """A raw socket in one namespace, and what it has sent."""

    def __init__(self, round_: _Round, opened: socket.socket) -> None:
        self.round = round_
        self.socket = opened
        self.sent: dict[int, tuple[int, float]] = {}  # identifier and sequence: index and time
        self.awaited = 0
        self.next_key = round_.identifier << 16

    def send(self, indexes: Sequence[int]) -> None:
        """Send echoes, reading the reply of each right after it where it is there already."""
        pings, outcomes, send = self.round.pings, self.round.outcomes, self.socket.sendto
        self.awaited = 0
        for index in indexes:
            ping = pings[index]
            key = self.next_key
            self.next_key = (key + 1) & 0xFFFFFFFF
            packet = echo(key, ping.payload)
            self.sent[key] = (index, time.monotonic())
            try:
                send(packet, (ping.target, 0))
            except BlockingIOError:
                self.awaited += 1  # as good as lost: the queue is full of packets awaiting ARP
                continue
            except OSError as error:
                del self.sent[key]
                outcomes[index] = Pong(error=in_words(error))
                continue
            self.awaited += 1
            self.receive()

    def receive(self) -> None:
        """Read what has come, and settle the echoes it answers."""
        buffer, sent, outcomes = self.round.buffer, self.sent, self.round.outcomes
        while self.awaited:
            try:
                length = self.socket.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error the kernel noted on the socket; the echo it is of times out
            now = time.monotonic()
            answer = _read(buffer, length)
            entry = sent.pop(answer[0], None) if answer else None
            if answer is None or entry is None or outcomes[entry[0]] is not None:
                continue
            index, error = entry[0], answer[1]
            if error and self._may_pass(index, error):
                sent[answer[0]] = entry
                self.round.doubts[index] = error
                continue
            outcomes[index] = Pong(now - entry[1], buffer[8], error)
            self.awaited -= 1

    def _may_pass(self, index: int, error: str) -> bool:
        """Whether to go on asking: the error may be the end of an ARP request from before."""
        return self.round.pings[index].wanted and error.startswith(_CODES[_HOST])

    def unanswered(self) -> list[int]:
        outcomes = self.round.outcomes
        return list(
            dict.fromkeys(index for index, _ in self.sent.values() if outcomes[index] is None)
        )


def echo(key: int, payload: bytes) -> bytes:
    """An echo request; `key` is its identifier (upper 16 bits) and sequence number (lower)."""
    total = (_ECHO << 8) + (key >> 16) + (key & 0xFFFF)
    total = checksum(payload, total) if payload else (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHI", _ECHO, 0, total ^ 0xFFFF, key) + payload


def _read(buffer: memoryview, length: int) -> tuple[int, str | None] | None:
    """The key of the echo that a packet answers, and the error if it does so with one."""
    start = (buffer[0] & 15) * 4
    if length < start + 8:
        return None
    kind = buffer[start]
    if kind == _ECHO_REPLY:
        return struct.unpack_from("!I", buffer, start + 4)[0], None
    quoted = start + 8  # the packet that the error is about, cut after 8 bytes of payload or later
    if length < quoted + 20:
        return None
    key_at = quoted + (buffer[quoted] & 15) * 4 + 4
    if length < key_at + 4 or buffer[quoted + 9] != socket.IPPROTO_ICMP:
        return None
    return struct.unpack_from("!I", buffer, key_at)[0], _error(buffer, start)


def _error(buffer: memoryview, start: int) -> str:
    kind, code = buffer[start], buffer[start + 1]
    words = "TTL exceeded" if kind == _TIME_EXCEEDED else _CODES.get(code, f"unreachable ({code})")
    if kind == _UNREACHABLE and code == _FRAGMENTATION_NEEDED:
        words += f", MTU {struct.unpack_from('!H', buffer, start + 6)[0]}"
    return f"{words} (ICMP from {socket.inet_ntoa(buffer[12:16])})"
