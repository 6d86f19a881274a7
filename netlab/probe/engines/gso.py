"""Packets larger than a path's MTU that get past the pod's own IP layer, and who refuses them.

The pod's device has the MTU of the path, so a larger packet can't be put on it as one. It is handed
over as one that is yet to be segmented (virtio_net_hdr with TCP segmentation): it passes the veth
whole, and the node's ip_forward() or ip6_forward() looks at the length its segments would have
(skb_gso_validate_network_len), just as for a virtual machine's packets. It answers with ICMP type 3
code 4 or ICMPv6 type 2. Segments that fit are forwarded, and the target, where nothing listens on
the port, answers with a TCP reset: so nothing is waited for that is not to come. (Seen on Linux
6.18.)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from netlab.plan.probing.actions import Delivery, GsoPacket
from netlab.probe.engines import ip
from netlab.probe.engines.polling import until
from netlab.probe.engines.sockets import (
    TIMEOUT,
    Tell,
    Unavailable,
    checksum,
    close_aside,
    dropped,
    in_words,
    nobody,
    open_packet,
)

_ETHERNET, _TCP = 14, 20  # bytes of the headers
_VNET = struct.Struct("=BBHHHH")  # linux/virtio_net.h: flags, gso type, lengths, checksum place
_NEEDS_CHECKSUM = 1
_DISCARD_PORT = 9  # nothing of a lab listens there
_FIRST_PORT = 40000
_SEGMENTS = 2
_ATTEMPTS = 3  # of sending what a socket had no room for
_ACK = 0x10


def send_packets(
    packets: Sequence[GsoPacket], timeout: float = TIMEOUT, tell: Tell = nobody
) -> list[Delivery]:
    """Send all packets and return what became of each, waiting together for what does not come.

    Where a socket had no room for answers, what it lacks is sent again, and `tell` is told.
    """
    outcomes: list[Delivery | None] = [None] * len(packets)
    left: Sequence[int] = range(len(packets))
    for attempt in range(_ATTEMPTS):
        if attempt:
            tell(f"{len(left)} packets again: a socket had no room for their answers")
        left = _send(packets, left, outcomes, timeout)
        if not left:
            break
    lost = Delivery(error=f"no answer in {timeout:.1f} s")
    return [outcome or lost for outcome in outcomes]


def _send(
    packets: Sequence[GsoPacket],
    indexes: Sequence[int],
    outcomes: list[Delivery | None],
    timeout: float,
) -> list[int]:
    """Send some of the packets once; returns those that lack an answer for want of room."""
    by_device: dict[tuple[str, str, bool], dict[int, int]] = {}  # source ports to indexes
    for index in indexes:
        packet = packets[index]
        ports = by_device.setdefault((packet.namespace, packet.device, packet.ipv6), {})
        ports[_FIRST_PORT + len(ports)] = index
    stations: dict[int, _Station] = {}
    for (namespace, device, ipv6), ports in by_device.items():
        family = ip.family(ipv6)
        try:
            opened = open_packet(namespace, device, family.ethertype, vnet_header=True)
        except Unavailable as error:
            for index in ports.values():
                outcomes[index] = Delivery(error=str(error))
            continue
        station = stations[opened.fileno()] = _Station(opened, family, ports, outcomes)
        for port, index in ports.items():
            station.send(_segmented(packets[index], family, port), index)
    try:
        late = [number for number, station in stations.items() if not station.receive()]
        until(late, lambda number: stations[number].receive(), timeout)
        return [
            index
            for station in stations.values()
            for index in station.ports.values()
            if outcomes[index] is None and dropped(station.socket)
        ]
    finally:
        close_aside(station.socket for station in stations.values())


class _Station:
    """A packet socket on one pod's device, and the packets sent by it that await an outcome."""

    def __init__(
        self,
        opened: socket.socket,
        family: ip.Family,
        ports: dict[int, int],
        outcomes: list[Delivery | None],
    ) -> None:
        self.socket = opened
        self.family = family
        self.ports = ports
        self.outcomes = outcomes

    def send(self, frame: bytes, index: int) -> None:
        try:
            self.socket.send(frame)
        except OSError as error:
            self.outcomes[index] = Delivery(error=in_words(error))
        self.receive()

    def receive(self) -> bool:
        """Read what has come; true when nothing more is awaited."""
        while True:
            try:
                frame = self.socket.recv(65536)
            except OSError:
                break
            answer = _read(frame[_VNET.size + _ETHERNET :], self.family)
            if answer and answer[0] in self.ports:
                self.outcomes[self.ports[answer[0]]] = answer[1]
        return all(self.outcomes[index] is not None for index in self.ports.values())


def _segmented(packet: GsoPacket, family: ip.Family, port: int) -> bytes:
    """One frame with virtio_net_hdr that the kernel regards as segments of `packet.size` bytes."""
    segment = packet.size - family.header - _TCP
    payload = bytes(segment * _SEGMENTS)
    length = _TCP + len(payload)
    # The sum of the pseudo header alone: the kernel adds the rest to it, segment by segment.
    pseudo = checksum(family.pseudo_header(packet.source, packet.target, length))
    tcp = struct.pack(
        "!HHIIBBHHH", port, _DISCARD_PORT, 1, 1, _TCP // 4 << 4, _ACK, 1024, pseudo, 0
    )
    start = family.packet(packet.source, packet.target, length)
    source, target = (bytes.fromhex(mac.replace(":", "")) for mac in packet.macs)
    headers = target + source + struct.pack("!H", family.ethertype) + start + tcp
    checksum_at = _ETHERNET + family.header
    lengths = (len(headers), segment, checksum_at, 16)
    return _VNET.pack(_NEEDS_CHECKSUM, family.gso_type, *lengths) + headers + payload


def _read(packet: bytes, family: ip.Family) -> tuple[int, Delivery] | None:
    """The source port of the sent packet that this IP packet answers, and what it says of it."""
    if len(packet) < family.header + 8:
        return None
    start, protocol = family.payload(packet)
    if protocol == socket.IPPROTO_TCP:
        return struct.unpack_from("!H", packet, start + 2)[0], Delivery(arrived=True)
    error = family.error(packet, start) if protocol == family.icmp else None
    quoted = packet[start + 8 :]
    if error is None or len(quoted) < family.header + 4:
        return None
    port = struct.unpack_from("!H", quoted, family.payload(quoted)[0])[0]
    if error.mtu is None:
        words = f"{family.icmp_name} type {error.kind} code {error.code} from {error.sender}"
        return port, Delivery(error=words)
    return port, Delivery(refused_by=error.sender, mtu=error.mtu)
