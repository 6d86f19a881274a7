"""Frames as they pass a device: AF_PACKET sockets, read again and again while a probe runs."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Self

from netlab.probe.engines.bpf import Instruction, attach
from netlab.probe.engines.sockets import Unavailable, close_aside, open_in, widen

Direction = Literal["in", "out"]
_EVERY_PROTOCOL = socket.htons(0x0003)  # ETH_P_ALL
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_FRAME = 65536 + 14  # bytes; a frame that the kernel has yet to segment may be this long


class Captured(NamedTuple):
    """A frame on `device` of `namespace`; `in` is what the device received."""

    namespace: str
    device: str
    direction: Direction
    frame: bytes


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
    """

    def __init__(self, namespaces: Iterable[str], program: Sequence[Instruction] = ()) -> None:
        self.lost: dict[str, str] = {}
        self._sockets: dict[str, socket.socket] = {}
        for namespace in namespaces:
            try:
                self._sockets[namespace] = open_all(namespace, program)
            except Unavailable as error:
                self.lost[namespace] = str(error)
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
                    frame, sender = opened.recvfrom(_FRAME)
                except OSError:
                    break
                direction: Direction = "out" if sender[2] == socket.PACKET_OUTGOING else "in"
                self._frames[namespace].append(Captured(namespace, sender[0], direction, frame))

    @property
    def dropped(self) -> int:
        """How many frames found no room in a socket, since this was last asked."""
        return sum(
            struct.unpack("II", opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
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
