"""Packets that the sender's own kernel must refuse, and the MTU that it tells."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from netlab.kernel import path_mtu
from netlab.plan.probing.actions import Oversize, Refusal
from netlab.probe.engines.sockets import Unavailable, in_words, open_in

_DISCARD_PORT = 9
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # linux/errqueue.h: struct sock_extended_err


class _Options(NamedTuple):
    """How a family's socket is told not to fragment, and to tell the MTU in its error queue."""

    family: int
    level: int
    recverr: int
    dont_fragment: tuple[tuple[int, int], ...]
    headers: int  # bytes of IP and UDP


_OPTIONS = {
    # IP_MTU_DISCOVER: IP_PMTUDISC_DO
    False: _Options(socket.AF_INET, socket.IPPROTO_IP, 11, ((10, 2),), 28),
    # IPV6_MTU_DISCOVER: IPV6_PMTUDISC_DO; IPV6_DONTFRAG
    True: _Options(socket.AF_INET6, socket.IPPROTO_IPV6, 25, ((23, 2), (62, 1)), 48),
}


def try_to_send(packets: Sequence[Oversize]) -> list[Refusal]:
    """Try to send each packet, not to be fragmented. Waits for nothing."""
    sockets: dict[tuple[str, bool], socket.socket | Refusal] = {}
    results = []
    try:
        for packet in packets:
            key = (packet.namespace, packet.ipv6)
            if key not in sockets:
                sockets[key] = _open(packet.namespace, _OPTIONS[packet.ipv6])
            opened = sockets[key]
            if isinstance(opened, Refusal):
                results.append(opened)
            else:
                results.append(_try_again(opened, _OPTIONS[packet.ipv6], packet))
    finally:
        for opened in sockets.values():
            if isinstance(opened, socket.socket):
                opened.close()
    return results


def _open(namespace: str, options: _Options) -> socket.socket | Refusal:
    try:
        opened = open_in(namespace, options.family, socket.SOCK_DGRAM)
    except Unavailable as error:
        return Refusal(error=str(error))
    for option, value in (*options.dont_fragment, (options.recverr, 1)):
        opened.setsockopt(options.level, option, value)
    return opened


def _try_again(opened: socket.socket, options: _Options, packet: Oversize) -> Refusal:
    """A second time where the kernel tells less than it should: it may remember an old MTU."""
    refusal = _try(opened, options, packet)
    if refusal.mtu is None or refusal.mtu >= packet.size - 1:
        return refusal
    path_mtu.flush(packet.namespace, packet.target)
    return _try(opened, options, packet)


def _try(opened: socket.socket, options: _Options, packet: Oversize) -> Refusal:
    try:
        opened.sendto(bytes(packet.size - options.headers), (packet.target, _DISCARD_PORT))
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            return Refusal(error=in_words(error))
    else:
        return Refusal(error="sent, not refused")
    try:
        _, ancillary, _, _ = opened.recvmsg(0, 512, socket.MSG_ERRQUEUE)
    except OSError as error:
        return Refusal(error=f"refused, but without an MTU: {in_words(error)}")
    for level, kind, data in ancillary:
        if (level, kind) == (options.level, options.recverr):
            return Refusal(mtu=_EXTENDED_ERROR.unpack_from(data)[5])
    return Refusal(error="refused, but without an MTU")
