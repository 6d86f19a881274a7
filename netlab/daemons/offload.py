"""The quick one of flannel's UDP backend: the same packets on the wire in fewer system calls.

    python3 offload.py CONFIG    as tunnel.py, whose `kind` is udp

The kernel hands TCP over as packets of up to 64 KiB that are yet to be cut (IFF_VNET_HDR), which is
done here; the datagrams with the segments go to it by one call (UDP_SEGMENT), come by one
(recvmmsg), and what came together is joined again for the TUN device. Each datagram has one packet
and goes over the wire by itself: the uplink's tx-udp-segmentation is off.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Sequence

from netlab.daemons.segments import LARGEST, NEEDS_CSUM, PLAIN, VNET, complete, cut, join
from netlab.daemons.tunnel import NET_UNREACHABLE, Address, UdpProxy, icmp_error, take_down_ttl

TUNSETOFFLOAD, OFFLOADS = 0x400454D0, 0x1 | 0x2 | 0x8  # checksums, TCP over IPv4, and with ECN
IFF_VNET_HDR = 0x4000
UDP_SEGMENT, MOST_BYTES = 103, 65507  # linux/udp.h; what one call sends
MOST = 64  # segments that every kernel takes by one call; datagrams that are read at once
TURN = 4  # packets, yet to be cut, of one direction before the other's turn
_MMSGHDR = struct.Struct("@PIxxxxPNPNixxxxIxxxx")  # linux/socket.h: name, iov, control; length
_LENGTH = struct.Struct("@56xIxxxx")
_IOVEC = struct.Struct("@PN")
_libc = ctypes.CDLL(None, use_errno=True)


class Slots:
    """Room for datagrams, which are read together."""

    def __init__(self, size: int) -> None:
        self.data = ctypes.create_string_buffer(MOST * size)
        self.iovecs = ctypes.create_string_buffer(MOST * _IOVEC.size)
        self.messages = ctypes.create_string_buffer(MOST * _MMSGHDR.size)
        data, vectors = ctypes.addressof(self.data), ctypes.addressof(self.iovecs)
        for index in range(MOST):
            vector = index * _IOVEC.size
            _IOVEC.pack_into(self.iovecs, vector, data + index * size, size)
            fields = (0, 0, vectors + vector, 1, 0, 0, 0, 0)
            _MMSGHDR.pack_into(self.messages, index * _MMSGHDR.size, *fields)
        whole = memoryview(self.data).cast("B")
        self.slots = [whole[index * size : (index + 1) * size] for index in range(MOST)]

    def read(self, sock: socket.socket) -> list[memoryview]:
        """What has come, none where nothing has; each cut off where its room ends."""
        count = _libc.recvmmsg(sock.fileno(), self.messages, MOST, socket.MSG_DONTWAIT, None)
        lengths = _LENGTH.iter_unpack(self.messages)
        return [slot[:length] for slot, (length,), _ in zip(self.slots, lengths, range(count))]


class OffloadProxy(UdpProxy):
    """What is not TCP that is yet to be cut, or is unusual, goes packet by packet as there."""

    TUN_FLAGS = IFF_VNET_HDR

    def __init__(self, config: dict[str, str | int]) -> None:
        super().__init__(config)
        fcntl.ioctl(self.tun, TUNSETOFFLOAD, OFFLOADS)
        self.mtu = len(self.buffer)
        self.vnet, self.buffer = bytearray(VNET.size), bytearray(LARGEST)
        self.view = memoryview(self.buffer)
        self.slots = Slots(self.mtu)

    def from_tun(self) -> None:
        for _ in range(TURN):
            try:
                size = os.readv(self.tun, (self.vnet, self.buffer)) - VNET.size
            except BlockingIOError:
                return
            if size < 20 or self.buffer[0] >> 4 != 4:
                continue
            flags, kind, _, segment, start, offset = VNET.unpack(self.vnet)
            packet = self.view[:size]
            node = self.routes.find(bytes(packet[16:20]))
            if kind:
                self.send_cut(packet, segment, node)
                continue
            if flags & NEEDS_CSUM:
                complete(packet, start, offset)
            if node is None:
                self.refuse(packet[: self.mtu])
            elif take_down_ttl(self.buffer):
                self.send([packet[: self.mtu]], 0, node)

    def send_cut(self, packet: memoryview, size: int, node: Address | None) -> None:
        if node is None:
            for headers, _ in cut(packet, size):
                self.refuse(memoryview(headers))
            return
        if not take_down_ttl(self.buffer):
            return
        segments = list(cut(packet, size))
        length = sum(map(len, segments[0]))
        if length > self.mtu:  # somebody made the device's MTU larger than the wire's
            for headers, payload in segments:
                self.send([headers, payload[: self.mtu - len(headers)]], 0, node)
            return
        step = min(MOST, MOST_BYTES // length)
        for begin in range(0, len(segments), step):
            parts = [part for segment in segments[begin : begin + step] for part in segment]
            self.send(parts, length, node)

    def send(self, parts: Sequence[bytes | memoryview], size: int, node: Address) -> None:
        """Datagrams of `size` bytes, the last of what is left; or all as one, with a size of 0."""
        ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))] if size else []
        with contextlib.suppress(OSError):  # as there: what the kernel does not take is lost
            self.sock.sendmsg(parts, ancillary, 0, node)

    def from_socket(self) -> None:
        for _ in range(TURN):
            packets = self.slots.read(self.sock)
            if not packets:
                return
            alive = (one for one in packets if len(one) >= 20 and take_down_ttl(one))
            for parts in join(alive):
                with contextlib.suppress(OSError):  # the kernel does not take one that was cut off
                    os.writev(self.tun, parts)

    def refuse(self, packet: memoryview) -> None:
        if error := icmp_error(packet, self.tunnel, NET_UNREACHABLE):
            os.writev(self.tun, (PLAIN, error))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        config = json.load(file)
    OffloadProxy(config).run()
