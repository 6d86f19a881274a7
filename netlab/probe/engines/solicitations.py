"""Who asks for whose MAC: ARP and neighbour discovery among captured frames."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from netlab.plan.probing.actions import Solicitation
from netlab.probe.engines.capture import Captured

_ARP_TYPE, _IPV6_TYPE = b"\x08\x06", b"\x86\xdd"
_ARP = struct.Struct("!14xHHBBH6s4s6s4s")  # behind the Ethernet header, for Ethernet and IPv4
_REQUEST, _REPLY = 1, 2
_IP6, _ICMP6 = 14, 54  # where the headers begin
_SOLICIT, _ADVERTISE = 135, 136


def solicitations(frames: Iterable[Captured]) -> Iterator[Solicitation]:
    for item in frames:
        kind = item.frame[12:14]
        if kind == _ARP_TYPE and len(item.frame) >= _ARP.size:
            yield from _arp(item)
        elif kind == _IPV6_TYPE and len(item.frame) >= _ICMP6 + 24:
            yield from _ndp(item)


def _arp(item: Captured) -> Iterator[Solicitation]:
    _, _, _, _, operation, mac, address, _, target = _ARP.unpack_from(item.frame)
    place, sender = (item.namespace, item.device), socket.inet_ntoa(address)
    if operation == _REQUEST:
        yield Solicitation(place, False, mac.hex(":"), sender, socket.inet_ntoa(target))
    elif operation == _REPLY:
        yield Solicitation(place, True, mac.hex(":"), sender, sender)


def _ndp(item: Captured) -> Iterator[Solicitation]:
    frame = item.frame
    if frame[_IP6 + 6] == socket.IPPROTO_ICMPV6 and frame[_ICMP6] in (_SOLICIT, _ADVERTISE):
        answers = frame[_ICMP6] == _ADVERTISE
        sender, target = (
            socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (_IP6 + 8, _ICMP6 + 8)
        )
        place = (item.namespace, item.device)
        yield Solicitation(place, answers, frame[6:12].hex(":"), sender, target)
