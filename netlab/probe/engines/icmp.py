"""Many ICMP echoes at once: one raw socket for each source, one loop, waiting only for the late.

On one machine the reply is normally queued when `sendto` returns, so each echo is sent and its
reply read at once; epoll is for the rest. All echoes forbid fragmentation, so that a reply proves
that the path carries a packet of that size whole.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from types import ModuleType

from netlab.kernel import path_mtu
from netlab.plan.probing.actions import Echo, EchoReply
from netlab.probe.engines import icmp4, icmp6
from netlab.probe.engines.polling import Patience, quiet_enough
from netlab.probe.engines.sockets import (
    Tell,
    Unavailable,
    bind,
    chunks,
    descriptors,
    dropped,
    in_words,
    nobody,
)

# Seconds after which an echo is asked again; the last is the end. A device that has just come up
# may take a second until the kernel's link watch lets it send.
PATIENCE = (0.5, 0.7, 0.8, 1.0)
_ATTEMPTS = 3  # of asking again for what the sockets lost

Source = tuple[str, bool, str]  # a namespace, whether its socket is of IPv6, and its address


def send_echoes(
    echoes: Sequence[Echo],
    waits: Sequence[float] = PATIENCE,
    between: Callable[[], None] = lambda: None,
    tell: Tell | None = nobody,
) -> list[EchoReply]:
    """Send all echoes and return their outcomes in the same order.

    Waiting is for all at once: each of `waits` (seconds), after which what is lost and wanted is
    asked again, except after the last; less (`quiet_enough`) where nothing lacks that is wanted.
    `between` is called each time that a source has sent its echoes. Where a socket had no room for
    replies, what it lacks is asked again, and `tell` is told; with None nothing is.
    """
    outcomes: list[EchoReply | None] = [None] * len(echoes)
    by_source: dict[Source, list[int]] = {}
    for index, item in enumerate(echoes):
        by_source.setdefault((item.namespace, item.ipv6, item.source), []).append(index)
    for group in chunks(list(by_source), descriptors()):
        own = {source: by_source[source] for source in group}
        _Round(echoes, outcomes, waits, tell).run(own, between)
    return [outcome or EchoReply(error="not sent") for outcome in outcomes]


class _Round:
    """The echoes of as many sources as may have a socket open at once."""

    def __init__(
        self,
        echoes: Sequence[Echo],
        outcomes: list[EchoReply | None],
        waits: Sequence[float],
        tell: Tell | None,
    ) -> None:
        self.echoes = echoes
        self.outcomes = outcomes
        self.waits = waits
        self.tell = tell
        self.waited = 0.0
        self.doubts: dict[int, str] = {}  # errors that may pass, by index
        self.identifier = int.from_bytes(os.urandom(2), "big")
        self.buffer = memoryview(bytearray(65536))
        self.senders: dict[int, _Sender] = {}

    def run(self, by_source: dict[Source, list[int]], between: Callable[[], None]) -> None:
        try:
            for source, indexes in by_source.items():
                self._open_and_send(source, indexes)
                between()
            for number, seconds in enumerate(self.waits):
                if number and not self._ask_again():
                    break
                self._wait(seconds)
            for _ in range(_ATTEMPTS if self.tell else 0):
                if not self._ask_for_lost():
                    break
                self._wait(self.waits[-1])
        finally:
            for sender in self.senders.values():
                sender.socket.close()
        for sender in self.senders.values():
            for index in sender.unanswered():
                doubt = self.doubts.get(index)
                words = doubt or f"no reply in {self.waited:.1f} s"
                self.outcomes[index] = EchoReply(error=words, silent=not doubt)

    def _open_and_send(self, source: Source, indexes: list[int]) -> None:
        name, ipv6, address = source
        family = icmp6 if ipv6 else icmp4
        try:
            opened: socket.socket = family.open_echo(name)
            bind(opened, address)
        except Unavailable as error:
            for index in indexes:
                self.outcomes[index] = EchoReply(error=str(error))
            return
        sender = self.senders[opened.fileno()] = _Sender(self, opened, family)
        sender.send(indexes)

    def _wait(self, seconds: float) -> None:
        """Read what comes until nothing is awaited or nothing has come for so long."""
        late = {number: sender for number, sender in self.senders.items() if sender.awaited}
        wanted = any(
            self.echoes[index].wanted for sender in late.values() for index in sender.unanswered()
        )
        seconds = seconds if wanted else min(seconds, self._unexpected())
        self.waited += seconds if late else 0
        patience = Patience(seconds)
        with select.epoll() as poll:
            for number in late:
                poll.register(number, select.EPOLLIN)
            while late:
                left = patience.left
                ready = poll.poll(left) if left > 0 else []
                if not ready:
                    return
                for number, _ in ready:
                    if late[number].receive():
                        patience.came()
                    if not late[number].awaited:
                        poll.unregister(number)
                        del late[number]

    def _unexpected(self) -> float:
        """How long to wait for what should not come; where nothing else came, the longest."""
        return quiet_enough(max((reply.seconds for reply in self.outcomes if reply), default=0.0))

    def _ask_for_lost(self) -> bool:
        """Send once more what sockets lack that had no room; false when that is nothing."""
        lost = {sender: sender.lost() for sender in self.senders.values() if sender.awaited}
        again = {sender: sender.unanswered() for sender, count in lost.items() if count}
        if again and self.tell:
            count = sum(map(len, again.values()))
            self.tell(f"{count} echoes again: {sum(lost.values())} replies found no room")
        for sender, indexes in again.items():
            sender.send(indexes)
        return bool(again)

    def _ask_again(self) -> bool:
        """Send once more what is lost and wanted; false when that is nothing."""
        again = {
            sender: [index for index in sender.unanswered() if self.echoes[index].wanted]
            for sender in self.senders.values()
        }
        for sender, indexes in again.items():
            sender.send(indexes)
        return any(again.values())


class _Sender:
    """A raw socket in one namespace, and what it has sent."""

    def __init__(self, round_: _Round, opened: socket.socket, family: ModuleType) -> None:
        self.round = round_
        self.socket = opened
        self.family = family
        self.sent: dict[int, tuple[int, float]] = {}  # identifier and sequence: index and time
        self.awaited = 0
        self.next_key = round_.identifier << 16
        self.dropped = 0  # replies that found no room

    def lost(self) -> int:
        """How many replies found no room since this was last asked."""
        before, self.dropped = self.dropped, dropped(self.socket)
        return self.dropped - before

    def send(self, indexes: Sequence[int]) -> None:
        """Send echoes, reading the reply of each right after it where it is there already."""
        echoes, outcomes, send = self.round.echoes, self.round.outcomes, self.socket.sendto
        request = self.family.request
        self.awaited = 0
        for index in indexes:
            echo = echoes[index]
            key = self.next_key
            self.next_key = (key + 1) & 0xFFFFFFFF
            packet = request(key, echo.payload)
            self.sent[key] = (index, time.monotonic())
            try:
                send(packet, (echo.target, 0))
            except BlockingIOError:
                self.awaited += 1  # as good as lost: the queue is full of packets awaiting ARP
                continue
            except OSError as error:
                problem = self._send_again(error, packet, echo)
                if problem:
                    del self.sent[key]
                    outcomes[index] = EchoReply(error=in_words(problem))
                    continue
            self.awaited += 1
            self.receive()

    def _send_again(self, error: OSError, packet: bytes, echo: Echo) -> OSError | None:
        """What is too long for the path's MTU may fit once an old one is forgotten."""
        if error.errno != errno.EMSGSIZE:
            return error
        path_mtu.flush(echo.namespace, echo.target)
        try:
            self.socket.sendto(packet, (echo.target, 0))
        except OSError as still:
            return still
        return None

    def receive(self) -> bool:
        """Read what has come, and settle the echoes it answers; whether it was for any."""
        before = self.awaited
        buffer, sent, outcomes = self.round.buffer, self.sent, self.round.outcomes
        receive = self.family.receive
        while self.awaited:
            try:
                answer = receive(self.socket, buffer)
            except BlockingIOError:
                break
            except OSError:
                continue  # an error the kernel noted on the socket; the echo it is of times out
            now = time.monotonic()
            entry = sent.pop(answer[0], None) if answer else None
            if answer is None or entry is None or outcomes[entry[0]] is not None:
                continue
            index = entry[0]
            key, ttl, error = answer
            if error and self._may_pass(index, error):
                sent[key] = entry
                self.round.doubts[index] = error
                continue
            outcomes[index] = EchoReply(now - entry[1], ttl, error)
            self.awaited -= 1
        return self.awaited < before

    def _may_pass(self, index: int, error: str) -> bool:
        """Whether to go on asking: the error may be the end of an ARP request from before."""
        return self.round.echoes[index].wanted and error.startswith(self.family.MAY_PASS)

    def unanswered(self) -> list[int]:
        outcomes = self.round.outcomes
        return list(
            dict.fromkeys(index for index, _ in self.sent.values() if outcomes[index] is None)
        )
