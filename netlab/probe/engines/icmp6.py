"""ICMPv6 echoes: a raw socket, whose checksum the kernel fills in and which shows no IP header.

The hop limit comes beside each packet (IPV6_RECVHOPLIMIT).
"""

from __future__ import annotations

import socket
import struct
import sys

from netlab.probe.engines.icmp4 import Answer
from netlab.probe.engines.sockets import open_in, widen

_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED, _ECHO, _ECHO_REPLY = 1, 2, 3, 128, 129
_CODES = {
    0: "no route",
    1: "prohibited by a filter",
    2: "beyond the scope of the source address",
    3: "address unreachable",
    4: "port unreachable",
    5: "source address prohibited",
    6: "route rejected",
}
MAY_PASS = _CODES[3]
_ICMP6_FILTER = 1
# A set bit is a type that is not wanted, as for IPv4; there are 256 of them.
_WANTED = (_UNREACHABLE, _TOO_BIG, _TIME_EXCEEDED, _ECHO_REPLY)
_FILTER = struct.pack(
    "8I", *(0xFFFFFFFF ^ sum(1 << t % 32 for t in _WANTED if t // 32 == word) for word in range(8))
)
_MTU_DISCOVER, _PMTUDISC_DO, _DONTFRAG = 23, 2, 62
_HEADER = 40  # bytes


def open_echo(namespace: str) -> socket.socket:
    """Raises Unavailable. As that of IPv4; the kernel itself must not fragment either."""
    opened = open_in(namespace, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _FILTER)
    opened.setsockopt(socket.IPPROTO_IPV6, _MTU_DISCOVER, _PMTUDISC_DO)
    opened.setsockopt(socket.IPPROTO_IPV6, _DONTFRAG, 1)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    widen(opened)
    return opened


def request(key: int, payload: bytes) -> bytes:
    """An echo request; `key` is its identifier (upper 16 bits) and sequence number (lower)."""
    return struct.pack("!BBHI", _ECHO, 0, 0, key) + payload


def receive(opened: socket.socket, buffer: memoryview) -> Answer | None:
    """What the next packet says of an echo; None where it is about none."""
    length, ancillary, _, sender = opened.recvmsg_into([buffer], 64)
    hop_limit = next(
        (
            int.from_bytes(data, sys.byteorder)
            for _, kind, data in ancillary
            if kind == socket.IPV6_HOPLIMIT
        ),
        0,
    )
    if length < 8:
        return None
    if buffer[0] == _ECHO_REPLY:
        return struct.unpack_from("!I", buffer, 4)[0], hop_limit, None
    # The packet that the error is about; echoes have no extension headers.
    key_at = 8 + _HEADER + 4
    if length < key_at + 4 or buffer[8 + 6] != socket.IPPROTO_ICMPV6:
        return None
    return struct.unpack_from("!I", buffer, key_at)[0], hop_limit, _error(buffer, sender[0])


def _error(buffer: memoryview, sender: str) -> str:
    kind, code = buffer[0], buffer[1]
    if kind == _TOO_BIG:
        words = f"packet too big, MTU {struct.unpack_from('!I', buffer, 4)[0]}"
    elif kind == _TIME_EXCEEDED:
        words = "hop limit exceeded"
    else:
        words = _CODES.get(code, f"unreachable ({code})")
    return f"{words} (ICMPv6 from {sender})"
