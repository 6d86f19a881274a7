"""Frames as they pass a device: AF_PACKET sockets, opened before a probe and drained after it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, NamedTuple, Self

from netlab.probe.sockets import Unavailable, close_all, open_packet

Direction = Literal["in", "out"]
_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL
_FRAME = 65536 + 14  # bytes; a frame that the kernel has yet to segment may be this long


class Captured(NamedTuple):
    """A frame on `device` of `namespace`; `in` is what the device received."""

    namespace: str
    device: str
    direction: Direction
    frame: bytes


class Capture:
    """Captures on several devices at once. `lost` says why a device could not be captured on."""

    def __init__(self, devices: Iterable[tuple[str, str]]) -> None:
        self.lost: dict[tuple[str, str], str] = {}
        self._sockets: dict[tuple[str, str], socket.socket] = {}
        for device in devices:
            try:
                self._sockets[device] = open_packet(*device, _EVERY_PROTOCOL)
            except Unavailable as error:
                self.lost[device] = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        close_all(self._sockets.values())

    def drain(self) -> list[Captured]:
        """All frames that have passed so far, device by device in their order."""
        frames = []
        for (namespace, device), opened in self._sockets.items():
            while True:
                try:
                    frame, sender = opened.recvfrom(_FRAME)
                except OSError:
                    break
                direction: Direction = "out" if sender[2] == socket.PACKET_OUTGOING else "in"
                frames.append(Captured(namespace, device, direction, frame))
        return frames
