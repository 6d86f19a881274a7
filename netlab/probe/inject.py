"""Frames put on a pod's device as they are, below its IP layer, and what comes back.

Two proofs need this. *Hairpin*: a frame from a pod to its own MAC must come back through the
bridge. *Forwarded oversize*: a packet larger than the path's MTU that the pod's own IP layer did
not refuse must be refused by the pod's node, with the ICMP message that path MTU discovery needs.

The pod's device has the MTU of the path, so a larger packet can't be put on it as one. It is handed
over as one that is yet to be segmented (virtio_net_hdr with TCPv4 segmentation): it passes the veth
whole, and the node's ip_forward() looks at the length its segments would have
(skb_gso_validate_network_len), just as for a virtual machine's packets. It answers with ICMP type 3
code 4. Segments that fit are forwarded, and the target, where nothing listens on the port, answers
with a TCP reset: so neither proof waits for something not to come. (Seen on Linux 6.18.)
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from netlab.probe.sockets import (
    TIMEOUT,
    Unavailable,
    checksum,
    close_aside,
    in_words,
    open_packet,
)

HAIRPIN_TYPE = 0x88B5  # IEEE 802: an EtherType for local experiments
_IPV4_TYPE = 0x0800
_ETHERNET, _IPV4, _TCP = 14, 20, 20  # bytes of the headers
_VNET = struct.Struct("=BBHHHH")  # linux/virtio_net.h: flags, gso type, lengths, checksum place
_NEEDS_CHECKSUM, _GSO_TCPV4 = 1, 1
_DISCARD_PORT = 9  # nothing of a lab listens there
_FIRST_PORT = 40000
_SEGMENTS = 2
_DF = 0x4000
_ACK = 0x10


class Segments(NamedTuple):
    """Packets of `size` bytes (IP header included) to send from a pod through its gateway."""

    namespace: str
    device: str
    macs: tuple[str, str]
    source: str
    target: str
    size: int


class Outcome(NamedTuple):
    """`arrived` at the target; or `refused_by` an address that told `mtu`; or `error` in words."""

    arrived: bool = False
    refused_by: str | None = None
    mtu: int | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.refused_by:
            return f"refused by {self.refused_by}, MTU {self.mtu}"
        return "arrived" if self.arrived else str(self.error)


class Mirror(NamedTuple):
    """A device whose frames to its own MAC should come back."""

    namespace: str
    device: str
    mac: str


def send_segments(packets: Sequence[Segments], timeout: float = TIMEOUT) -> list[Outcome]:
    """Send all packets and return what became of each, waiting at most `timeout` seconds in all."""
    outcomes: list[Outcome | None] = [None] * len(packets)
    by_device: dict[tuple[str, str], dict[int, int]] = {}  # source ports to indexes
    for index, packet in enumerate(packets):
        ports = by_device.setdefault((packet.namespace, packet.device), {})
        ports[_FIRST_PORT + len(ports)] = index
    stations: dict[int, _Station] = {}
    for device, ports in by_device.items():
        try:
            opened = open_packet(*device, _IPV4_TYPE, vnet_header=True)
        except Unavailable as error:
            for index in ports.values():
                outcomes[index] = Outcome(error=str(error))
            continue
        station = stations[opened.fileno()] = _Station(opened, ports, outcomes)
        for port, index in ports.items():
            station.send(_segmented(packets[index], port), index)
    try:
        _collect(stations, timeout)
    finally:
        close_aside(station.socket for station in stations.values())
    lost = Outcome(error=f"no answer in {timeout:.1f} s")
    return [outcome or lost for outcome in outcomes]


def reflect(mirrors: Sequence[Mirror], timeout: float = TIMEOUT) -> list[str | None]:
    """Whether each device's frame to itself came back: None, or what happened instead."""
    outcomes: list[str | None] = [f"nothing came back in {timeout:.1f} s"] * len(mirrors)
    waiting: dict[int, tuple[int, socket.socket]] = {}
    try:
        for index, mirror in enumerate(mirrors):
            try:
                opened = open_packet(mirror.namespace, mirror.device, HAIRPIN_TYPE)
                waiting[opened.fileno()] = (index, opened)
                own = bytes.fromhex(mirror.mac.replace(":", ""))
                opened.send(own + own + struct.pack("!H", HAIRPIN_TYPE) + b"netlab".ljust(46))
            except Unavailable as error:
                outcomes[index] = str(error)
            except OSError as error:
                outcomes[index] = in_words(error)

        def came_back(number: int) -> bool:
            outcomes[waiting[number][0]] = None
            return True

        _until(list(waiting), came_back, timeout)
    finally:
        close_aside(opened for _, opened in waiting.values())
    return outcomes


class _Station:
    """A packet socket on one pod's device, and the packets sent by it that await an outcome."""

    def __init__(
        self, opened: socket.socket, ports: dict[int, int], outcomes: list[Outcome | None]
    ) -> None:
        self.socket = opened
        self.ports = ports
        self.outcomes = outcomes

    def send(self, frame: bytes, index: int) -> None:
        try:
            self.socket.send(frame)
        except OSError as error:
            self.outcomes[index] = Outcome(error=in_words(error))
        self.receive()

    def receive(self) -> bool:
        """Read what has come; true when nothing more is awaited."""
        while True:
            try:
                frame = self.socket.recv(65536)
            except OSError:
                break
            answer = _read(frame[_VNET.size + _ETHERNET :])
            if answer and answer[0] in self.ports:
                self.outcomes[self.ports[answer[0]]] = answer[1]
        return all(self.outcomes[index] is not None for index in self.ports.values())


def _collect(stations: dict[int, _Station], timeout: float) -> None:
    late = [number for number, station in stations.items() if not station.receive()]
    _until(late, lambda number: stations[number].receive(), timeout)


def _until(numbers: Iterable[int], settled: Callable[[int], bool], timeout: float) -> None:
    """Call `settled` for each descriptor that can be read, until all are or the time is over."""
    left = set(numbers)
    deadline = time.monotonic() + timeout
    with select.epoll() as poll:
        for number in left:
            poll.register(number, select.EPOLLIN)
        while left and (seconds := deadline - time.monotonic()) > 0:
            for number, _ in poll.poll(seconds):
                if settled(number):
                    poll.unregister(number)
                    left.remove(number)


def _segmented(packet: Segments, port: int) -> bytes:
    """One frame with virtio_net_hdr that the kernel regards as segments of `packet.size` bytes."""
    segment = packet.size - _IPV4 - _TCP
    payload = bytes(segment * _SEGMENTS)
    addresses = socket.inet_aton(packet.source) + socket.inet_aton(packet.target)
    length = _TCP + len(payload)
    pseudo = addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)
    tcp = struct.pack(
        "!HHIIBBHHH", port, _DISCARD_PORT, 1, 1, _TCP // 4 << 4, _ACK, 1024, checksum(pseudo), 0
    )
    start = struct.pack("!BBHHHBBH", 0x45, 0, _IPV4 + length, 1, _DF, 64, socket.IPPROTO_TCP, 0)
    ip = start[:10] + struct.pack("!H", checksum(start + addresses) ^ 0xFFFF) + addresses
    source, target = (bytes.fromhex(mac.replace(":", "")) for mac in packet.macs)
    headers = target + source + struct.pack("!H", _IPV4_TYPE) + ip + tcp
    checksum_at = _ETHERNET + _IPV4
    vnet = _VNET.pack(_NEEDS_CHECKSUM, _GSO_TCPV4, len(headers), segment, checksum_at, 16)
    return vnet + headers + payload


def _read(packet: bytes) -> tuple[int, Outcome] | None:
    """The source port of the sent packet that this IP packet answers, and what it says of it."""
    if len(packet) < _IPV4 + 8:
        return None
    start = (packet[0] & 15) * 4
    if packet[9] == socket.IPPROTO_TCP:
        return struct.unpack_from("!H", packet, start + 2)[0], Outcome(arrived=True)
    if packet[9] != socket.IPPROTO_ICMP or packet[start] != 3:
        return None
    quoted = start + 8
    if len(packet) < quoted + _IPV4 + 4:
        return None
    port = struct.unpack_from("!H", packet, quoted + (packet[quoted] & 15) * 4)[0]
    sender = socket.inet_ntoa(packet[12:16])
    if packet[start + 1] != 4:
        return port, Outcome(error=f"ICMP type 3 code {packet[start + 1]} from {sender}")
    return port, Outcome(refused_by=sender, mtu=struct.unpack_from("!H", packet, start + 6)[0])
