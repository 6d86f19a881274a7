"""flannel's UDP backend in user space: what pkg/backend/udp/proxy_amd64.c does, packet by packet.

    python3 udp_proxy.py CONFIG ROUTES

CONFIG is a JSON file (device, mtu, address, port, tunnel), ROUTES another: the node of each network
of pods. On SIGHUP the routes are read anew; the real one is told of each by its control socket.

An IP packet that the kernel routes into the TUN device is sent as it is in a UDP datagram to the
node that has its destination, and written into the TUN device there. As the real one does it: the
TTL is taken down on either side; one that reaches 0 is dropped without a word; a packet longer than
the MTU is cut off and not refused; nobody looks at who sent a datagram. To what no node has, the
answer is "network unreachable". Unlike there, the TUN device outlives this process.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
BATCH = 64  # packets of one direction before the other's turn
REMEMBERED = 65536  # destinations whose node is known without a search
ICMP, UNREACHABLE_TTL = 1, 8
BUFFER = 4 << 20  # bytes that wait in the socket, as far as the kernel lets them
Address = tuple[str, int]


class Routes:
    """Which node has a destination: the first network that fits, as there."""

    def __init__(self, routes: Mapping[str, str], port: int) -> None:
        self._routes = []
        for network, node in routes.items():
            parsed = ipaddress.ip_network(network)
            mask = int(parsed.netmask)
            self._routes.append((int(parsed.network_address), mask, (node, port)))
        self._known: dict[bytes, Address | None] = {}

    def find(self, destination: bytes) -> Address | None:
        try:
            return self._known[destination]
        except KeyError:
            pass
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        number = int.from_bytes(destination, "big")
        fitting = (node for net, mask, node in self._routes if number & mask == net)
        found = self._known[destination] = next(fitting, None)
        return found


class Proxy:
    """The TUN device, the socket, and one buffer for either direction."""

    def __init__(self, config: dict[str, str | int], routes: str) -> None:
        self.port, self.file = int(config["port"]), routes
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.learn())
        self.learn()
        self.tun = open_tun(str(config["device"]))
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self.tunnel = socket.inet_aton(str(config["tunnel"]))
        self.buffer = bytearray(int(config["mtu"]))
        self.view = memoryview(self.buffer)
        self.sock.bind((str(config["address"]), self.port))

    def learn(self) -> None:
        """Read the routes. What comes meanwhile waits in the TUN device and in the socket."""
        with open(self.file) as file:
            self.routes = Routes(json.load(file), self.port)

    def run(self) -> None:
        poll = select.poll()
        poll.register(self.tun, select.POLLIN)
        poll.register(self.sock, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.tun in ready:
                self.from_tun()
            if self.sock.fileno() in ready:
                self.from_socket()

    def from_tun(self) -> None:
        buffer, view, find, send = self.buffer, self.view, self.routes.find, self.sock.sendto
        for _ in range(BATCH):
            try:
                size = os.readv(self.tun, (buffer,))
            except BlockingIOError:
                return
            if size < 20 or buffer[0] >> 4 != 4:
                continue
            node = find(bytes(view[16:20]))
            if node is None:
                self.refuse(size)
            elif take_down_ttl(buffer):
                try:
                    send(view[:size], node)
                except OSError:  # as there: what the kernel does not take is lost
                    continue

    def from_socket(self) -> None:
        buffer, view, receive = self.buffer, self.view, self.sock.recv_into
        for _ in range(BATCH):
            try:
                size = receive(buffer)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for a datagram that was sent
                continue
            if size >= 20 and take_down_ttl(buffer):
                try:
                    os.write(self.tun, view[:size])
                except OSError:  # the kernel does not take a packet that was cut off
                    continue

    def refuse(self, size: int) -> None:
        """Network unreachable, unless it is about an ICMP packet or a later fragment."""
        buffer = self.buffer
        header = (buffer[0] & 15) * 4
        if buffer[9] == ICMP or int.from_bytes(buffer[6:8], "big") & 0x1FFF or size < header + 8:
            return
        about = bytes(buffer[: header + 8])
        body = struct.pack("!BBHI", 3, 0, 0, 0) + about
        body = body[:2] + checksum(body) + body[4:]
        start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, UNREACHABLE_TTL, ICMP, 0)
        start += self.tunnel + about[12:16]
        os.write(self.tun, start[:10] + checksum(start) + start[12:] + body)


def take_down_ttl(packet: bytearray) -> bool:
    """Take one from the TTL, and make the header's checksum right; False: it is at an end."""
    if packet[8] <= 1:
        return False
    packet[8] -= 1
    total = (packet[10] << 8 | packet[11]) + 0x100
    total = (total & 0xFFFF) + (total >> 16)
    packet[10], packet[11] = total >> 8, total & 0xFF
    return True


def checksum(content: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    content += bytes(len(content) % 2)
    total = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", total ^ 0xFFFF)


def open_tun(name: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        found = json.load(file)
    Proxy(found, sys.argv[2]).run()
