"""The engines against peers that misbehave: what is waited for, for how long, and what is said.

The peers listen on the loopback of the namespace the tests run in; nothing is set up or changed.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from netlab.probe import icmp, l4
from netlab.probe.capture import Capture
from netlab.probe.icmp import Ping, ping_all
from netlab.probe.inject import Mirror, Segments, reflect, send_segments
from netlab.probe.l4 import Protocol, Request, ask_all
from netlab.probe.mtu import MtuPath, refusals
from netlab.probe.neighbours import Entry, forget
from netlab.probe.sockets import Unavailable, namespace_inode

NOWHERE = "no-such-namespace"
Handler = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets for the name `here` are opened where the test runs."""
    for module in (l4, icmp):
        original = module.open_in

        def open_in(
            namespace: str,
            family: int,
            kind: int,
            protocol: int = 0,
            original: Callable[..., socket.socket] = original,
        ) -> socket.socket:
            if namespace != "here":
                return original(namespace, family, kind, protocol)
            opened = socket.socket(family, kind, protocol)
            opened.setblocking(False)
            return opened

        monkeypatch.setattr(module, "open_in", open_in)


@contextlib.contextmanager
def server(handle: Handler | None) -> Iterator[int]:
    """A TCP server on 127.0.0.1; without a handler it accepts nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        handle(connection) if handle else None

        thread = threading.Thread(target=serve, daemon=True)
        if handle:
            thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        if handle:
            thread.join()


def request(port: int, protocol: Protocol = "tcp") -> Request:
    return Request("here", "127.0.0.1", port, protocol)


def say(answer: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)

    return handle


def test_silent_servers_are_waited_for_together() -> None:
    with server(None) as port:
        began = time.monotonic()
        answers = ask_all([request(port)] * 200, timeout=0.3)
        assert time.monotonic() - began < 1
    assert {answer.error for answer in answers} == {"timed out after 0.3 s"}


def test_answers_are_in_the_order_of_the_requests() -> None:
    with server(say(b"one\n")) as one, server(say(b"two\n")) as two, server(None) as silent:
        ports = [one, two, silent] * 30
        answers = ask_all([request(port) for port in ports], timeout=0.5)
    assert [answer.body for answer in answers] == ["one", "two", ""] * 30


@pytest.mark.parametrize(
    ("protocol", "answer", "body", "words"),
    [
        ("tcp", b"pod c 10.0.0.1:1\n", "pod c 10.0.0.1:1", None),
        ("tcp", b"", "", "closed without an answer"),
        ("tcp", b"\x1b[31mred\xff\n", "?[31mred�", None),
        ("tcp", b"x" * 5000, "x" * 200, None),
        ("http", b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody\n", "body", None),
        ("http", b"HTTP/1.1 404 Not Found\r\n\r\nbody\n", "", "not a good HTTP answer"),
        ("http", b"what?\n", "", "not a good HTTP answer"),
    ],
)
def test_any_answer_is_taken_for_what_it_is(
    protocol: Protocol, answer: bytes, body: str, words: str | None
) -> None:
    with server(say(answer)) as port:
        (found,) = ask_all([request(port, protocol)])
    assert found.body == body
    assert (words or "") in (found.error or "")
    assert (found.error is None) is (words is None)


def test_a_refusal_is_told_for_tcp_and_udp() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        protocols: tuple[Protocol, ...] = ("tcp", "http", "udp")
        answers = ask_all([request(port, protocol) for protocol in protocols])
    assert [answer.error for answer in answers] == ["connection refused"] * 3


def test_udp_is_one_datagram_each_way() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))

        def serve() -> None:
            for _ in range(50):
                data, client = peer.recvfrom(1024)
                peer.sendto(data, client)

        thread = threading.Thread(target=serve)
        thread.start()
        answers = ask_all([request(peer.getsockname()[1], "udp")] * 50)
        thread.join()
    assert [answer.body for answer in answers] == ["netlab"] * 50


def test_echoes_are_matched_however_many_and_large() -> None:
    pings = [Ping("here", f"127.0.0.{number % 250 + 1}") for number in range(70_000)]
    pings += [Ping("here", "127.0.0.1", bytes(60_000))]
    pongs = ping_all(pings)
    assert [pong for pong in pongs if pong.error] == []
    assert all(0 < pong.seconds < 1 and pong.ttl == 64 for pong in pongs)


def test_two_runs_at_once_do_not_take_each_others_replies() -> None:
    pings = [Ping("here", "127.0.0.1")] * 3000
    errors: list[str] = []

    def run() -> None:
        errors.extend(pong.error for pong in ping_all(pings) if pong.error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_what_is_not_there_is_said_and_raises_nothing() -> None:
    gone = f"namespace {NOWHERE} is gone"
    ping = Ping(NOWHERE, "127.0.0.1")
    assert [pong.error for pong in ping_all([ping])] == [gone]
    assert [a.error for a in ask_all([Request(NOWHERE, "127.0.0.1", 1, "tcp")])] == [gone]
    assert [r.error for r in refusals([MtuPath("a", "b", ping, 1400)])] == [gone]
    assert reflect([Mirror(NOWHERE, "eth0", "02:00:00:00:00:01")]) == [gone]
    segments = Segments(NOWHERE, "eth0", ("02:00:00:00:00:01",) * 2, "10.0.0.1", "10.0.0.2", 1400)
    assert [outcome.error for outcome in send_segments([segments])] == [gone]
    with Capture([NOWHERE]) as capture:
        assert capture.lost == {NOWHERE: gone}
        assert capture.drain() == []
    forget([Entry(NOWHERE, "eth0", "10.0.0.1")])
    with pytest.raises(Unavailable, match=gone):
        namespace_inode(NOWHERE)
