"""Echoes from one source to a great many targets in a few system calls: sendmmsg and recvmmsg.

What is sent and where to is written once for a list of targets, and used for every source; of a
reply only its key and its sender are looked at. What does not come at once is no verdict: it is
for `icmp` to ask again, and to wait.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Collection, Sequence
from types import ModuleType

from netlab.probe.engines import icmp4, icmp6

MOST = 1 << 16  # targets of one list: an echo's sequence number has 16 bits
_AT_ONCE = 128  # echoes before replies are read: their room is that of a socket not widened
_SLOT = 64  # bytes for a reply, of which there are 28 (IPv4, with its header) or 8 (IPv6)
_ADDRESS = 28  # bytes of a sockaddr_in6; a sockaddr_in needs 16

_libc = ctypes.CDLL(None, use_errno=True)
_MMSGHDR = struct.Struct("@PIxxxxPNPNixxxxIxxxx")  # linux/socket.h: name, iov, control; length
_IOVEC = struct.Struct("@PN")
_NAME4, _NAME6 = struct.Struct("=HH4s8x"), struct.Struct("=HHI16sI")
# What a reply's slot begins with: the type and key of IPv4 (no IP options), of IPv6.
_REPLY4, _REPLY6 = struct.Struct("!20xB3xI36x"), struct.Struct("!B3xI56x")
_SENDER4, _SENDER6 = struct.Struct("4x4s20x"), struct.Struct("8x16s4x")


class _Messages:
    """An array of mmsghdr, each with a place of its own for its name and its data."""

    def __init__(self, count: int, size: int, name: int) -> None:
        self.names = ctypes.create_string_buffer(count * _ADDRESS)
        self.data = ctypes.create_string_buffer(count * size)
        iovecs = ctypes.create_string_buffer(count * _IOVEC.size)
        self.headers = ctypes.create_string_buffer(count * _MMSGHDR.size)
        self._kept = iovecs
        names, data, vectors = map(ctypes.addressof, (self.names, self.data, iovecs))
        for index in range(count):
            _IOVEC.pack_into(iovecs, index * _IOVEC.size, data + index * size, size)
            _MMSGHDR.pack_into(
                self.headers,
                index * _MMSGHDR.size,
                *(names + index * _ADDRESS, name),
                *(vectors + index * _IOVEC.size, 1, 0, 0, 0, 0),
            )

    def at(self, index: int) -> int:
        return ctypes.addressof(self.headers) + index * _MMSGHDR.size


class Volley:
    """Echo requests to a list of targets of one family, to be sent from any number of sources."""

    def __init__(self, targets: Sequence[str], ipv6: bool) -> None:
        self.family: ModuleType = icmp6 if ipv6 else icmp4
        kind = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._addresses = [socket.inet_pton(kind, target) for target in targets]
        self._first = int.from_bytes(os.urandom(2), "big") << 16  # the identifier; key of the first
        self._echo_reply = 129 if ipv6 else 0
        self._reply, self._sender = (_REPLY6, _SENDER6) if ipv6 else (_REPLY4, _SENDER4)
        name = _NAME6.size if ipv6 else _NAME4.size
        self._requests = _Messages(len(targets), 8, name)
        self._replies = _Messages(_AT_ONCE, _SLOT, name)
        for index, address in enumerate(self._addresses):
            at = index * _ADDRESS
            if ipv6:
                _NAME6.pack_into(self._requests.names, at, kind, 0, 0, address, 0)
            else:
                _NAME4.pack_into(self._requests.names, at, kind, 0, address)
            self._requests.data[index * 8 : index * 8 + 8] = self.family.request(
                self._first + index, b""
            )

    def send(self, source: str, answered: memoryview, leave_out: Collection[int] = ()) -> None:
        """Set `answered`, a byte for each target, to 1 where the reply comes. Raises Unavailable.

        `leave_out` are the places in the list that are not asked.
        """
        with self.family.open_echo(source) as opened:
            start = 0
            for place in (*sorted(leave_out), len(self._addresses)):
                for first in range(start, place, _AT_ONCE):
                    self._send(opened.fileno(), first, min(first + _AT_ONCE, place))
                    self._receive(opened.fileno(), answered)
                start = place + 1

    def _send(self, number: int, start: int, end: int) -> None:
        """What the kernel refuses to send is passed over."""
        while start < end:
            sent = _libc.sendmmsg(number, ctypes.c_void_p(self._requests.at(start)), end - start, 0)
            start += sent if sent > 0 else 1

    def _receive(self, number: int, answered: memoryview) -> None:
        room = ctypes.c_void_p(self._replies.at(0))
        while True:
            count = _libc.recvmmsg(number, room, _AT_ONCE, socket.MSG_DONTWAIT, None)
            if count <= 0:
                return
            data = memoryview(self._replies.data)[: count * _SLOT]
            names = memoryview(self._replies.names)[: count * _ADDRESS]
            for (kind, key), (sender,) in zip(
                self._reply.iter_unpack(data), self._sender.iter_unpack(names), strict=True
            ):
                index = key - self._first
                if (
                    kind == self._echo_reply
                    and 0 <= index < len(answered)
                    and self._addresses[index] == sender
                ):
                    answered[index] = 1
            if count < _AT_ONCE:
                return
