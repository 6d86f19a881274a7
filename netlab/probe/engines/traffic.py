"""What a path costs: round trips, a TCP stream, small datagrams, each a short while.

One process holds both ends, so that what is measured is the network's time, and neither that of
waking somebody up nor the luck of having another processor at hand. Paths that are compared take
turns of a millisecond or less: a processor's clock may double meanwhile, or others may be at work,
and that is to be so for all of them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

from netlab.probe.engines.sockets import Unavailable, in_words, open_in

Protocol = Literal["tcp", "udp"]
Ends = tuple[socket.socket, socket.socket]
Around = Callable[[int], AbstractContextManager[None]]  # of the number of a path
MESSAGE = 64  # bytes of payload: of a round trip, and of a small datagram
_TRIPS = 10  # on one path, before it is the next one's turn
_BURST = 64  # datagrams
_PIECE = 1 << 20  # bytes of a stream
_WINDOW = 256 << 10  # bytes of it that are under way at once
_PATIENCE = 1.0  # seconds until what does not come is given up
_QUIET = 0.2  # seconds without a datagram after which the rest of a burst is lost
_TIMEVAL = struct.Struct("=qq")


class Path(NamedTuple):
    """From a namespace to the one that has the address."""

    source: str
    target: str
    address: str


class Broken(Exception):
    """Traffic did not come through; the message says what was seen."""


def round_trips(paths: Sequence[Path], protocol: Protocol, seconds: float) -> list[float]:
    """For each path the median round trip in seconds, of 64 bytes each way.

    `seconds` is how long all of them together take. Raises Broken.
    """
    return _in_turn(paths, protocol, seconds, _trip)


def throughputs(paths: Sequence[Path], seconds: float, around: Around) -> list[float]:
    """For each path the bytes per second of a TCP stream; `around` each piece of it.

    Raises Broken.
    """
    return _in_turn(paths, "tcp", seconds, _stream, around)


def packet_rates(paths: Sequence[Path], seconds: float) -> list[float]:
    """For each path the datagrams of 64 bytes that arrive per second, sent in bursts of 64.

    Raises Broken.
    """
    return _in_turn(paths, "udp", seconds, _burst)


def _in_turn(
    paths: Sequence[Path],
    protocol: Protocol,
    seconds: float,
    piece: Callable[[socket.socket, socket.socket], float],
    around: Around = lambda number: nullcontext(),
) -> list[float]:
    """Pieces of traffic on one path after the other; the median of what each path's tell."""
    with _broken(f"{protocol.upper()} of {len(paths)} paths"), contextlib.ExitStack() as stack:
        ends = [stack.enter_context(_ends(path, protocol)) for path in paths]
        for pair in ends:  # the first is to find routes and neighbours, and to open the window
            piece(*pair)
        told: list[list[float]] = [[] for _ in paths]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not told[-1]:
            for number, pair in enumerate(ends):
                with around(number):
                    told[number].append(piece(*pair))
        return [statistics.median(own) for own in told]


def _trip(near: socket.socket, far: socket.socket) -> float:
    """Seconds of a round trip, the median of a few."""
    message, buffer, clock = bytes(MESSAGE), bytearray(MESSAGE), time.perf_counter
    taken = []
    for _ in range(_TRIPS):
        began = clock()
        near.send(message)
        far.recv_into(buffer)
        far.send(message)
        near.recv_into(buffer)
        taken.append(clock() - began)
    return statistics.median(taken)


def _stream(near: socket.socket, far: socket.socket) -> float:
    """Bytes per second of a piece of a stream: as much is sent as the window lets, and read."""
    data, buffer = memoryview(bytes(_WINDOW)), bytearray(_WINDOW)
    sent = read = 0
    began = time.perf_counter()
    while read < _PIECE:
        room = min(_WINDOW - (sent - read), _PIECE - sent)
        if room:
            with contextlib.suppress(BlockingIOError):  # the socket has less room
                sent += near.send(data[:room], socket.MSG_DONTWAIT)
        read += far.recv_into(buffer)
    return read / (time.perf_counter() - began)


def _burst(near: socket.socket, far: socket.socket) -> float:
    """Datagrams per second of a burst, until the last that arrives.

    Late ones of another burst are told from it by what they carry.
    """
    message, buffer = os.urandom(MESSAGE), bytearray(MESSAGE)
    began = last = time.perf_counter()
    arrived = 0
    for _ in range(_BURST):
        with contextlib.suppress(BlockingIOError):  # the device's queue is full
            near.send(message)
    with contextlib.suppress(BlockingIOError):
        while arrived < _BURST:
            far.recv_into(buffer)
            if buffer == message:
                arrived += 1
                last = time.perf_counter()
    if not arrived:
        raise Broken("no datagram of a burst arrived")
    return arrived / (last - began)


@contextlib.contextmanager
def _ends(path: Path, protocol: Protocol) -> Iterator[Ends]:
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
            _limit(far, socket.SO_RCVTIMEO, _QUIET)
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
