"""The MTU proof: what fits passes whole, and what does not is refused with the MTU that would fit.

Three ways to see it: an echo of exactly the limit, which must not be fragmented, gets its reply;
one byte more is refused by the sender's own kernel, which tells the MTU; and one byte more that has
left the sender nevertheless is refused by a node with the ICMP message of path MTU discovery.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from netlab.probe.icmp import Ping, Pong
from netlab.probe.inject import Outcome, Segments
from netlab.probe.result import Check
from netlab.probe.sockets import Unavailable, in_words, open_in

_HEADERS = 28  # bytes of an IPv4 and a UDP header
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2
_IP_RECVERR = 11
_EXTENDED_ERROR = struct.Struct("=IBBBBII")  # linux/errqueue.h: struct sock_extended_err


class Refusal(NamedTuple):
    """The kernel's refusal to send: the MTU it tells; or, where it sent or failed, the words."""

    mtu: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MtuPath:
    """A path on which packets of `limit` bytes pass, and longer ones are refused at the source.

    `refused` is off where the source's own device would take more than the path as a whole does.
    """

    source: str
    target: str
    ping: Ping
    limit: int
    refused: bool = True

    def judge(self, pong: Pong, refusal: Refusal) -> Check:
        passes = f"{self.limit} bytes pass whole"
        passed = f"{self.limit} bytes: {pong.error}" if pong.error else passes
        if not self.refused:
            return self._check(passes, passed, pong.error is None)
        refuses = f"{self.limit + 1} are refused, MTU {self.limit}"
        if refusal.mtu is not None:
            told = f"{self.limit + 1} are refused, MTU {refusal.mtu}"
        else:
            told = f"{self.limit + 1} bytes: {refusal.error}"
        ok = pong.error is None and refusal.mtu == self.limit
        return self._check(f"{passes}, {refuses}", f"{passed}, {told}", ok)

    def _check(self, expected: str, observed: str, ok: bool) -> Check:
        evidence = f"echo and reply of {self.limit} bytes, DF" if ok else ""
        return Check("mtu", self.source, self.target, expected, observed, ok, evidence)


@dataclass(frozen=True, slots=True)
class ForwardPath:
    """Packets that a node has to forward: those that fit arrive, those that don't are refused.

    `refusers` are the addresses that may refuse; the first is the one that should in plain words.
    """

    source: str
    target: str
    fits: Segments
    oversize: Segments
    refusers: tuple[str, ...]

    def judge(self, fits: Outcome, oversize: Outcome) -> Check:
        limit = self.fits.size
        expected = (
            f"{limit} bytes are forwarded, {limit + 1} refused by {self.refusers[0]}, MTU {limit}"
        )
        ok = fits.arrived and oversize.refused_by in self.refusers and oversize.mtu == limit
        if ok:
            evidence = (
                f"ICMP type 3 code 4 from {oversize.refused_by} to {self.oversize.source}, "
                f"next-hop MTU {oversize.mtu}"
            )
            return Check("mtu", self.source, self.target, expected, expected, True, evidence)
        observed = f"{limit} bytes {fits}, {limit + 1} bytes {oversize}"
        return Check("mtu", self.source, self.target, expected, observed, False)


def refusals(paths: Sequence[MtuPath]) -> list[Refusal]:
    """Try to send one byte more than each path's limit, not to be fragmented. Waits for nothing."""
    sockets: dict[str, socket.socket | Refusal] = {}
    results = []
    try:
        for path in paths:
            name = path.ping.namespace
            if name not in sockets:
                sockets[name] = _open(name)
            opened = sockets[name]
            if isinstance(opened, Refusal):
                results.append(opened)
            elif path.refused:
                results.append(_try(opened, path.ping.target, path.limit + 1))
            else:
                results.append(Refusal())
    finally:
        for opened in sockets.values():
            if isinstance(opened, socket.socket):
                opened.close()
    return results


def _open(namespace: str) -> socket.socket | Refusal:
    try:
        opened = open_in(namespace, socket.AF_INET, socket.SOCK_DGRAM)
    except Unavailable as error:
        return Refusal(error=str(error))
    opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
    opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    return opened


def _try(opened: socket.socket, target: str, size: int) -> Refusal:
    try:
        opened.sendto(bytes(size - _HEADERS), (target, 9))
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
        if (level, kind) == (socket.IPPROTO_IP, _IP_RECVERR):
            return Refusal(mtu=_EXTENDED_ERROR.unpack_from(data)[5])
    return Refusal(error="refused, but without an MTU")
