"""What the types share: attributes as they are, and an object with the message that deletes it."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from netlab.kernel.netlink import Request
from netlab.plan.routing import Extra

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


def unnamed(values: dict[int, bytes]) -> list[str]:
    """Attributes that are not worth a name, in words."""
    return [f"attribute-{number} 0x{data.hex()}" for number, data in values.items()]


def extra(
    kind: str, words: str, deletion: int, body: bytes, link: str = "", protocol: int = 0
) -> Extra:
    """An object, and the number and body of the message that deletes it."""
    return Extra(kind, words, link, protocol, deletion, body.hex())


def removal(item: Extra) -> Request:
    return Request(item.deletion, 0, bytes.fromhex(item.body), item)
