"""Attributes of netlink messages as they are: numbers and bytes, whatever they mean."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEAD = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF


def attributes(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message or nest from some byte on: number and content."""
    while start + 4 <= len(data):
        length, number = _HEAD.unpack_from(data, start)
        if length < 4:
            return
        yield number & _TYPE_MASK, data[start + 4 : start + length]
        start += (length + 3) & ~3


def attribute(number: int, data: bytes) -> bytes:
    return _HEAD.pack(4 + len(data), number) + data + bytes(-len(data) % 4)
