"""What flannel-udp's quick program makes of packets that come together; scapy reads it too."""

from __future__ import annotations

import ast
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from netlab.daemons import source
from netlab.daemons.segments import PLAIN, VNET, received, take_down_ttls
from netlab.daemons.tunnel import take_down_ttl
from netlab.dataplane.flannel.udp import FAST, STRICT

TIMES = [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]
MTU = 1472


def segments(
    payloads: list[bytes], last: str = "A", options: Any = TIMES, **ip: Any
) -> list[bytes]:
    """Of one flow, as the kernel cuts them: each made by scapy, checksums too."""
    number, sequence, made = ip.pop("id", 100), ip.pop("seq", 1000), []
    for index, payload in enumerate(payloads):
        head = IP(src="10.244.0.2", dst="10.244.1.2", id=number + index & 0xFFFF, **ip)
        tcp = TCP(sport=6, dport=80, seq=sequence & 0xFFFFFFFF, ack=5, options=options)
        tcp.flags = last if index == len(payloads) - 1 else "A"
        made.append(bytes(head / tcp / Raw(payload)))
        sequence += len(payload)
    return made


def written(packets: list[bytes], most: int = MTU) -> list[tuple[bytes, bytes]]:
    """Pairs of virtio_net_hdr and packet."""
    size = len(packets[0])
    came = memoryview(bytearray(b"".join(packets)))
    return [
        (bytes(vnet), b"".join(map(bytes, parts))) for vnet, *parts in received(came, size, most)
    ]


def cut(vnet: bytes, packet: bytes) -> list[bytes]:
    """What a kernel makes of it, by scapy."""
    if vnet == PLAIN:
        return [plain(packet)]
    flags, kind, headers, size, start, offset = VNET.unpack(vnet)
    read = IP(packet)
    assert (flags, kind, start, offset) == (1, 1, 20, 16)
    assert headers == 20 + read[TCP].dataofs * 4
    assert read.len == len(packet)
    payload, made = packet[headers:], []
    for begin in range(0, len(payload), size):
        one = IP(packet[:headers])
        one.id, one[TCP].seq = (
            (read.id + begin // size) & 0xFFFF,
            (read[TCP].seq + begin) & 0xFFFFFFFF,
        )
        if begin + size < len(payload):
            one[TCP].flags = str(read[TCP].flags).replace("P", "").replace("F", "")
        del one.len, one.chksum, one[TCP].chksum
        made.append(bytes(one / Raw(payload[begin : begin + size])))
    return made


def less(packets: list[bytes]) -> list[bytes]:
    """With their TTLs taken down one by one; those at their end are none."""
    copies = [bytearray(packet) for packet in packets]
    return [plain(copy) for copy in copies if take_down_ttl(copy)]


def plain(packet: bytes | bytearray) -> bytes:
    """With 0 for a checksum of 65535, which is as right and comes of adding to the old one."""
    return bytes(packet[:10] + packet[10:12].replace(b"\xff\xff", b"\0\0") + packet[12:])


def test_segments_are_joined_as_the_kernel_wants_them() -> None:
    came = segments([bytes(1420)] * 3 + [b"end"], last="PA", ttl=62)
    [(vnet, packet)] = written(came)
    assert VNET.unpack(vnet) == (1, 1, 52, 1420, 20, 16)
    read = IP(packet)
    assert (read.ttl, read.len, read.id) == (61, 52 + 3 * 1420 + 3, 100)
    assert (read[TCP].seq, read[TCP].ack, str(read[TCP].flags)) == (1000, 5, "PA")
    assert read[TCP].options == TIMES
    sum_of_ip = read.chksum
    del read.chksum
    assert IP(bytes(read)).chksum == sum_of_ip
    pseudo = packet[12:20] + struct.pack("!HH", 6, len(packet) - 20)
    total = sum(struct.unpack("!6H", pseudo))
    assert int.from_bytes(packet[36:38], "big") == total % 65535, "the pseudo header's alone"


@given(
    size=st.integers(1, 40),
    count=st.integers(1, 8),
    rest=st.integers(0, 40),
    last=st.sampled_from(["A", "PA", "FA", "FPA", "EA", "SA"]),
    options=st.sampled_from([TIMES, []]),
    ip=st.fixed_dictionaries(
        {
            "ttl": st.sampled_from([1, 2, 62, 255]),
            "tos": st.integers(0, 255),
            "flags": st.sampled_from(["DF", "", "MF"]),
            "id": st.sampled_from([0, 100, 65533]),
            "seq": st.sampled_from([0, 1000, 2**32 - 70]),
        }
    ),
    data=st.data(),
)
def test_what_is_joined_is_cut_into_the_same_packets(
    size: int, count: int, rest: int, last: str, options: Any, ip: dict[str, Any], data: Any
) -> None:
    sizes = [size] * count + ([min(rest, size)] if rest else [])
    payloads = [data.draw(st.binary(min_size=n, max_size=n)) for n in sizes]
    came = segments(payloads, last=last, options=options, **ip)
    assert [one for pair in written(came) for one in cut(*pair)] == less(came)


@given(
    index=st.integers(0, 4), at=st.integers(0, 51), bit=st.integers(0, 7), count=st.integers(2, 5)
)
def test_one_bit_of_a_header_changes_nothing_but_what_is_joined(
    index: int, at: int, bit: int, count: int
) -> None:
    """All but the TCP checksums of segments that are not the first of those joined."""
    came = segments([bytes(range(100))] * count)
    changed = bytearray(came[index % count])
    changed[at] ^= 1 << bit
    came[index % count] = bytes(changed)
    made = [one for pair in written(came) for one in cut(*pair)]
    if at in (33, 36, 37) and index % count:  # flags that the last may have, and the checksum
        assert [one[:36] + one[38:] for one in made] == [one[:36] + one[38:] for one in less(came)]
    else:
        assert made == less(came)


def test_a_wrong_checksum_of_the_first_leaves_all_apart() -> None:
    came = segments([bytes(100)] * 3)
    came[0] = came[0][:-1] + b"x"
    assert written(came) == [(PLAIN, packet) for packet in less(came)]


def test_flows_are_joined_each_by_itself_and_in_their_order() -> None:
    first = segments([bytes(200)] * 3, last="PA")
    others = [bytes(packet) for packet in first]
    for index, packet in enumerate(others):
        other = IP(packet)
        other[TCP].sport = 9
        del other[TCP].chksum
        others[index] = bytes(other)
    made = written(first[:2] + others + first[2:])
    assert [len(packet) for _, packet in made] == [452, 652, 252]
    assert [one for pair in made for one in cut(*pair)] == less(first[:2] + others + first[2:])


def test_what_is_no_tcp_stays_as_it_is() -> None:
    datagram = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9) / Raw(bytes(60)))
    assert written([datagram] * 3) == [(PLAIN, packet) for packet in less([datagram] * 3)]
    assert written([b"x" * 19] * 3) == []
    assert written([datagram] * 2, most=50) == [(PLAIN, less([datagram])[0][:50])] * 2


@given(
    ttls=st.lists(st.integers(0, 255), min_size=1, max_size=6),
    sums=st.lists(st.sampled_from([0, 0xFE12, 0xFEFF, 0xFF00, 0xFFFF]), min_size=6, max_size=6),
    begin=st.sampled_from([0, 32, 64]),
)
def test_ttls_are_taken_down_together_as_one_by_one(
    ttls: list[int], sums: list[int], begin: int
) -> None:
    packets = [
        struct.pack("!BxHHHBBH", 0x45, 32, 0, 0, ttl, 6, checksum).ljust(32, b"x")
        for ttl, checksum in zip(ttls, sums, strict=False)
    ]
    whole = bytearray(begin) + b"".join(packets)
    before, end = bytes(whole), len(whole)
    if take_down_ttls(whole, begin, end, 32):
        single = [bytearray(packet) for packet in packets]
        assert all(take_down_ttl(packet) for packet in single)
        assert bytes(whole) == bytes(begin) + b"".join(single)
    else:
        assert min(ttls) <= 1
        assert whole == before


def test_ttls_of_what_is_not_ipv4_are_left_to_who_looks_at_one() -> None:
    packets = bytearray(segments([b"12"])[0] * 2)
    packets[len(packets) // 2] = 0x60
    before = bytes(packets)
    assert not take_down_ttls(packets, 0, len(packets), len(packets) // 2)
    assert packets == before


@pytest.mark.parametrize("programs", [STRICT, FAST])
def test_a_program_has_beside_it_what_it_imports(programs: tuple[str, ...]) -> None:
    for program in programs:
        text = source(program)
        found = {
            node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)
        }
        own = {name for name in ("offload", "segments", "tunnel") if name in found}
        assert own <= set(programs)
        assert not any((name or "").startswith("netlab") for name in found)
