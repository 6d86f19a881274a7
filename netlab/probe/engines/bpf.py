"""Classic BPF programs (linux/filter.h) that pass to a capture only what can be evidence."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable

SO_ATTACH_FILTER = 26
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30  # BPF_LD | BPF_W, BPF_H, BPF_B | BPF_ABS
_JUMP_EQUAL, _RETURN = 0x15, 0x06
_WHOLE = 0xFFFFFFFF
_ETHERNET = 14
# Bytes that tunnels put before a pod's packet: none, IPIP, IP in UDP, VXLAN and GENEVE over IPv4
# (without and with an option), and the same over IPv6.
_OVERHEADS = (0, 20, 28, 36, 50, 54, 58, 40, 48, 56, 70, 74, 78)
_HEADERS = (28, 48)  # IPv4 with ICMP, IPv6 with ICMPv6
_ECHO, _ECHO6 = 8, 128  # the types of an echo request
_ARP, _IPV6 = 0x0806, 0x86DD
_ICMPV6, _SOLICITATION = 58, 135

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value


def echoes(cookie: bytes, *, solicitations: bool) -> list[Instruction]:
    """Pass echo requests whose payload begins with 8 bytes, in whatever tunnel of those above.

    With `solicitations` also ARP, and IPv6's solicitations of neighbours. A load past the end of a
    frame ends a program, so the places are tried from the first on.
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
    for place in sorted({_ETHERNET + before + own for before in _OVERHEADS for own in _HEADERS}):
        program += [
            *((_LOAD_WORD, 0, 0, place), (_JUMP_EQUAL, 0, 6, first)),
            *((_LOAD_WORD, 0, 0, place + 4), (_JUMP_EQUAL, 0, 4, second)),
            (_LOAD_BYTE, 0, 0, place - 8),
            *((_JUMP_EQUAL, 1, 0, _ECHO), (_JUMP_EQUAL, 0, 1, _ECHO6)),
            (_RETURN, 0, 0, _WHOLE),
        ]
    return [*program, (_RETURN, 0, 0, 0)]


def attach(opened: socket.socket, program: Iterable[Instruction]) -> None:
    """Have the kernel pass only what a program lets through. Raises OSError."""
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    opened.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)),
    )
