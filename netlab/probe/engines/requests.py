"""Many TCP, HTTP and UDP requests at once, by non-blocking sockets and one epoll.

The other end is netlab's server: it answers with one line, `HOSTNAME CONTAINER CLIENT:PORT`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Sequence

from netlab.plan.probing.actions import Request, Response
from netlab.probe.engines.polling import Patience
from netlab.probe.engines.sockets import TIMEOUT, Unavailable, descriptors, in_words, open_in

# Requests under way at once. Many, as those that get no answer are to wait for it together.
_IN_FLIGHT = 2048
_LONGEST = 500  # characters of an answer; the longest names that can be make 440
_WORDS = b"netlab\n"


def send_requests(requests: Sequence[Request], timeout: float = TIMEOUT) -> list[Response]:
    """Ask everything and return the responses in the same order.

    Those that get no answer wait together, until nothing has come for `timeout` seconds.
    """
    responses: list[Response] = [Response()] * len(requests)
    waiting = iter(enumerate(requests))
    limit = min(_IN_FLIGHT, descriptors())
    under_way: dict[int, _Exchange] = {}
    with select.epoll() as poll:
        try:
            patience = Patience(timeout)
            while _start(waiting, limit, under_way, poll, responses, patience) or under_way:
                _advance(under_way, poll, responses, patience)
        finally:
            for exchange in under_way.values():
                exchange.socket.close()
    return responses


class _Exchange:
    """One request under way. `step` does all that can be done now; it never blocks."""

    def __init__(self, index: int, request: Request, timeout: float) -> None:
        self.index = index
        self.request = request
        self.timeout = timeout
        self.began = time.monotonic()
        self.asked = False
        self.received = bytearray()
        kind = socket.SOCK_DGRAM if request.application == "udp" else socket.SOCK_STREAM
        family = socket.AF_INET6 if request.ipv6 else socket.AF_INET
        self.socket = open_in(request.namespace, family, kind)

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
            return None
        except OSError as error:
            return self._failed(in_words(error))
        return self._judge()

    def expired(self) -> Response:
        return self._failed(f"timed out after {self.timeout:.1f} s")

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
        return Response(line, time.monotonic() - self.began)

    def _failed(self, words: str) -> Response:
        return Response(error=words, seconds=time.monotonic() - self.began)


def _said(request: Request) -> bytes:
    return (
        f"GET {request.path} HTTP/1.0\r\n\r\n".encode() if request.application == "http" else _WORDS
    )


def _start(
    waiting: Iterator[tuple[int, Request]],
    limit: int,
    under_way: dict[int, _Exchange],
    poll: select.epoll,
    responses: list[Response],
    patience: Patience,
) -> bool:
    """Begin requests until `limit` are under way; false when there is none left to begin."""
    while len(under_way) < limit:
        item = next(waiting, None)
        if item is None:
            return False
        index, request = item
        try:
            exchange = _Exchange(index, request, patience.seconds)
        except Unavailable as error:
            responses[index] = Response(error=str(error))
            continue
        answer = _begin(exchange)
        if answer is not None:
            exchange.socket.close()
            responses[index] = answer
            continue
        under_way[exchange.socket.fileno()] = exchange
        poll.register(exchange.socket.fileno(), _interest(exchange))
        patience.came()
    return True


def _begin(exchange: _Exchange) -> Response | None:
    try:
        exchange.connect()
    except OSError as error:
        return Response(error=in_words(error))
    return exchange.step()


def _interest(exchange: _Exchange) -> int:
    return select.EPOLLIN if exchange.asked else select.EPOLLOUT


def _advance(
    under_way: dict[int, _Exchange],
    poll: select.epoll,
    responses: list[Response],
    patience: Patience,
) -> None:
    """Wait for the next event or the end of patience, and finish what can be finished."""
    if not under_way:
        return
    for number, _ in poll.poll(max(patience.left, 0)):
        exchange = under_way[number]
        asked = exchange.asked
        answer = exchange.step()
        if answer is not None:
            _finish(number, answer, under_way, responses)
            patience.came()
        elif exchange.asked != asked:
            poll.modify(number, _interest(exchange))
    if patience.left > 0:
        return
    for number, exchange in list(under_way.items()):
        _finish(number, exchange.expired(), under_way, responses)


def _finish(
    number: int, answer: Response, under_way: dict[int, _Exchange], responses: list[Response]
) -> None:
    exchange = under_way.pop(number)
    exchange.socket.close()  # which also takes it out of the epoll
    responses[exchange.index] = answer
