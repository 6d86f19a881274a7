"""The quick one of flannel's UDP backend: the same packets, many of them by one system call.

    python3 offload.py CONFIG    a JSON file as that of tunnel.py

What the TUN device has at once for one node is handed over together, to be cut by the kernel into
datagrams with a packet in each (UDP_SEGMENT). It does so where a device cannot: between namespaces
of one machine nothing has to, so that they cross veths and bridges whole, as TCP's segments do, and
whoever captures there sees one long datagram. They come whole (UDP_GRO), and segments of TCP that
follow each other are written into the TUN device as one packet (IFF_VNET_HDR).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from itertools import groupby

from netlab.daemons.segments import PLAIN, VNET, destinations, received, take_down_ttls
from netlab.daemons.tunnel import BATCH, Address, Config, UdpProxy, main, take_down_ttl

IFF_VNET_HDR = 0x4000
UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h
MOST, MOST_BYTES = 64, 65507  # what every kernel takes to be cut
LONGEST, ANCILLARY = 65536, socket.CMSG_SPACE(4)  # bytes of what is received, and of its size


class OffloadProxy(UdpProxy):
    """As there; what is unusual goes packet by packet."""

    TUN_FLAGS = IFF_VNET_HDR

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.mtu = len(self.buffer)
        most = min(MOST, MOST_BYTES // self.mtu)
        self.buffer = bytearray(most * self.mtu)
        self.view = memoryview(self.buffer)
        vnet = bytearray(VNET.size)
        places = range(0, most * self.mtu, self.mtu)
        self.rooms = [(vnet, self.view[at : at + self.mtu]) for at in places]
        self.ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", self.mtu))]
        self.slots = memoryview(bytearray(LONGEST))
        self.sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)

    def from_tun(self) -> None:
        """Full packets, and one that is shorter, behind each other."""
        full, left = self.mtu + VNET.size, BATCH
        while left > 0:
            count = size = 0
            try:
                for room in self.rooms:
                    size = os.readv(self.tun, room)
                    count += 1
                    if size != full:
                        break
            except BlockingIOError:
                left = 0
            end = (count - 1) * self.mtu + size - VNET.size
            if count == 1:
                self.send_one(self.view[:end])
            elif count:
                self.send(count, end)
            left -= count

    def send(self, count: int, end: int) -> None:
        begin = 0
        for destination, group in groupby(destinations(self.buffer, self.mtu, count)):
            until = min(begin + len(list(group)) * self.mtu, end)
            node = self.routes.find(destination)
            if until - begin > self.mtu and node and self.taken_down(begin, until):
                self.send_all(begin, until, node)
            else:
                for at in range(begin, until, self.mtu):
                    self.send_one(self.view[at : min(at + self.mtu, until)])
            begin = until

    def taken_down(self, begin: int, end: int) -> bool:
        last = (end - begin) % self.mtu or self.mtu
        return last >= 20 and take_down_ttls(self.buffer, begin, end, self.mtu)

    def send_all(self, begin: int, end: int, node: Address) -> None:
        """One by one where the kernel refuses, as for what it has to make fragments of."""
        try:
            self.sock.sendmsg((self.view[begin:end],), self.ancillary, 0, node)
        except OSError:
            for at in range(begin, end, self.mtu):
                with contextlib.suppress(OSError):  # as there
                    self.sock.sendto(self.view[at : min(at + self.mtu, end)], node)

    def send_one(self, packet: memoryview) -> None:
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return
        node = self.routes.find(bytes(packet[16:20]))
        if node is None:
            self.refuse(packet)
        elif take_down_ttl(packet):
            try:
                self.sock.sendto(packet, node)
            except OSError:  # as there: what the kernel does not take is lost
                return

    def from_socket(self) -> None:
        slots, left = self.slots, BATCH
        while left > 0:
            try:
                end, ancillary, _, _ = self.sock.recvmsg_into((slots,), ANCILLARY)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for a datagram that was sent
                continue
            if not ancillary:
                self.put_one(slots[: min(end, self.mtu)])
                left -= 1
                continue
            size = struct.unpack("=i", ancillary[0][2])[0]
            for parts in received(slots[:end], size, self.mtu):
                with contextlib.suppress(OSError):
                    os.writev(self.tun, parts)
            left -= end // size

    def put_one(self, packet: memoryview) -> None:
        if len(packet) >= 20 and take_down_ttl(packet):
            try:
                self.put(packet)
            except OSError:  # the kernel does not take a packet that was cut off
                return

    def put(self, packet: memoryview | bytes) -> None:
        os.writev(self.tun, (PLAIN, packet))


if __name__ == "__main__":
    main({"udp": OffloadProxy})
