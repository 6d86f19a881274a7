"""Many TCP, HTTP and UDP requests at once, by non-blocking sockets and one epoll.

The other end is netlab's server: it answers with one line, `HOSTNAME CONTAINER CLIENT:PORT`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from itertools import takewhile

from netlab.plan.probing.actions import Request, Response
from netlab.probe.engines.polling import Patience, quiet_enough
from netlab.probe.engines.sockets import (
    TIMEOUT,
    Unavailable,
    bind,
    descriptors,
    in_words,
    open_in,
)

# Requests under way at once. Many, as those that get no answer are to wait for it together; but few
# that are fresh, so that all fit into the queue of one server, should each come to the same.
_IN_FLIGHT = 2048
_FRESH = 128
_STALE = 0.1  # seconds after which an answer is late
# Source ports, below those that the kernel chooses. conntrack keeps what came to nothing for two
# minutes, with the addresses of rules that may have been put right since: so a port is not used
# again for longer than that. A process begins where time has come to, and goes on from there.
_PORTS = range(2048, 32768)
_PORTS_A_SECOND = 213
_asked: Counter[tuple[str, str, int]] = Counter()
_LONGEST = 500  # characters of an answer; the longest names that can be make 440


def send_requests(requests: Sequence[Request], timeout: float = TIMEOUT) -> list[Response]:
    """Ask everything and return the responses in the same order.

    Those that get no answer wait together, until nothing has come for `timeout` seconds; and less
    (`quiet_enough`) where no answer is lacking that is wanted.
    """
    with select.epoll() as poll:
        round_ = _Round(requests, timeout, poll)
        try:
            while round_.start() or round_.under_way:
                round_.advance()
        finally:
            for exchange in round_.under_way.values():
                exchange.socket.close()
    return round_.responses


class _Exchange:
    """One request under way. `step` does all that can be done now; it never blocks."""

    def __init__(self, index: int, request: Request, timeout: float, port: int) -> None:
        self.index = index
        self.request = request
        self.timeout = timeout
        self.began = time.monotonic()
        self.asked = False
        self.received = bytearray()
        kind = socket.SOCK_DGRAM if request.application == "udp" else socket.SOCK_STREAM
        family = socket.AF_INET6 if request.ipv6 else socket.AF_INET
        self.socket = open_in(request.namespace, family, kind)
        try:
            self.socket.bind((request.source, port))
        except OSError:  # who listens there keeps it: the kernel chooses
            bind(self.socket, request.source)

    @property
    def interest(self) -> int:
        return select.EPOLLIN if self.asked else select.EPOLLOUT

    def begin(self) -> Response | None:
        """As `step`, of what has not begun."""
        try:
            self.connect()
        except OSError as error:
            return self._failed(in_words(error))
        return self.step()

    def connect(self) -> None:
        # Under way is as good as done: on one machine it mostly is by the time we send.
        with contextlib.suppress(BlockingIOError):
            self.socket.connect((self.request.address, self.request.port))

    def step(self) -> Response | None:
        """The answer, or None when the kernel has to be waited for."""
        try:
            if not self.asked:
                self.socket.send(_said(self.request))
                self.asked = True
            while part := self.socket.recv(65536):
                self.received += part
                if self.request.application == "udp":
                    break
        except BlockingIOError:
            return None if self.asked else self._refused()
        except OSError as error:
            return self._failed(in_words(error))
        return self._judge()

    def _refused(self) -> Response | None:
        """What somebody on the path told by ICMP, while the connection is not there.

        On one machine that often comes before `connect` returns. The kernel then only notes it, as
        the socket is in use, and is silent until it repeats its SYN (tcp_v4_err in tcp_ipv4.c).
        """
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return self._failed(in_words(OSError(number, os.strerror(number)))) if number else None

    def expired(self) -> Response:
        waited = self.timeout if self.request.wanted else time.monotonic() - self.began
        return self._failed(f"timed out after {waited:.1f} s")

    def _judge(self) -> Response:
        text = self.received.decode(errors="replace")
        if not text:
            return self._failed("closed without an answer")
        if self.request.application == "http":
            head, _, body = text.partition("\r\n\r\n")
            status = head.split("\r\n", 1)[0]
            if not status.startswith("HTTP/1.") or " 200" not in status:
                return self._failed(f"not a good HTTP answer: {status[:60]!r}")
            text = body
        # Any server may answer, with anything; a report is text that a terminal shows.
        line = "".join(sign if sign.isprintable() else "?" for sign in text.strip()[:_LONGEST])
        return Response(line, time.monotonic() - self.began, connected=self._connected)

    def _failed(self, words: str) -> Response:
        seconds = time.monotonic() - self.began
        return Response(error=words, seconds=seconds, connected=self._connected)

    @property
    def _connected(self) -> bool:
        return self.asked and self.request.application != "udp"


def _said(request: Request) -> bytes:
    http = f"GET {request.path} HTTP/1.0\r\n\r\n"
    return http.encode() if request.application == "http" else request.words


class _Round:
    """Requests that are begun, as many as may be under way, and the responses."""

    def __init__(self, requests: Sequence[Request], timeout: float, poll: select.epoll) -> None:
        self.responses: list[Response] = [Response()] * len(requests)
        self.under_way: dict[int, _Exchange] = {}  # in the order in which they began
        self.waiting = deque(enumerate(requests))
        self.limit = min(_IN_FLIGHT, descriptors())
        self.poll = poll
        self.patience = Patience(timeout)
        self.wanted = 0  # of those under way
        self.slowest = 0.0

    def start(self) -> bool:
        """Begin what may begin; false when there is none left to begin."""
        while self.waiting and not self._crowded():
            index, request = self.waiting.popleft()
            try:
                exchange = _Exchange(index, request, self.patience.seconds, _port(request))
            except Unavailable as error:
                self.responses[index] = Response(error=str(error))
                continue
            if answer := exchange.begin():
                exchange.socket.close()
                self._settle(exchange, answer)
                continue
            number = exchange.socket.fileno()
            self.under_way[number] = exchange
            self.wanted += request.wanted
            self.poll.register(number, exchange.interest)
            self.patience.came()
        return bool(self.waiting)

    def advance(self) -> None:
        """Wait for the next event or the end of patience, and finish what can be finished."""
        if not self.under_way:
            return
        longest = min(self._left, _STALE) if self.waiting else self._left
        for number, _ in self.poll.poll(max(longest, 0)):
            exchange = self.under_way[number]
            interest = exchange.interest
            if answer := exchange.step():
                self._finish(number, answer)
                self.patience.came()
            elif exchange.interest != interest:
                self.poll.modify(number, exchange.interest)
        if self._left > 0:
            return
        for number, exchange in list(self.under_way.items()):
            self._finish(number, exchange.expired())

    @property
    def _left(self) -> float:
        """Seconds until there is no use in waiting."""
        if self.wanted or self.waiting:
            return self.patience.left
        return self.patience.left - self.patience.seconds + quiet_enough(self.slowest)

    def _crowded(self) -> bool:
        count = len(self.under_way)
        if count < _FRESH:
            return False
        since = time.monotonic() - _STALE
        late = sum(1 for _ in takewhile(lambda one: one.began < since, self.under_way.values()))
        return count - late >= _FRESH or count >= self.limit

    def _finish(self, number: int, answer: Response) -> None:
        exchange = self.under_way.pop(number)
        exchange.socket.close()  # which also takes it out of the epoll
        self.wanted -= exchange.request.wanted
        self._settle(exchange, answer)

    def _settle(self, exchange: _Exchange, answer: Response) -> None:
        self.responses[exchange.index] = answer
        if not answer.error:
            self.slowest = max(self.slowest, answer.seconds)


def _port(request: Request) -> int:
    """The source port of a request: another for each from one namespace to one port."""
    key = request[:3]
    _asked[key] += 1
    return _PORTS[(_first_port(os.getpid()) + _asked[key]) % len(_PORTS)]


@functools.cache
def _first_port(_process: int) -> int:
    return int(time.monotonic() * _PORTS_A_SECOND)
