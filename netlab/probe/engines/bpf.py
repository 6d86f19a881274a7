"""Classic BPF programs (linux/filter.h) that pass to a capture only what can be evidence."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from netlab.kernel.devices.base import ARPHRD_ETHER, ARPHRD_LOOPBACK

SO_ATTACH_FILTER = 26
# BPF_LD | BPF_W, BPF_H, BPF_B | BPF_ABS: from the frame's start
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_WORD_X, _LOAD_BYTE_X = 0x40, 0x50  # BPF_LD | BPF_W, BPF_B | BPF_IND: from the index register
_LOAD_LENGTH, _SUBTRACT, _TO_X = 0x80, 0x14, 0x07
_JUMP, _JUMP_EQUAL, _RETURN = 0x05, 0x15, 0x06
# What the kernel knows of a frame beside its bytes (SKF_AD_OFF): its device, and that one's type.
_DEVICE, _DEVICE_TYPE = 0xFFFFF000 + 8, 0xFFFFF000 + 28
# The types of devices whose frames have an Ethernet header.
WITH_ETHERNET = (ARPHRD_ETHER, ARPHRD_LOOPBACK)
_WHOLE = 0xFFFFFFFF
_ICMP_HEADER = 8
_ECHO, _ECHO6 = 8, 128  # the types of an echo request
_ARP, _IPV6 = 0x0806, 0x86DD
_ICMPV6, _SOLICITATION = 58, 135
_IPV4, _UDP = 0x0800, 17
_WIREGUARD = 0x04000000  # how a WireGuard data message begins

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value

REFUSE: tuple[Instruction, ...] = ((_RETURN, 0, 0, 0),)
PASS: tuple[Instruction, ...] = ((_RETURN, 0, 0, _WHOLE),)


def on_devices(
    devices: Sequence[int], ethernet: Sequence[Instruction], raw: Sequence[Instruction]
) -> list[Instruction]:
    """Pass frames of some devices, by their index, or of all where there is none.

    Of those, what has an Ethernet header passes by the one program and all else by the other.
    """
    program: list[Instruction] = [(_LOAD_WORD, 0, 0, _DEVICE)] if devices else []
    for left, device in enumerate(reversed(devices)):
        rest = 2 * left + 1  # the tests of the others, and the refusal after them
        program[1:1] = [(_JUMP_EQUAL, 0, 1, device), (_JUMP, 0, 0, rest)]
    program += REFUSE if devices else ()
    return [
        *program,
        (_LOAD_WORD, 0, 0, _DEVICE_TYPE),
        *((_JUMP_EQUAL, 2, 0, ARPHRD_ETHER), (_JUMP_EQUAL, 1, 0, ARPHRD_LOOPBACK)),
        (_JUMP, 0, 0, len(ethernet)),
        *ethernet,
        *raw,
    ]


def echoes(
    cookie: bytes, payload: int, *, solicitations: bool, sealed: bool = False
) -> list[Instruction]:
    """Pass echo requests of `payload` bytes of payload, which begins with an 8-byte cookie.

    They are looked for from the frame's end, so in whatever they are encapsulated. With
    `solicitations` also ARP, and IPv6's solicitations of neighbours. With `sealed` also WireGuard's
    data messages, and all that ends as such a payload does.
    """
    first, second = struct.unpack("!II", cookie)
    program: list[Instruction] = []
    if solicitations:
        program += [
            (_LOAD_HALF, 0, 0, 12),
            *((_JUMP_EQUAL, 0, 1, _ARP), (_RETURN, 0, 0, _WHOLE)),
            *((_JUMP_EQUAL, 0, 5, _IPV6), (_LOAD_BYTE, 0, 0, 20), (_JUMP_EQUAL, 0, 3, _ICMPV6)),
            *((_LOAD_BYTE, 0, 0, 54), (_JUMP_EQUAL, 0, 1, _SOLICITATION)),
            (_RETURN, 0, 0, _WHOLE),
        ]
    if sealed:
        return [*program, *_WIREGUARD_DATA, *_ending(first, second, payload)]
    return [
        *program,
        *((_LOAD_LENGTH, 0, 0, 0), (_SUBTRACT, 0, 0, _ICMP_HEADER + payload), (_TO_X, 0, 0, 0)),
        *((_LOAD_WORD_X, 0, 0, _ICMP_HEADER), (_JUMP_EQUAL, 0, 6, first)),
        *((_LOAD_WORD_X, 0, 0, _ICMP_HEADER + 4), (_JUMP_EQUAL, 0, 4, second)),
        (_LOAD_BYTE_X, 0, 0, 0),
        *((_JUMP_EQUAL, 1, 0, _ECHO), (_JUMP_EQUAL, 0, 1, _ECHO6)),
        (_RETURN, 0, 0, _WHOLE),
        (_RETURN, 0, 0, 0),
    ]


# Over IPv4, then over IPv6; in either what follows is gone on with where it is something else.
_WIREGUARD_DATA: tuple[Instruction, ...] = (
    *((_LOAD_HALF, 0, 0, 12), (_JUMP_EQUAL, 0, 4, _IPV4)),
    *((_LOAD_BYTE, 0, 0, 23), (_JUMP_EQUAL, 0, 8, _UDP)),
    *((_LOAD_WORD, 0, 0, 42), (_JUMP_EQUAL, 5, 6, _WIREGUARD)),
    (_JUMP_EQUAL, 0, 5, _IPV6),
    *((_LOAD_BYTE, 0, 0, 20), (_JUMP_EQUAL, 0, 3, _UDP)),
    *((_LOAD_WORD, 0, 0, 62), (_JUMP_EQUAL, 0, 1, _WIREGUARD)),
    (_RETURN, 0, 0, _WHOLE),
)


def _ending(first: int, second: int, payload: int) -> Iterator[Instruction]:
    """Pass what has a cookie so many bytes before its end."""
    yield from ((_LOAD_LENGTH, 0, 0, 0), (_SUBTRACT, 0, 0, payload), (_TO_X, 0, 0, 0))
    yield from ((_LOAD_WORD_X, 0, 0, 0), (_JUMP_EQUAL, 0, 3, first))
    yield from ((_LOAD_WORD_X, 0, 0, 4), (_JUMP_EQUAL, 0, 1, second))
    yield from ((_RETURN, 0, 0, _WHOLE), (_RETURN, 0, 0, 0))


def attach(opened: socket.socket, program: Iterable[Instruction]) -> None:
    """Have the kernel pass only what a program lets through. Raises OSError."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    opened.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)),
    )
