"""A DNS server: for a zone in a file it answers itself, for all else it asks others, or fails.

dns.py ZONE_FILE [FOLDER]

The file is JSON: `zone`, the domain of which every name is known (and every PTR record that is
there); `records`, by name and type as a zone file has them; `ttl` in seconds; and `forward`, the
addresses that are asked for others. It is read anew on SIGHUP. UDP and TCP, port 53. A name that is
not there gets NXDOMAIN with the SOA, as CoreDNS answers it; without anybody to ask, SERVFAIL.
FOLDER is where Python finds dnslib, which reads and writes the packets, if not where it looks.
"""

from __future__ import annotations

import json
import random
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path += sys.argv[2:]  # behind, so that nothing there is taken for a standard module

from dnslib import CLASS, EDNS0, OPCODE, QTYPE, RCODE, RR, SOA, DNSHeader, DNSRecord

PORT = 53
TRIES, PATIENCE = 2, 1.0  # of those who are asked, and the seconds that each has
IDLE = 10.0  # seconds a TCP client may take to ask
AT_ONCE = 64  # clients for whom others are asked, or who came by TCP
LEAST, MOST = 512, 1232  # bytes of an answer by UDP: without EDNS (RFC 1035), and what passes whole
LARGEST = 65535
_SOA_TIMES = (7200, 1800, 86400)  # refresh, retry, expire: plugin/backend_lookup.go of CoreDNS
_IN = CLASS.reverse["IN"]


class Zone:
    """What the file says. `names` are those that are there, if only as ends of others."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        self.origin: str = data["zone"]
        self.ttl: int = data["ttl"]
        self.forward: list[str] = data["forward"]
        self.records: dict[str, dict[str, list[str]]] = data["records"]
        self.serial = int(path.stat().st_mtime)
        self.names = {name for known in self.records for name in _ends(known)}

    def knows(self, name: str) -> bool:
        """Whether it is to answer for a name: one of the zone, or another that is there."""
        return f".{name}".endswith(f".{self.origin.lstrip('.')}") or name in self.records

    def find(self, name: str, kind: str) -> list[RR]:
        """The records of a name, in any order, so that clients take turns (plugin loadbalance)."""
        found = [
            rr
            for data in self.records.get(name, {}).get(kind, ())
            for rr in RR.fromZone(f"{name} {self.ttl} IN {kind} {data}")
        ]
        random.shuffle(found)
        return found

    def additional(self, answers: list[RR]) -> Iterator[RR]:
        """The addresses of those that SRV records name."""
        for name in dict.fromkeys(str(rr.rdata.target) for rr in answers):
            yield from (*self.find(name, "A"), *self.find(name, "AAAA"))

    @property
    def soa(self) -> RR:
        names = (f"{label}.{self.origin}".rstrip(".") for label in ("ns.dns", "hostmaster"))
        data = SOA(*names, (self.serial, *_SOA_TIMES, self.ttl))
        return RR(self.origin, QTYPE.SOA, ttl=self.ttl, rdata=data)


def _ends(name: str) -> Iterator[str]:
    """A name, and those above it."""
    labels = name.rstrip(".").split(".")
    for number in range(len(labels)):
        yield ".".join(labels[number:]) + "."


def answer(zone: Zone, request: DNSRecord) -> DNSRecord | None:
    """The answer to a question; None for one that others are to be asked."""
    if flaw := _flaw(request):
        return failure(request, flaw)
    name = str(request.q.qname).lower()
    if not zone.knows(name):
        return None if zone.forward else failure(request, "SERVFAIL")
    kind = QTYPE.forward.get(request.q.qtype, "")
    reply = request.reply(ra=1, aa=1)
    found = [zone.soa] if (name, kind) == (zone.origin, "SOA") else zone.find(name, kind)
    for rr in found:
        rr.set_rname(request.q.qname)  # as it was asked for, in capitals or not
        reply.add_answer(rr)
    if kind == "SRV":
        reply.add_ar(*zone.additional(found))
    if not found:
        there = name in zone.names or name == zone.origin
        reply.header.rcode = RCODE.reverse["NOERROR" if there else "NXDOMAIN"]
        reply.add_auth(zone.soa)
    return _with_edns(request, reply)


def failure(request: DNSRecord, code: str) -> DNSRecord:
    reply = request.reply(ra=1, aa=0)
    reply.header.rcode = RCODE.reverse[code]
    return _with_edns(request, reply)


def _flaw(request: DNSRecord) -> str:
    """Why a request gets no answer; empty where it does."""
    if request.header.opcode != OPCODE.QUERY:
        return "NOTIMP"
    if len(request.questions) != 1:
        return "FORMERR"
    return "" if request.q.qclass == _IN else "REFUSED"


def _edns(request: DNSRecord) -> int | None:
    """The bytes that a client says it takes by UDP; None where it does not know of EDNS."""
    return next((int(rr.rclass) for rr in request.ar if rr.rtype == QTYPE.OPT), None)


def _with_edns(request: DNSRecord, reply: DNSRecord) -> DNSRecord:
    if _edns(request) is not None:
        reply.add_ar(EDNS0(udp_len=MOST))
    return reply


def packed(request: DNSRecord, reply: DNSRecord, *, udp: bool) -> bytes:
    """The packet; one that is too long for UDP is cut, so that the client comes by TCP."""
    packet = bytes(reply.pack())
    if udp and len(packet) > min(max(_edns(request) or LEAST, LEAST), MOST):
        header = DNSHeader(id=reply.header.id, bitmap=reply.header.bitmap, tc=1)
        return bytes(_with_edns(request, DNSRecord(header, questions=reply.questions)).pack())
    return packet


def ask_others(servers: list[str], packet: bytes, *, udp: bool) -> bytes | None:
    """What the first of some servers that answers says; None where none does."""
    for _ in range(TRIES):
        for server in servers:
            try:
                kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
                family = socket.AF_INET6 if ":" in server else socket.AF_INET
                with socket.socket(family, kind) as sock:
                    sock.settimeout(PATIENCE)
                    sock.connect((server, PORT))
                    sock.sendall(packet if udp else _framed(packet))
                    found = sock.recv(LARGEST) if udp else _unframed(sock)
            except (OSError, EOFError):
                continue
            if found[:2] == packet[:2]:
                return found
    return None


def _framed(packet: bytes) -> bytes:
    return struct.pack("!H", len(packet)) + packet


def _unframed(sock: socket.socket) -> bytes:
    """The next packet of a TCP connection. Raises OSError, and EOFError at its end."""
    (size,) = struct.unpack("!H", _exactly(sock, 2))
    return _exactly(sock, size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


class Server:
    """The sockets, in the namespace in which it is started, and the zone as it is now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.zone = Zone(path)
        self.helpers = ThreadPoolExecutor(AT_ONCE)
        self.udp = _bound(socket.SOCK_DGRAM)
        self.tcp = _bound(socket.SOCK_STREAM)

    def reload(self, *_: Any) -> None:
        """On SIGHUP. A file that cannot be read leaves what was known."""
        try:
            self.zone = Zone(self.path)
        except (OSError, ValueError, LookupError) as error:
            say(f"{self.path.name} cannot be read ({error}); names stay as they were")
        else:
            say(f"{self.path.name} read anew: {len(self.zone.records)} names")

    def run(self) -> None:
        say(f"port {PORT}, {len(self.zone.records)} names")
        with selectors.DefaultSelector() as selector:
            selector.register(self.udp, selectors.EVENT_READ, self.datagram)
            selector.register(self.tcp, selectors.EVENT_READ, self.connection)
            while True:
                for key, _ in selector.select():
                    try:
                        key.data()
                    except OSError as error:  # of one client
                        say(str(error))

    def datagram(self) -> None:
        packet, client = self.udp.recvfrom(LARGEST)
        request = _parsed(packet)
        if request is None:
            return
        if reply := answer(self.zone, request):
            self.udp.sendto(packed(request, reply, udp=True), client)
        else:
            self.helpers.submit(self._forward, request, packet, client)

    def _forward(self, request: DNSRecord, packet: bytes, client: Any) -> None:
        self.udp.sendto(self._asked(request, packet, udp=True), client)

    def _asked(self, request: DNSRecord, packet: bytes, *, udp: bool) -> bytes:
        found = ask_others(self.zone.forward, packet, udp=udp)
        return found or packed(request, failure(request, "SERVFAIL"), udp=udp)

    def connection(self) -> None:
        client, _ = self.tcp.accept()
        client.settimeout(IDLE)
        self.helpers.submit(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """All questions of one TCP client, until it goes or is silent."""
        with client:
            try:
                while request := _parsed(packet := _unframed(client)):
                    reply = answer(self.zone, request)
                    data = (
                        packed(request, reply, udp=False)
                        if reply
                        else self._asked(request, packet, udp=False)
                    )
                    client.sendall(_framed(data))
            except (OSError, EOFError):
                pass


def _parsed(packet: bytes) -> DNSRecord | None:
    """A question; None for what is none."""
    try:
        request = DNSRecord.parse(packet)
    except Exception:  # whatever a stranger's bytes make of the parser
        return None
    return None if request.header.qr else request


def _bound(kind: int) -> socket.socket:
    """A socket on port 53 of all addresses; of IPv4 alone where the namespace has no IPv6."""
    places = [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        del places[0]
    family, host = places[0]
    sock = socket.socket(family, kind)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, PORT))
    if kind == socket.SOCK_STREAM:
        sock.listen(128)
    return sock


def say(words: str) -> None:
    print(words, flush=True)


def main() -> None:
    server = Server(Path(sys.argv[1]))
    signal.signal(signal.SIGHUP, server.reload)
    server.run()


if __name__ == "__main__":
    main()
