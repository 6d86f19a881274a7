"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng), with what captures of several devices need:
the devices' names, nanoseconds, directions, and how many frames were lost. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

ETHERNET, RAW = 1, 101  # link types; RAW begins with an IP header of either family
_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_BYTE_ORDER = 0x1A2B3C4D
_UNKNOWN_LENGTH = 0xFFFFFFFFFFFFFFFF
_NANOSECONDS = b"\x09"
# Codes of options: of all blocks, of the section, of interfaces, packets and statistics.
_END, _COMMENT = 0, 1
_PROGRAM = 4
_NAME, _RESOLUTION, _FILTER = 2, 9, 11
_FLAGS = 2
_DROPPED = 5
INBOUND, OUTBOUND = 1, 2  # of a packet's flags, the two lowest bits
Option = tuple[int, bytes]


class Frame(NamedTuple):
    """A frame as it was captured: `time` in nanoseconds since 1970, `device` by its number.

    `flags` are those of its block. `length` is what it had on the wire, in bytes: `data` has less
    where that was more than can be captured.
    """

    time: int
    device: int
    flags: int
    data: bytes
    length: int

    @property
    def outbound(self) -> bool:
        return self.flags & 3 == OUTBOUND


def section(program: str, comment: str = "") -> bytes:
    """How a file begins."""
    head = struct.pack("=IHHQ", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH)
    remark = [(_COMMENT, comment.encode())] if comment else []
    return _block(_SECTION, head, [*remark, (_PROGRAM, program.encode())])


def interface(name: str, link: int, expression: str = "") -> bytes:
    """A device; they are numbered from 0 as they come in the file. `link` is ETHERNET or RAW."""
    options = [(_NAME, name.encode()), (_RESOLUTION, _NANOSECONDS)]
    if expression:
        options.append((_FILTER, b"\0" + expression.encode()))  # 0: in libpcap's language
    return _block(_INTERFACE, struct.pack("=HHI", link, 0, 0), options)


def packet(frame: Frame) -> bytes:
    """A frame of a device that the file has told of."""
    high, low = divmod(frame.time, 1 << 32)
    head = struct.pack("=5I", frame.device, high, low, len(frame.data), frame.length)
    flags = (_FLAGS, struct.pack("=I", frame.flags))
    return _block(_PACKET, head + _padded(frame.data), [flags])


def statistics(device: int, time: int, dropped: int, comment: str = "") -> bytes:
    """How many frames of a device were lost until `time`, for want of room."""
    high, low = divmod(time, 1 << 32)
    remark = [(_COMMENT, comment.encode())] if comment else []
    options = [*remark, (_DROPPED, struct.pack("=Q", dropped))]
    return _block(_STATISTICS, struct.pack("=3I", device, high, low), options)


def _block(kind: int, body: bytes, options: Iterable[Option]) -> bytes:
    listed = b"".join(
        struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options
    )
    whole = body + listed + struct.pack("=HH", _END, 0)
    length = len(whole) + 12
    return struct.pack("=II", kind, length) + whole + struct.pack("=I", length)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
