"""What frames on the wire are, read by the standard library alone: scapy is not asked.

So that what netlab shows as evidence, which scapy decodes, has a second reader.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

IPV4, UDP = 0x0800, 17
VXLAN_FLAGS = 0x08  # RFC 7348: the VNI is valid, all else is reserved


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet, with the MACs of its frame."""

    macs: tuple[str, str]  # from, to
    source: str
    target: str
    protocol: int
    payload: bytes


@dataclass(frozen=True)
class Tunnelled:
    outer: Packet
    port: int
    vni: int
    inner: Packet


def packets(frames: Iterable[bytes]) -> Iterator[Packet]:
    """The IPv4 packets among them. Raises ValueError for one that is longer than its frame."""
    for frame in frames:
        if int.from_bytes(frame[12:14], "big") == IPV4:
            header = 4 * (frame[14] & 15)
            length = int.from_bytes(frame[16:18], "big")
            if length > len(frame) - 14:
                raise ValueError(f"{length} bytes of IPv4 in {len(frame)}: {frame.hex()}")
            yield Packet(
                (frame[6:12].hex(":"), frame[:6].hex(":")),
                socket.inet_ntoa(frame[26:30]),
                socket.inet_ntoa(frame[30:34]),
                frame[23],
                frame[14 + header : 14 + length],
            )


def tunnelled(outside: Iterable[Packet], port: int) -> Iterator[Tunnelled]:
    """The IPv4 packets that travel in VXLAN to this UDP port."""
    for outer in outside:
        if outer.protocol != UDP:
            continue
        _from, to, length, _checksum = struct.unpack("!4H", outer.payload[:8])
        if to != port:
            continue
        flags, vni = struct.unpack("!BxxxI", outer.payload[8:16])
        assert (flags, vni & 0xFF, length) == (VXLAN_FLAGS, 0, len(outer.payload))
        for inner in packets([outer.payload[16:]]):
            yield Tunnelled(outer, to, vni >> 8, inner)
