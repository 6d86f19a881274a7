"""Packets in slots of one size, looked at all together: TTLs, and TCP's segments as one packet.

What belongs together is found by columns of a struct over all slots, and not packet by packet,
which costs Python more than the kernel needs to send it. Segments are joined as by the kernel's
tcp_gro_receive (net/ipv4/tcp_offload.c), but more strictly: only what would be cut into the very
same packets again. The first one's TCP checksum is verified, which costs as much as all else; the
others' are not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache

from netlab.daemons.tunnel import take_down_ttl

VNET = struct.Struct("=BBHHHH")  # linux/virtio_net.h: flags, type, lengths, place of the checksum
PLAIN = bytes(VNET.size)  # of a packet that is as it is to be
NEEDS_CSUM, TCPV4 = 1, 1  # the checksum's field has the pseudo header's sum alone; TCP to be cut
FIN, PSH, ACK, ECE = 0x01, 0x08, 0x10, 0x40
TCP, IP_BYTES, HEADERS, LARGEST = 6, 20, 40, 65535  # protocol; bytes of headers, of a packet
OFFSET, FLAGS, CHECKSUM = 32, 33, 36  # places in a packet without IP options
_LESS = bytes(max(number - 1, 0) for number in range(256))
_MORE = bytes((number + 1) % 256 for number in range(256))
_SAME = (0, 2, 4, 6, 7)  # columns of `_segments` that do not change, of so many
_COLUMNS = 8
Parts = list[bytes | bytearray | memoryview]


def total(content: bytes | bytearray | memoryview) -> int:
    """The sum of RFC 1071 modulo 65535: 0 where a right checksum is among what is added."""
    return (int.from_bytes(content, "big") << 8 * (len(content) & 1)) % 65535


@lru_cache(256)
def _column(at: int, form: str, size: int, count: int) -> struct.Struct:
    length = struct.calcsize(f"!{form}")
    return struct.Struct(f"!{at}x{form}" + f"{size - length}x{form}" * (count - 1))


@lru_cache(256)
def _segments(headers: int, size: int, count: int) -> struct.Struct:
    """Of each: start and length, number, fragment and TTL, checksum, flow, sequence, rest."""
    one = f"4sH4sH12sI8s2x{headers - 38}s{size - headers}x"
    return struct.Struct("!" + one * count)


def destinations(slots: bytearray, size: int, count: int) -> tuple[bytes, ...]:
    """The destinations of packets."""
    return _column(16, "4s", size, count).unpack_from(slots)


def take_down_ttls(slots: bytearray, begin: int, end: int, size: int) -> bool:
    """As `take_down_ttl`, of all packets between two places; False: none is changed.

    So it is where one is at its end, or is no IPv4 packet.
    """
    starts, ttls, sums = (slots[begin + at : end : size] for at in (0, 8, 10))
    if min(ttls) <= 1 or any(start >> 4 != 4 for start in set(starts)):
        return False
    slots[begin + 8 : end : size] = ttls.translate(_LESS)
    slots[begin + 10 : end : size] = sums.translate(_MORE)
    if 0xFF in sums:
        for at in range(begin + 10, end, size):
            if not slots[at]:  # the carry goes around
                low = slots[at + 1] + 1
                slots[at], slots[at + 1] = low >> 8, low & 0xFF
    return True


def received(packets: memoryview, size: int, most: int) -> Iterator[Parts]:
    """What is to be written into a TUN device of packets that came: in order, TTLs taken down.

    Each has `size` bytes, the last what is left; of one that is longer than `most` it is the start.
    The first part of what is to be written is its virtio_net_hdr.
    """
    flags, begin = bytes(packets[FLAGS::size]), 0
    if size <= most and len(flags) > 1:
        flows = _column(12, "12s", size, len(flags)).unpack_from(packets)
        while begin < len(flags):
            end = _end_of_run(flows, flags, begin)
            run = packets[begin * size : end * size]
            joined = join(run, size) if end - begin > 1 else None
            if joined:
                yield joined
            else:
                yield from _apart(run, size, most)
            begin = end
    yield from _apart(packets[begin * size :], size, most)


def _end_of_run(flows: Sequence[bytes], flags: bytes, begin: int) -> int:
    """Of packets of one flow and with the same flags; the last may have others, as PSH."""
    rest = flags[begin:]
    end = min(begin + len(rest) - len(rest.lstrip(rest[:1])) + 1, len(flags))
    if flows[begin:end].count(flows[begin]) == end - begin:
        return end
    return next(index for index in range(begin, end) if flows[index] != flows[begin])


def _apart(packets: memoryview, size: int, most: int) -> Iterator[Parts]:
    for at in range(0, len(packets), size):
        packet = packets[at : at + size][:most]
        if len(packet) >= IP_BYTES and take_down_ttl(packet):
            yield [PLAIN, packet]


def join(packets: memoryview, size: int) -> Parts | None:
    """Segments of `size` bytes, the last with what is left, as one packet with its TTL taken down.

    None where they are not all what one packet would be cut into, or are unusual.
    """
    last = packets[(len(packets) - 1) // size * size :]
    headers = IP_BYTES + (packets[OFFSET] >> 4) * 4
    if len(last) <= headers or not _usual(packets[:size], headers):
        return None
    number, sequence = struct.unpack_from("!H18xI", packets, 4)
    count, payload = (len(packets) - len(last)) // size, size - headers
    if not _follow(packets, headers, size, count):
        return None
    header = bytearray(packets[:headers])
    _renumber(header, len(last), number + count, sequence + count * payload)
    header[FLAGS] |= last[FLAGS] & (PSH | FIN)
    header[CHECKSUM : CHECKSUM + 2] = last[CHECKSUM : CHECKSUM + 2]
    length = len(packets) - count * headers
    if header != last[:headers] or length > LARGEST:
        return None
    header[8] -= 1
    _renumber(header, length, number, sequence)
    pseudo = (total(header[12:IP_BYTES]) + TCP + length - IP_BYTES) % 65535
    struct.pack_into("!H", header, CHECKSUM, pseudo)
    vnet = VNET.pack(NEEDS_CSUM, TCPV4, headers, payload, IP_BYTES, CHECKSUM - IP_BYTES)
    starts = range(0, len(packets), size)
    return [vnet, header, *(packets[at + headers : at + size] for at in starts)]


def _usual(first: memoryview, headers: int) -> bool:
    """Whether segments may follow: TCP without IP options and in no fragment, ACK its only flag."""
    length, fragment = struct.unpack_from("!2xH2xH", first)
    if first[0] != 0x45 or length != len(first) or fragment & 0xBFFF or first[9] != TCP:
        return False
    if first[OFFSET] & 15 or first[FLAGS] & ~ECE != ACK or not HEADERS <= headers < length:
        return False
    pseudo = TCP + length - IP_BYTES
    return first[8] > 1 and not total(first[:IP_BYTES]) and not (total(first[12:]) + pseudo) % 65535


def _follow(packets: memoryview, headers: int, size: int, count: int) -> bool:
    """Whether so many are alike, but for numbers that are each the next."""
    fields = _segments(headers, size, count).unpack_from(packets)
    numbers, checksums, sequences = (fields[column::_COLUMNS] for column in (1, 3, 5))
    if any(fields[column::_COLUMNS].count(fields[column]) != count for column in _SAME):
        return False
    if numbers != tuple(range(numbers[0], numbers[0] + count)):
        return False
    payload = size - headers
    if sequences != tuple(range(sequences[0], sequences[0] + count * payload, payload)):
        return False
    sums = {sum(pair) % 65535 for pair in zip(numbers, checksums, strict=True)}
    return len(sums) == 1  # the first one's is right


def _renumber(header: bytearray, length: int, number: int, sequence: int) -> None:
    """Write these of IP and TCP, and IP's checksum."""
    struct.pack_into("!HH", header, 2, length, number & 0xFFFF)
    struct.pack_into("!I", header, 24, sequence & 0xFFFFFFFF)
    header[10:12] = bytes(2)
    struct.pack_into("!H", header, 10, -total(header[:IP_BYTES]) % 65535)
