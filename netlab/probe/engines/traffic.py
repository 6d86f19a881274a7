"""What a path costs: round trips, a TCP stream, small datagrams; each a short piece of real traffic.

A round trip is made by one process that holds both ends, so that it is the network's time and not
that of waking somebody up. A stream and datagrams have a receiver in a process of its own, and are
counted where they arrive.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from netlab.probe.engines.parallel import forked
from netlab.probe.engines.sockets import Unavailable, dropped, in_words, open_in

Protocol = Literal["tcp", "udp"]
MESSAGE = 64  # bytes of payload: of a round trip, and of a small datagram
_TRIPS = 10  # on one path, before it is the next one's turn
_PATIENCE = 1.0  # seconds until what does not come is given up
_QUIET = 0.05  # seconds without a datagram after which no more are awaited
_LONGEST = 20.0  # seconds that a stream may take to drain
_CHUNK = bytes(256 << 10)
_TIMEVAL = struct.Struct("=qq")
_COUNTED = struct.Struct("=Qd")  # how many, in how many seconds


class Path(NamedTuple):
    """From a namespace to the one that has the address."""

    source: str
    target: str
    address: str


class Broken(Exception):
    """Traffic did not come through; the message says what was seen."""


def round_trips(paths: Sequence[Path], protocol: Protocol, seconds: float) -> list[float]:
    """For each path the median round trip in seconds, of 64 bytes each way.

    A few are made on one path and then on the next, for so many `seconds` in all: a processor's
    clock may double meanwhile, and is to do so for all of them. Raises Broken.
    """
    with _broken(f"{protocol.upper()} round trip"), contextlib.ExitStack() as stack:
        ends = [stack.enter_context(_ends(path, protocol)) for path in paths]
        taken: list[list[float]] = [[] for _ in paths]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not taken[-1]:
            for pair, own in zip(ends, taken, strict=True):
                own += _some_trips(*pair)
        return [statistics.median(own) for own in taken]


def _some_trips(near: socket.socket, far: socket.socket) -> Iterator[float]:
    message, buffer, clock = bytes(MESSAGE), bytearray(MESSAGE), time.perf_counter
    for _ in range(_TRIPS):
        began = clock()
        near.send(message)
        far.recv_into(buffer)
        far.send(message)
        near.recv_into(buffer)
        yield clock() - began


def throughput(path: Path, seconds: float) -> float:
    """Bytes per second of one TCP stream of some seconds, as its receiver gets them.

    Raises Broken.
    """

    def send(near: socket.socket) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            near.send(_CHUNK)
        near.shutdown(socket.SHUT_WR)

    with _broken("TCP stream"), _ends(path, "tcp") as (near, far):
        return _counted(near, far, send, _drain)


def packet_rate(path: Path, seconds: float) -> float:
    """Datagrams of 64 bytes per second that arrive of those sent, as fast as one sender can.

    What arrives and finds no room at its receiver has crossed too, and counts. Raises Broken.
    """

    def send(near: socket.socket) -> None:
        message, end = bytes(MESSAGE), time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(16):
                with contextlib.suppress(BlockingIOError):  # the device's queue is full
                    near.send(message)

    with _broken("datagrams"), _ends(path, "udp") as (near, far):
        return _counted(near, far, send, _gather)


def _counted(
    near: socket.socket,
    far: socket.socket,
    send: Callable[[socket.socket], None],
    receive: Callable[[socket.socket], tuple[int, float]],
) -> float:
    """The rate that a process which receives tells, while this one sends."""
    out, into = os.pipe()
    caller = os.getpid()

    def work() -> None:
        near.close()
        os.write(into, _COUNTED.pack(*receive(far)))

    pid = forked(caller, work)
    os.close(into)
    try:
        far.close()
        send(near)
        told = os.read(out, _COUNTED.size)
    finally:
        near.close()
        os.close(out)
        os.waitpid(pid, 0)
    count, seconds = _COUNTED.unpack(told) if told else (0, 0.0)
    if count < 2 or seconds <= 0:
        raise Broken("nothing arrived")
    return float(count / seconds)


def _drain(far: socket.socket) -> tuple[int, float]:
    """How many bytes come after the first ones until the stream ends, and in how many seconds."""
    buffer = bytearray(1 << 20)
    far.recv_into(buffer)
    began, total = time.perf_counter(), 0
    while (size := far.recv_into(buffer)) and time.perf_counter() - began < _LONGEST:
        total += size
    return total, time.perf_counter() - began


def _gather(far: socket.socket) -> tuple[int, float]:
    """How many datagrams come after the first one, and how long until the last."""
    buffer = bytearray(MESSAGE)
    far.recv_into(buffer)
    _limit(far, socket.SO_RCVTIMEO, _QUIET)
    began = last = time.perf_counter()
    count = 0
    with contextlib.suppress(BlockingIOError):
        while last - began < _LONGEST:
            far.recv_into(buffer)
            count += 1
            last = time.perf_counter()
    return count + dropped(far), last - began


@contextlib.contextmanager
def _ends(path: Path, protocol: Protocol) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected with each other by the path."""
    with contextlib.ExitStack() as stack:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in path.address else socket.AF_INET
        far, near = (
            stack.enter_context(_blocking(space, family, kind))
            for space in (path.target, path.source)
        )
        far.bind((path.address, 0))
        if protocol == "tcp":
            far.listen(1)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.connect(far.getsockname())
        if protocol == "tcp":
            far = stack.enter_context(far.accept()[0])
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _limit(far, socket.SO_RCVTIMEO, _PATIENCE)
        else:
            near.send(bytes(MESSAGE))
            far.connect(far.recvfrom(MESSAGE)[1])
        yield near, far


def _blocking(space: str, family: int, kind: int) -> socket.socket:
    """A socket whose calls give up after some time, by the kernel's clock and not a poll's."""
    opened = open_in(space, family, kind)
    opened.setblocking(True)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        _limit(opened, option, _PATIENCE)
    return opened


def _limit(opened: socket.socket, option: int, seconds: float) -> None:
    whole, part = divmod(int(seconds * 1_000_000), 1_000_000)
    opened.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(whole, part))


@contextlib.contextmanager
def _broken(what: str) -> Iterator[None]:
    try:
        yield
    except (Broken, Unavailable) as error:
        raise Broken(f"{what}: {error}") from None
    except BlockingIOError:
        raise Broken(f"{what}: nothing came in {_PATIENCE:g} s") from None
    except OSError as error:
        raise Broken(f"{what}: {in_words(error)}") from None
