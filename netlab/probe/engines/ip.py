"""The two families' packets, where an engine must make or read them by itself."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Protocol

from netlab.probe.engines.sockets import checksum

_DF = 0x4000
_TTL = 64
_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4
_UNREACHABLE6, _TOO_BIG = 1, 2


class IcmpError(NamedTuple):
    """An ICMP error; `mtu` only where it says that the packet is too large."""

    kind: int
    code: int
    sender: str
    mtu: int | None


class Family(Protocol):
    """An address family. `header` is its length in bytes, `icmp` the protocol's number."""

    ethertype: int
    gso_type: int
    header: int
    icmp: int
    icmp_name: str

    def packet(self, source: str, target: str, length: int) -> bytes:
        """The header of a TCP packet that must not be fragmented, `length` bytes after it."""
        ...

    def pseudo_header(self, source: str, target: str, length: int) -> bytes:
        """What TCP's checksum covers of the IP header."""
        ...

    def payload(self, packet: bytes) -> tuple[int, int]:
        """Where the payload begins, and its protocol."""
        ...

    def error(self, packet: bytes, start: int) -> IcmpError | None:
        """The ICMP error in a packet whose payload begins at `start`; None where it is none."""
        ...


class _Ip4:
    ethertype = 0x0800
    gso_type = 1  # linux/virtio_net.h: VIRTIO_NET_HDR_GSO_TCPV4
    header = 20
    icmp: int = socket.IPPROTO_ICMP
    icmp_name = "ICMP"

    def packet(self, source: str, target: str, length: int) -> bytes:
        addresses = socket.inet_aton(source) + socket.inet_aton(target)
        total = self.header + length
        start = struct.pack("!BBHHHBBH", 0x45, 0, total, 1, _DF, _TTL, socket.IPPROTO_TCP, 0)
        return start[:10] + struct.pack("!H", checksum(start + addresses) ^ 0xFFFF) + addresses

    def pseudo_header(self, source: str, target: str, length: int) -> bytes:
        addresses = socket.inet_aton(source) + socket.inet_aton(target)
        return addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, length)

    def payload(self, packet: bytes) -> tuple[int, int]:
        return (packet[0] & 15) * 4, packet[9]

    def error(self, packet: bytes, start: int) -> IcmpError | None:
        kind, code = packet[start], packet[start + 1]
        if kind != _UNREACHABLE:
            return None
        too_big = code == _FRAGMENTATION_NEEDED
        mtu = struct.unpack_from("!H", packet, start + 6)[0] if too_big else None
        return IcmpError(kind, code, socket.inet_ntoa(packet[12:16]), mtu)


class _Ip6:
    ethertype = 0x86DD
    gso_type = 4  # VIRTIO_NET_HDR_GSO_TCPV6
    header = 40
    icmp: int = socket.IPPROTO_ICMPV6
    icmp_name = "ICMPv6"

    def packet(self, source: str, target: str, length: int) -> bytes:
        start = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_TCP, _TTL)
        return start + self._pair(source, target)

    def pseudo_header(self, source: str, target: str, length: int) -> bytes:
        return self._pair(source, target) + struct.pack("!II", length, socket.IPPROTO_TCP)

    def payload(self, packet: bytes) -> tuple[int, int]:
        return self.header, packet[6]

    def error(self, packet: bytes, start: int) -> IcmpError | None:
        kind, code = packet[start], packet[start + 1]
        if kind not in (_UNREACHABLE6, _TOO_BIG):
            return None
        mtu = struct.unpack_from("!I", packet, start + 4)[0] if kind == _TOO_BIG else None
        return IcmpError(kind, code, socket.inet_ntop(socket.AF_INET6, packet[8:24]), mtu)

    def _pair(self, source: str, target: str) -> bytes:
        return b"".join(socket.inet_pton(socket.AF_INET6, one) for one in (source, target))


def family(ipv6: bool) -> Family:
    return _Ip6() if ipv6 else _Ip4()
