"""The capture's filter: it passes what is evidence, in any tunnel, and nothing else."""

from __future__ import annotations

import struct

import pytest

from netlab.probe.engines import bpf

COOKIE = b"netlabXY"
PAYLOAD = 12


def passes(program: list[bpf.Instruction], frame: bytes) -> bool:
    """What the kernel does with a frame (Documentation/networking/filter.rst)."""
    at = accumulator = index = 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x06:
            return value != 0
        if code == 0x15:
            at += if_true if accumulator == value else if_false
            continue
        if code == 0x80:
            accumulator = len(frame)
        elif code == 0x14:
            accumulator = (accumulator - value) & 0xFFFFFFFF
        elif code == 0x07:
            index = accumulator
        else:
            size = {0x20: 4, 0x28: 2, 0x30: 1, 0x40: 4, 0x50: 1}[code]
            start = (value + (index if code in (0x40, 0x50) else 0)) & 0xFFFFFFFF
            if start + size > len(frame):
                return False
            accumulator = int.from_bytes(frame[start : start + size], "big")


def echo(kind: int, before: int, ipv6: bool = False) -> bytes:
    """A frame with an echo behind so many bytes of tunnel."""
    head = bytes(14 + before + (40 if ipv6 else 20))
    return head + struct.pack("!BBHI", kind, 0, 0, 7) + COOKIE + b"0001"


# None, a VLAN tag, IPIP, GRE, IP in UDP, VXLAN, GENEVE with options, the same over IPv6, any.
@pytest.mark.parametrize("before", [0, 4, 20, 24, 28, 50, 58, 70, 78, 333])
@pytest.mark.parametrize(("ipv6", "request_type", "reply"), [(False, 8, 0), (True, 128, 129)])
def test_requests_pass_in_any_tunnel_and_replies_do_not(
    before: int, ipv6: bool, request_type: int, reply: int
) -> None:
    program = bpf.echoes(COOKIE, PAYLOAD, solicitations=False)
    assert passes(program, echo(request_type, before, ipv6))
    assert not passes(program, echo(reply, before, ipv6))
    other = echo(request_type, before, ipv6).replace(COOKIE, b"netlabZZ")
    assert not passes(program, other)
    assert not passes(program, bytes(14))


def test_solicitations_pass_where_they_are_awaited() -> None:
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    solicitation = bytes(12) + b"\x86\xdd" + bytes(6) + b"\x3a" + bytes(33) + b"\x87" + bytes(23)
    report = bytes(12) + b"\x86\xdd" + bytes(6) + b"\x00" + bytes(60)
    awaited, not_awaited = (bpf.echoes(COOKIE, PAYLOAD, solicitations=on) for on in (True, False))
    assert passes(awaited, arp)
    assert passes(awaited, solicitation)
    assert not passes(awaited, report)
    assert not passes(not_awaited, arp)
    assert passes(awaited, echo(8, 50))
    assert passes(awaited, echo(128, 70, ipv6=True))


def sealed(start: bytes, ipv6: bool = False, ethertype: bytes = b"", protocol: int = 17) -> bytes:
    """A frame with UDP whose content begins so."""
    before, after = (6, 33) if ipv6 else (9, 10)
    ip = bytes(before) + bytes([protocol]) + bytes(after)
    kind = ethertype or (b"\x86\xdd" if ipv6 else b"\x08\x00")
    return bytes(12) + kind + ip + bytes(8) + start + bytes(64)


@pytest.mark.parametrize("ipv6", [False, True])
def test_data_messages_of_wireguard_pass_where_packets_are_encrypted(ipv6: bool) -> None:
    program = bpf.echoes(COOKIE, PAYLOAD, solicitations=False, sealed=True)
    data = b"\4\0\0\0"
    assert passes(program, sealed(data, ipv6))
    assert not passes(program, sealed(b"\1\0\0\0", ipv6)), "a handshake"
    assert not passes(program, sealed(data, ipv6, protocol=6))
    assert not passes(program, sealed(data, ipv6, ethertype=b"\x81\0"))
    plain = bpf.echoes(COOKIE, PAYLOAD, solicitations=False)
    assert not passes(plain, sealed(data, ipv6))


@pytest.mark.parametrize("before", [0, 20, 28, 50, 70])
@pytest.mark.parametrize("ipv6", [False, True])
def test_what_should_be_encrypted_and_is_not_passes_at_any_length(before: int, ipv6: bool) -> None:
    program = bpf.echoes(COOKIE, PAYLOAD, solicitations=True, sealed=True)
    for filling in (0, 1, 300):
        frame = echo(8, before, ipv6) + bytes(filling) + COOKIE + b"0001"
        assert passes(program, frame)
        assert not passes(program, frame.replace(COOKIE, b"netlabZZ"))
    assert not passes(program, bytes(14))
    assert passes(program, bytes(12) + b"\x08\x06" + bytes(28)), "ARP"
