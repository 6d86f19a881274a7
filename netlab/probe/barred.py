"""Why a packet does not cross the underlay: its node asks for a next hop that nobody there is."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netlab.probe.capture import Captured
from netlab.probe.icmp import Ping, Pong
from netlab.probe.result import Check
from netlab.probe.wire import Device

_ARP_TYPE = b"\x08\x06"
_ARP = struct.Struct("!14xHHBBH6s4s6s4s")  # behind the Ethernet header, for Ethernet and IPv4
_REQUEST, _REPLY = 1, 2


class Arp(NamedTuple):
    """An ARP packet as it passed a device."""

    place: Device
    operation: int
    mac: str
    address: str
    target: str


@dataclass(frozen=True, slots=True)
class BarredPath:
    """A marked echo whose next hop is on no segment of its node: it must get no further than ARP.

    `port` is the node's on its switch, `asker` the node's MAC and address there.
    """

    source: str
    target: str
    ping: Ping
    port: Device
    asker: tuple[str, str]
    next_hop: str

    @property
    def expected(self) -> str:
        return (
            f"ARP asks for the next hop {self.next_hop} on {self.port[0]}, nobody answers, and the "
            "packet is seen nowhere on the underlay"
        )

    def judge(
        self,
        frames: Sequence[Captured],
        arps: Sequence[Arp],
        lost: Mapping[str, str],
        pong: Pong | None = None,
    ) -> Check:
        """The verdict, given the frames that carry this echo's payload and all ARP packets."""
        switch = self.port[0]
        asked = [
            arp
            for arp in arps
            if arp.operation == _REQUEST
            and (arp.place, arp.target) == (self.port, self.next_hop)
            and (arp.mac, arp.address) == self.asker
        ]
        answers = {
            arp.mac
            for arp in arps
            if arp.operation == _REPLY and (arp.place[0], arp.address) == (switch, self.next_hop)
        }
        problems = list(lost.values())
        if not asked and switch not in lost:
            problems.append(f"no ARP request for {self.next_hop} at the port of {self.port[1]}")
        problems += [f"{self.next_hop} is answered for by {mac}" for mac in sorted(answers)]
        if frames:
            ports = dict.fromkeys(f"{frame.device} on {frame.namespace}" for frame in frames)
            problems.append(f"seen on the underlay at the port of {', '.join(ports)}")
        if pong and pong.error and "is gone" in pong.error:
            problems.append(pong.error)
        evidence = "" if problems else self._evidence()
        return Check(
            "wire",
            self.source,
            self.target,
            self.expected,
            "; ".join(problems) or self.expected,
            not problems,
            evidence,
        )

    def _evidence(self) -> str:
        mac, address = self.asker
        return (
            f"ARP on {self.port[0]}: {mac} asks who has {self.next_hop}, tell {address}; no "
            f"answer, as that host is on another segment; so the packet to {self.ping.target} "
            f"stays in {self.port[1]} and is seen on no segment"
        )


def arps(frames: Iterable[Captured]) -> Iterator[Arp]:
    """The ARP packets among frames."""
    for item in frames:
        if item.frame[12:14] == _ARP_TYPE and len(item.frame) >= _ARP.size:
            _, _, _, _, operation, mac, address, _, target = _ARP.unpack_from(item.frame)
            yield Arp(
                (item.namespace, item.device),
                operation,
                mac.hex(":"),
                socket.inet_ntoa(address),
                socket.inet_ntoa(target),
            )
