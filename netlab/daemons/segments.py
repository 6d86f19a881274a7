"""TCP's segmentation offload as the kernel does it, for a program that carries IPv4 packets.

Packets are cut as by net/ipv4/tcp_offload.c (tcp_gso_segment), and joined as there
(tcp_gro_receive) but more strictly: only what would be cut into the very same packets again. What
is unusual, as IP options, fragments and a wrong checksum are, stays as it came.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

VNET = struct.Struct("=BBHHHH")  # linux/virtio_net.h: flags, type, lengths, place of the checksum
PLAIN = bytes(VNET.size)  # of a packet that is as it is to be
NEEDS_CSUM = 1  # the checksum's field has the sum of the pseudo header, and lacks the rest
TCPV4, ECN = 1, 0x80  # types of what is to be cut; the first segment has CWR
FIN, PSH, ACK, ECE, CWR = 0x01, 0x08, 0x10, 0x40, 0x80
TCP, IP_BYTES, LARGEST = 6, 20, 65535  # protocol; bytes of a header without options, of a packet
NUMBER, SEQUENCE = 0xFFFF, 0xFFFFFFFF  # where IP's numbers and TCP's begin again
CHECKSUM = 16  # where it is in a TCP header
_IP = struct.Struct("!HHHBBH")  # from byte 2: length, number, fragment, TTL, protocol, checksum
_TCP = struct.Struct("!IIHHH")  # from byte 4: sequence, acknowledged, control, window, checksum
_BOTH = struct.Struct("!BBHHHBBH12sIIHHHH")
_SHORT = 64  # bytes, up to which nothing is gained by halves
_HALVES = [(bits, (1 << bits) - 1) for bits in (6016, 3008, 1504)]
Parts = list[bytes | bytearray | memoryview]


def total(content: bytes | bytearray | memoryview) -> int:
    """The sum of RFC 1071 modulo 65535, which is 0 with a right checksum among it.

    Of a number by its halves: to divide it takes longer.
    """
    number = int.from_bytes(content, "big") << 8 * (len(content) & 1)
    if len(content) > _SHORT:
        for bits, ones in _HALVES:
            number = (number & ones) + (number >> bits)
    return number % 65535


def complete(packet: memoryview, start: int, offset: int) -> None:
    """Finish a checksum that was left to the device; as UDP has it, 0 is written 65535."""
    struct.pack_into("!H", packet, start + offset, -total(packet[start:]) % 65535 or 65535)


def cut(packet: memoryview, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """The segments of a TCP packet, each with `size` bytes but the last: headers and payload."""
    at, end = (packet[0] & 15) * 4, len(packet)
    headers = bytearray(packet[: at + (packet[at + 12] >> 4) * 4])
    start = len(headers)
    _, number, fragment, ttl, protocol, _ = _IP.unpack_from(headers, 2)
    sequence, acknowledged, control, window, _ = _TCP.unpack_from(headers, at + 4)
    _IP.pack_into(headers, 2, 0, 0, fragment, ttl, protocol, 0)
    _TCP.pack_into(headers, at + 4, 0, acknowledged, 0, window, 0)
    ip, tcp = total(headers[:at]), total(headers[12:20]) + protocol + total(headers[at:])
    for begin in range(start, end, size):
        payload = packet[begin : begin + size]
        flags = control & ~CWR if begin > start else control
        if begin + size < end:
            flags &= ~(FIN | PSH)
        length = start + len(payload)
        checksum = -(ip + length + number) % 65535
        _IP.pack_into(headers, 2, length, number, fragment, ttl, protocol, checksum)
        checksum = tcp + length - at + (sequence >> 16) + (sequence & 0xFFFF) + flags
        checksum = -(checksum + total(payload)) % 65535
        _TCP.pack_into(headers, at + 4, sequence, acknowledged, flags, window, checksum)
        yield bytes(headers), payload
        number = number + 1 & NUMBER
        sequence = sequence + size & SEQUENCE


def join(packets: Iterable[memoryview]) -> Iterator[Parts]:
    """Packets for a TUN device, in their order: segments that follow each other as one.

    The first part of each is its virtio_net_hdr.
    """
    run: _Run | None = None
    for packet in packets:
        segment = _read(packet)
        if run and segment and run.takes(segment):
            run.add(segment, packet)
            continue
        if run:
            yield run.parts()
        run = _Run(segment, packet) if segment else None
        if not run:
            yield [PLAIN, packet]
    if run:
        yield run.parts()


class _Segment(NamedTuple):
    """What of a segment changes from one to the next, and by `common` what does not."""

    common: tuple[object, ...]
    headers: int  # bytes
    size: int  # bytes of its payload
    number: int
    sequence: int
    flags: int


def _read(packet: memoryview) -> _Segment | None:
    """None for all that is not joined with others."""
    if len(packet) < _BOTH.size:
        return None
    fields = _BOTH.unpack_from(packet)
    version, tos, length, number, fragment, ttl, protocol, _, flow = fields[:9]
    sequence, acknowledged, control, window, _, urgent = fields[9:]
    headers = IP_BYTES + (control >> 12) * 4
    if version != 0x45 or protocol != TCP or length != len(packet) or fragment & 0xBFFF:
        return None
    if control & 0xFFF & ~(FIN | PSH | ECE | CWR) != ACK or not _BOTH.size <= headers < length:
        return None
    if total(packet[:IP_BYTES]) or (total(packet[12:]) + TCP + length - IP_BYTES) % 65535:
        return None
    kept, options = control & ~(FIN | PSH | CWR), bytes(packet[_BOTH.size : headers])
    common = (tos, fragment, ttl, flow, acknowledged, kept, window, urgent, options)
    return _Segment(common, headers, length - headers, number, sequence, control & 0xFF)


class _Run:
    """Segments of one packet."""

    def __init__(self, first: _Segment, packet: memoryview) -> None:
        self.first = self.last = first
        self.length = len(packet)
        self.packets = [packet]

    def takes(self, segment: _Segment) -> bool:
        first, last = self.first, self.last
        return (
            segment.sequence == last.sequence + last.size & SEQUENCE
            and segment.common == first.common
            and segment.number == last.number + 1 & NUMBER
            and last.size == first.size >= segment.size
            and not (last.flags & (FIN | PSH) or segment.flags & CWR)
            and self.length + segment.size <= LARGEST
        )

    def add(self, segment: _Segment, packet: memoryview) -> None:
        self.last = segment
        self.length += segment.size
        self.packets.append(packet)

    def parts(self) -> Parts:
        first, [packet, *others] = self.first, self.packets
        if not others:
            return [PLAIN, packet]
        kind = TCPV4 | (ECN if first.flags & CWR else 0)
        vnet = VNET.pack(NEEDS_CSUM, kind, first.headers, first.size, IP_BYTES, CHECKSUM)
        headers = bytearray(packet[: first.headers])
        headers[IP_BYTES + 13] |= self.last.flags
        struct.pack_into("!H", headers, 2, self.length)
        struct.pack_into("!H", headers, 10, 0)
        struct.pack_into("!H", headers, 10, -total(headers[:IP_BYTES]) % 65535)
        pseudo = total(headers[12:IP_BYTES]) + TCP + self.length - IP_BYTES
        struct.pack_into("!H", headers, IP_BYTES + CHECKSUM, pseudo % 65535)
        payloads = [segment[first.headers :] for segment in self.packets]
        return [vnet, headers, *payloads]
