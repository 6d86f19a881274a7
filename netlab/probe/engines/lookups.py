"""Names asked of a DNS server from many namespaces at once; packets are read by dnslib."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from netlab.plan.probing.lookup import Lookup, Resolved
from netlab.probe.engines.polling import until
from netlab.probe.engines.sockets import Unavailable, in_words, open_in

PORT = 53
# Seconds for all that is asked at once by UDP, as often as it is asked: a datagram may be lost. The
# server gives whom it asks itself two times a second.
PATIENCE = (1.0, 2.5)
_LONGEST = 65535


def look_up(lookups: Sequence[Lookup]) -> list[Resolved]:
    """Ask everything and return the answers in the same order."""
    found: dict[int, Resolved] = {}
    for seconds in PATIENCE:
        left = [index for index in range(len(lookups)) if _silent(found.get(index))]
        datagrams = [index for index in left if lookups[index].application == "udp"]
        found |= _by_udp({index: lookups[index] for index in datagrams}, seconds)
        found |= {i: _by_tcp(lookups[i], seconds) for i in left if i not in datagrams}
    return [found[index] for index in range(len(lookups))]


def _silent(answer: Resolved | None) -> bool:
    return answer is None or bool(answer.error)


def _by_udp(lookups: dict[int, Lookup], seconds: float) -> dict[int, Resolved]:
    found: dict[int, Resolved] = {}
    asked: dict[int, tuple[int, socket.socket]] = {}
    began = time.monotonic()

    def settled(number: int) -> bool:
        index, sock = asked[number]
        answer = _guarded(lambda: _read(sock.recv(_LONGEST), index, began))
        if answer:
            found[index] = answer
        return answer is not None

    try:
        for index, lookup in lookups.items():
            try:
                sock = open_in(lookup.namespace, _family(lookup), socket.SOCK_DGRAM)
            except Unavailable as error:
                found[index] = Resolved(error=str(error))
                continue
            asked[sock.fileno()] = index, sock
            if failure := _guarded(lambda: _send(sock, lookup, index)):  # noqa: B023
                found[index] = failure
        waiting = [number for number, (index, _) in asked.items() if index not in found]
        until(waiting, settled, seconds)
    finally:
        for _, sock in asked.values():
            sock.close()
    silence = Resolved(error=f"no answer, timed out after {seconds:.1f} s")
    return dict.fromkeys(lookups, silence) | found


def _by_tcp(lookup: Lookup, seconds: float) -> Resolved:
    began = time.monotonic()
    try:
        sock = open_in(lookup.namespace, _family(lookup), socket.SOCK_STREAM)
    except Unavailable as error:
        return Resolved(error=str(error))
    with sock:
        sock.settimeout(seconds)
        return _guarded(lambda: _over(sock, lookup, began)) or Resolved(error="no such answer")


def _over(sock: socket.socket, lookup: Lookup, began: float) -> Resolved | None:
    """Ask over a connection of its own."""
    sock.connect((lookup.server, PORT))
    packet = _question(lookup, 0)
    sock.sendall(struct.pack("!H", len(packet)) + packet)
    with sock.makefile("rb") as stream:
        head = stream.read(2)
        if len(head) < 2:
            return Resolved(error="closed without an answer")
        return _read(stream.read(struct.unpack("!H", head)[0]), 0, began)


def _send(sock: socket.socket, lookup: Lookup, number: int) -> None:
    sock.connect((lookup.server, PORT))
    sock.send(_question(lookup, number))


def _guarded(work: Callable[[], Resolved | None]) -> Resolved | None:
    try:
        return work()
    except TimeoutError:
        return Resolved(error="no answer in time")
    except BlockingIOError:
        return None
    except OSError as error:
        return Resolved(error=in_words(error))


def _family(lookup: Lookup) -> int:
    return socket.AF_INET6 if lookup.ipv6 else socket.AF_INET


def _question(lookup: Lookup, number: int) -> bytes:
    from dnslib import EDNS0, DNSRecord

    asked = DNSRecord.question(lookup.name, lookup.record)
    asked.header.id = number & 0xFFFF
    asked.add_ar(EDNS0(udp_len=_LONGEST))
    return bytes(asked.pack())


def _read(packet: bytes, number: int, began: float) -> Resolved | None:
    """An answer; None for one to another question."""
    from dnslib import QTYPE, RCODE, DNSRecord

    try:
        answer: Any = DNSRecord.parse(packet)
    except Exception as error:  # whatever somebody's bytes make of the parser
        return Resolved(error=f"not a DNS answer ({type(error).__name__})")
    if answer.header.id != number & 0xFFFF:
        return None
    if answer.header.tc:
        return Resolved(error="cut, as the answer is too long for UDP")
    kinds = (QTYPE.A, QTYPE.AAAA)
    addresses = tuple(str(rr.rdata) for rr in answer.rr if rr.rtype in kinds)
    code = str(RCODE.get(answer.header.rcode))
    return Resolved(code, addresses, time.monotonic() - began)
