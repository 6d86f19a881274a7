"""ICMP echoes as IPv4 packets: a raw socket, which shows the IP header of what it receives."""

from __future__ import annotations

import socket
import struct

from netlab.probe.engines.sockets import checksum, open_in, widen

_ECHO_REPLY, _UNREACHABLE, _ECHO, _TIME_EXCEEDED = 0, 3, 8, 11
_HOST, _FRAGMENTATION_NEEDED = 1, 4
_CODES = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    5: "source route failed",
    9: "network prohibited",
    10: "host prohibited",
    13: "prohibited by a filter",
}
MAY_PASS = _CODES[_HOST]
_SOL_RAW, _ICMP_FILTER = 255, 1
# The filter's bits are the types *not* wanted: a raw socket would else be given the echo requests
# that others send to this namespace.
_FILTER = struct.pack(
    "I", 0xFFFFFFFF ^ (1 << _ECHO_REPLY | 1 << _UNREACHABLE | 1 << _TIME_EXCEEDED)
)
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
Answer = tuple[int, int, str | None]  # the echo's key, the TTL, an error in words


def open_echo(namespace: str) -> socket.socket:
    """Raises Unavailable. All it sends forbids fragmentation."""
    opened = open_in(namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    opened.setsockopt(_SOL_RAW, _ICMP_FILTER, _FILTER)
    opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
    widen(opened)
    return opened


def request(key: int, payload: bytes) -> bytes:
    """An echo request; `key` is its identifier (upper 16 bits) and sequence number (lower)."""
    total = (_ECHO << 8) + (key >> 16) + (key & 0xFFFF)
    total = checksum(payload, total) if payload else (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHI", _ECHO, 0, total ^ 0xFFFF, key) + payload


def receive(opened: socket.socket, buffer: memoryview) -> Answer | None:
    """What the next packet says of an echo; None where it is about none."""
    length = opened.recv_into(buffer)
    start = (buffer[0] & 15) * 4
    if length < start + 8:
        return None
    kind = buffer[start]
    if kind == _ECHO_REPLY:
        return struct.unpack_from("!I", buffer, start + 4)[0], buffer[8], None
    quoted = start + 8  # the packet that the error is about, cut after 8 bytes of payload or later
    if length < quoted + 20:
        return None
    key_at = quoted + (buffer[quoted] & 15) * 4 + 4
    if length < key_at + 4 or buffer[quoted + 9] != socket.IPPROTO_ICMP:
        return None
    return struct.unpack_from("!I", buffer, key_at)[0], buffer[8], _error(buffer, start)


def _error(buffer: memoryview, start: int) -> str:
    kind, code = buffer[start], buffer[start + 1]
    words = "TTL exceeded" if kind == _TIME_EXCEEDED else _CODES.get(code, f"unreachable ({code})")
    if kind == _UNREACHABLE and code == _FRAGMENTATION_NEEDED:
        words += f", MTU {struct.unpack_from('!H', buffer, start + 6)[0]}"
    return f"{words} (ICMP from {socket.inet_ntoa(buffer[12:16])})"
