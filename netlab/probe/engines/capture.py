"""Frames as they pass a device: AF_PACKET sockets, read again and again while a probe runs."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Self

from netlab.probe.engines.bpf import WITH_ETHERNET, Instruction, attach
from netlab.probe.engines.sockets import Unavailable, close_aside, open_in, widen

Direction = Literal["in", "out"]
_EVERY_PROTOCOL = socket.htons(0x0003)  # ETH_P_ALL
SOL_PACKET, _PACKET_STATISTICS = 263, 6
_FRAME = 65536 + 14  # bytes; a frame that the kernel has yet to segment may be this long
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("=qq")
_TOLD = socket.CMSG_SPACE(TIMESPEC.size)  # bytes
_MOMENT, _TRIES = 0.0005, 2000  # seconds
_ETHERNET_HEADER = 14  # bytes


class Captured(NamedTuple):
    """A frame on `device` of `namespace`; `in` is what the device received.

    `seconds` is when, after the epoch, where that was asked for. Without `ethernet` the frame is a
    packet of a device that has no other header, as a tunnel's.
    """

    namespace: str
    device: str
    direction: Direction
    frame: bytes
    seconds: float = 0.0
    ethernet: bool = True

    @property
    def packet_at(self) -> int:
        """Where in the frame the packet begins, after the device's own header."""
        return _ETHERNET_HEADER if self.ethernet else 0


def open_all(namespace: str, program: Sequence[Instruction] = ()) -> socket.socket:
    """A socket that has the frames of all devices of a namespace, those made later too.

    Raises Unavailable. What passed before the program was in place may be in it.
    """
    opened = open_in(namespace, socket.AF_PACKET, socket.SOCK_RAW, _EVERY_PROTOCOL)
    widen(opened)
    if program:
        attach(opened, program)
    return opened


class Capture:
    """Captures on all devices of some namespaces, one socket each; `lost` says why one is not.

    `program` is what the kernel's own filter lets through (`bpf`); all, where there is none.
    `timed` has the kernel note when each frame passed.
    """

    def __init__(
        self,
        namespaces: Iterable[str],
        program: Sequence[Instruction] = (),
        *,
        timed: bool = False,
    ) -> None:
        self.lost: dict[str, str] = {}
        self._sockets: dict[str, socket.socket] = {}
        for namespace in namespaces:
            try:
                self._sockets[namespace] = open_all(namespace, program)
            except Unavailable as error:
                self.lost[namespace] = str(error)
                continue
            if timed:
                self._sockets[namespace].setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._frames: dict[str, list[Captured]] = {name: [] for name in self._sockets}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        close_aside(self._sockets.values())

    def read(self) -> None:
        """Take what has passed so far, so that there is room for more: where the sockets could not
        be widened, as for a user who is not root, they hold some 230 frames."""
        for namespace, opened in self._sockets.items():
            while True:
                try:
                    frame, told, _, sender = opened.recvmsg(_FRAME, _TOLD)
                except OSError:
                    break
                device, _, kind, hardware, *_ = sender
                direction: Direction = "out" if kind == socket.PACKET_OUTGOING else "in"
                found = Captured(
                    namespace, device, direction, frame, _when(told), hardware in WITH_ETHERNET
                )
                self._frames[namespace].append(found)

    @property
    def dropped(self) -> int:
        """How many frames found no room in a socket, since this was last asked."""
        return sum(
            struct.unpack("II", opened.getsockopt(SOL_PACKET, _PACKET_STATISTICS, 8))[1]
            for opened in self._sockets.values()
        )

    def drain(self) -> list[Captured]:
        """The frames that passed since the last time, namespace by namespace in their order."""
        self.read()
        frames = [frame for frames in self._frames.values() for frame in frames]
        self._frames = {name: [] for name in self._sockets}
        return frames

    @property
    def namespaces(self) -> Iterable[str]:
        return self._sockets


@contextlib.contextmanager
def timing(namespace: str) -> Iterator[None]:
    """Meanwhile the kernel notes when each frame passes.

    Without, it may begin with that some frames late, as it leaves it to a worker of its own (Linux,
    net_enable_timestamp): such a frame would have the time at which it was read. It is asked by
    datagrams that the namespace sends to itself, and that are read a moment later.
    Raises Unavailable.
    """
    with open_in(namespace, socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        with contextlib.suppress(OSError):  # its loopback device is down
            opened.bind(("127.0.0.1", 0))
            opened.connect(opened.getsockname())
            for _ in range(_TRIES):
                opened.send(b"?")
                time.sleep(_MOMENT)
                if time.time() - _when(opened.recvmsg(1, _TOLD)[1]) > _MOMENT / 2:
                    break
        yield


def _when(told: Iterable[tuple[int, int, bytes]]) -> float:
    """The time in a message's ancillary data, in seconds after the epoch; 0 without one."""
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack(data)
            return float(seconds + nanoseconds / 1e9)
    return 0.0
