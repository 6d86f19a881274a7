"""Tunnels of a node in user space, by its TUN device: flannel's UDP backend, and IP in IP.

    python3 tunnel.py CONFIG    a JSON file, whose `kind` is udp or ipip

The first does what flannel's pkg/backend/udp/proxy_amd64.c does, packet by packet. The node of each
network of pods stands in `routes.json`, which is read anew on SIGHUP; the real one is told of each
route by its control socket.
An IP packet that the kernel routes into the TUN device is sent as it is in a UDP datagram to the
node that has its destination, and written into the TUN device there. As the real one does it: the
TTL is taken down on either side; one that reaches 0 is dropped without a word; a packet longer than
the MTU is cut off and not refused; nobody looks at who sent a datagram. To what no node has, the
answer is "network unreachable". Unlike there, the TUN device outlives this process.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
BATCH = 64  # packets of one direction before the other's turn
REMEMBERED = 65536  # destinations whose node is known without a search
ICMP, ICMP_ERRORS = 1, (3, 4, 5, 11, 12)
NET_UNREACHABLE, TOO_BIG = 0, 4  # codes of ICMP's destination unreachable
ERROR_TTL = {NET_UNREACHABLE: 8, TOO_BIG: 64}  # flannel's own, and the kernel's
IPIP, OUTER, LARGEST = 4, 20, 65535  # protocol; bytes of the outer header, and of a packet
DONT_FRAGMENT, ECT_0, CE = 0x40, 2, 3
IP_MTU = 14
RTMGRP_IPV4_ROUTE, RTM_NEWROUTE, RTM_GETROUTE, NLM_F_REQUEST = 0x40, 24, 26, 1
RTA_DST, RTA_GATEWAY = 1, 5
BUFFER = 4 << 20  # bytes that wait in the socket, as far as the kernel lets them
Address = tuple[str, int]
Config = Mapping[str, str | int]
Way = TypeVar("Way")


class Destinations(Generic[Way]):
    """Where packets go, remembered by their destination until it is forgotten."""

    def __init__(self) -> None:
        self._known: dict[bytes, Way | None] = {}

    def find(self, destination: bytes) -> Way | None:
        """None: nowhere."""
        try:
            return self._known[destination]
        except KeyError:
            pass
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        found = self._known[destination] = self.search(destination)
        return found

    def search(self, destination: bytes) -> Way | None:
        raise NotImplementedError

    def forget(self) -> None:
        self._known.clear()


class Routes(Destinations[Address]):
    """Which node has a destination: the first network that fits, as there."""

    def __init__(self, routes: Mapping[str, str], port: int) -> None:
        super().__init__()
        self._routes = []
        for network, node in routes.items():
            parsed = ipaddress.ip_network(network)
            mask = int(parsed.netmask)
            self._routes.append((int(parsed.network_address), mask, (node, port)))

    def search(self, destination: bytes) -> Address | None:
        number = int.from_bytes(destination, "big")
        fitting = (node for net, mask, node in self._routes if number & mask == net)
        return next(fitting, None)


class Tunnel:
    """A TUN device, a socket to other nodes, and one buffer for either direction."""

    def __init__(self, config: Config, sock: socket.socket, size: int, tun_flags: int = 0) -> None:
        self.tun = open_tun(str(config["device"]), tun_flags)
        self.tunnel = socket.inet_aton(str(config["tunnel"]))
        self.sock = with_room(sock)
        self.buffer = bytearray(size)
        self.view = memoryview(self.buffer)

    def handlers(self) -> dict[int, Callable[[], None]]:
        """What is done when there is something to read, in this order."""
        return {self.tun: self.from_tun, self.sock.fileno(): self.from_socket}

    def run(self) -> None:
        poll, handlers = select.poll(), self.handlers()
        for fd in handlers:
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            for fd, handle in handlers.items():
                if fd in ready:
                    handle()

    def from_tun(self) -> None:
        raise NotImplementedError

    def from_socket(self) -> None:
        raise NotImplementedError

    def put(self, packet: memoryview | bytes) -> None:
        """Give the kernel a packet, as from the device."""
        os.write(self.tun, packet)

    def tell(self, error: bytes | None) -> None:
        if error:
            self.put(error)


class UdpProxy(Tunnel):
    """As flannel's: every packet in a datagram of its own.

    Its loops call nothing of their own for a packet but what is needed: a call more is a tenth.
    """

    TUN_FLAGS = 0  # beside those of every TUN device

    def __init__(self, config: Config) -> None:
        self.port = int(config["port"])
        signal.signal(signal.SIGHUP, lambda _number, _frame: self.learn())
        self.learn()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        super().__init__(config, sock, int(config["mtu"]), self.TUN_FLAGS)
        self.sock.bind((str(config["address"]), self.port))

    def learn(self) -> None:
        """Read the routes. What comes meanwhile waits in the TUN device and in the socket."""
        self.routes = Routes(json.loads(Path("routes.json").read_text()), self.port)

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
                self.refuse(view[:size])
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

    def refuse(self, packet: memoryview) -> None:
        self.tell(icmp_error(packet, self.tunnel, NET_UNREACHABLE))


def take_down_ttl(packet: bytearray | memoryview) -> bool:
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


def icmp_error(packet: memoryview, sender: bytes, code: int, mtu: int = 0) -> bytes | None:
    """Destination unreachable to who sent a packet; None for one about which nobody is told.

    That is an ICMP error, for flannel any ICMP packet, and a later fragment.
    """
    header = (packet[0] & 15) * 4
    if int.from_bytes(packet[6:8], "big") & 0x1FFF or len(packet) < header + 8:
        return None
    if packet[9] == ICMP and (code == NET_UNREACHABLE or packet[header] in ICMP_ERRORS):
        return None
    body = struct.pack("!BBHHH", 3, code, 0, 0, mtu) + packet[: header + 8]
    body = body[:2] + checksum(body) + body[4:]
    start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, ERROR_TTL[code], ICMP, 0)
    start += sender + packet[12:16]
    return start[:10] + checksum(start) + start[12:] + body


def with_room(sock: socket.socket) -> socket.socket:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return sock


def raw(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)


def open_tun(name: str, flags: int = 0) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags |= IFF_TUN | IFF_NO_PI
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return tun


class IpipTunnel(Tunnel):
    """What net/ipv4/ipip.c does for `tunl0`, on a kernel without it: raw packets of protocol 4.

    The kernel's routes say to which node a packet goes: by the gateway of the route, which a reader
    of a TUN device is not told and has to ask for.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, raw(socket.IPPROTO_IPIP), LARGEST)
        self.out = with_room(raw(socket.IPPROTO_RAW))
        self.gateways = Gateways()

    def handlers(self) -> dict[int, Callable[[], None]]:
        return {self.gateways.changes.fileno(): self.gateways.changed, **super().handlers()}

    def from_tun(self) -> None:
        """Behind an outer header of 20 bytes, whose checksum and source the kernel fills in."""
        buffer, view, find = self.buffer, self.view, self.gateways.find
        for _ in range(BATCH):
            try:
                size = os.readv(self.tun, (view[OUTER:],))
            except BlockingIOError:
                return
            if size < 20 or buffer[OUTER] >> 4 != 4:
                continue
            gateway = find(bytes(view[OUTER + 16 : OUTER + 20]))
            if gateway is None:
                continue
            ecn, fragment = buffer[OUTER + 1] & 3, buffer[OUTER + 6] & DONT_FRAGMENT
            ecn = ECT_0 if ecn == CE else ecn
            struct.pack_into(
                "!BBHHBBBBH4s4s", buffer, 0,
                0x45, ecn, OUTER + size, 0, fragment, 0, buffer[OUTER + 8], IPIP, 0,
                bytes(4), gateway,
            )  # fmt: skip
            try:
                self.out.sendto(view[: OUTER + size], (socket.inet_ntoa(gateway), 0))
            except OSError as error:
                if error.errno == errno.EMSGSIZE and fragment:
                    self.too_big(size, gateway)

    def from_socket(self) -> None:
        buffer, view, receive = self.buffer, self.view, self.sock.recv_into
        for _ in range(BATCH):
            try:
                size = receive(buffer)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for a packet that was sent
                continue
            start = (buffer[0] & 15) * 4
            if size < start + 20 or buffer[start] >> 4 != 4:
                continue
            if buffer[1] & 3 == CE and not congested(buffer, start):
                continue
            try:
                os.write(self.tun, view[start:size])
            except OSError:  # as there: what the kernel does not take is lost
                continue

    def too_big(self, size: int, gateway: bytes) -> None:
        """Fragmentation needed: the path to the other node carries less than the tunnel's MTU."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((socket.inet_ntoa(gateway), 9))
            mtu = asking.getsockopt(socket.IPPROTO_IP, IP_MTU) - OUTER
        inner = self.view[OUTER : OUTER + size]
        self.tell(icmp_error(inner, self.tunnel, TOO_BIG, mtu))


class Gateways(Destinations[bytes]):
    """By which gateway the kernel's routes lead to a destination, remembered until one changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = self._open(socket.SOCK_NONBLOCK, RTMGRP_IPV4_ROUTE)
        self._asking = self._open(0, 0)

    @staticmethod
    def _open(flags: int, groups: int) -> socket.socket:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | flags, socket.NETLINK_ROUTE)
        opened.bind((0, groups))
        return opened

    def changed(self) -> None:
        self.forget()
        try:
            while self.changes.recv(65536):
                pass
        except OSError:  # all are read; or so many that some were lost, which is as good
            pass

    def search(self, destination: bytes) -> bytes | None:
        """As `ip route get`: a struct rtmsg is 12 bytes, the head of an attribute 4."""
        asked = struct.pack("=BBBBBBBBIHH4s", socket.AF_INET, 32, *[0] * 7, 8, RTA_DST, destination)
        head = struct.pack("=IHHII", 16 + len(asked), RTM_GETROUTE, NLM_F_REQUEST, 1, 0)
        self._asking.send(head + asked)
        answer = self._asking.recv(65536)
        length, kind = struct.unpack_from("=IH", answer)
        at = 28
        while kind == RTM_NEWROUTE and at + 4 <= length:
            size, attribute = struct.unpack_from("=HH", answer, at)
            if attribute == RTA_GATEWAY:
                return answer[at + 4 : at + size]
            at += (size + 3) & ~3
        return None


def congested(packet: bytearray, start: int) -> bool:
    """Mark the inner packet as the outer one was (RFC 6040); False: its ends do not know of it."""
    tos = packet[start + 1]
    if tos & 3 == 0:
        return False
    packet[start + 1] = tos | CE
    header = packet[start : start + (packet[start] & 15) * 4]
    header[10:12] = bytes(2)
    packet[start + 10 : start + 12] = checksum(bytes(header))
    return True


KINDS: dict[str, type[UdpProxy | IpipTunnel]] = {"udp": UdpProxy, "ipip": IpipTunnel}


def main(kinds: Mapping[str, type[UdpProxy | IpipTunnel]]) -> None:
    """Be the tunnel that the file named on the command line describes."""
    config = json.loads(Path(sys.argv[1]).read_text())
    tunnel = kinds[config["kind"]](config)
    Path("ready").touch()
    tunnel.run()


if __name__ == "__main__":
    main(KINDS)
