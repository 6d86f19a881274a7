"""Netlink sockets: many requests in one send, acknowledgements read together, dumps.

What a message holds is described to pyroute2 (`prepared`, `readers`); its own sockets do one
request at a time, 0.2 to 0.5 ms each, of which a large lab has tens of thousands.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from netlab.kernel.prepared import Attributes, body
from netlab.kernel.pyroute import netlink as nl
from netlab.kernel.pyroute import nlmsg, nlmsgerr
from netlab.kernel.readers import Reader

_CAP_ACK = 10  # NETLINK_CAP_ACK: an error does not repeat the whole request
_BATCH = 32 * 1024  # bytes a send; well below the default socket buffer of 208 KiB
_HEADER = struct.Struct("=" + "".join(layout for _, layout in nlmsg.header))
_WORDS = Reader(nlmsgerr, {"NLMSGERR_ATTR_MSG"})
GONE = frozenset({errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL})


class Request(NamedTuple):
    """One message: its type and flags, its body, and what it is for (in the words of an error)."""

    kind: int
    flags: int
    body: bytes
    subject: object


def request(
    message: type,
    kind: int,
    flags: int,
    fields: Mapping[str, int],
    attributes: Attributes = (),
    subject: object = "",
) -> Request:
    """A request of one of pyroute2's message classes."""
    return Request(kind, flags, body(message, fields, attributes), subject)


class NetlinkError(NamedTuple):
    """A request that the kernel refused: the errno, and its own words if it gave any."""

    request: Request
    code: int
    words: str

    def __str__(self) -> str:
        return f"{self.request.subject}: {self.words or os.strerror(self.code)}"


class Netlink:
    """A netlink socket; `writes` counts the requests sent by all of them (dumps excepted)."""

    writes: ClassVar[int] = 0

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        sock.setsockopt(nl.SOL_NETLINK, _CAP_ACK, 1)
        sock.setsockopt(nl.SOL_NETLINK, nl.NETLINK_EXT_ACK, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, requests: Sequence[Request]) -> list[NetlinkError]:
        """Send many requests in few system calls; returns those that were refused.

        Only the last of a batch asks to be acknowledged; the kernel reports errors of the others
        all the same, and goes on after one.
        """
        refused: list[NetlinkError] = []
        parts: list[bytes] = []
        size = first = 0
        for index, item in enumerate(requests):
            length = 16 + len(item.body)
            last = index + 1 == len(requests) or size + length > _BATCH
            flags = item.flags | nl.NLM_F_REQUEST | (nl.NLM_F_ACK if last else 0)
            parts.append(_HEADER.pack(length, item.kind, flags, index, 0))
            parts.append(item.body)
            size += length
            if last:
                self._socket.send(b"".join(parts))
                refused += self._answers(requests, index)
                Netlink.writes += index + 1 - first
                parts, size, first = [], 0, index + 1
        return refused

    def _answers(self, requests: Sequence[Request], last: int) -> Iterator[NetlinkError]:
        while True:
            data = self._socket.recv(65536)
            for kind, flags, sequence, answer in _messages(data):
                if kind != nl.NLMSG_ERROR:
                    continue
                if code := _code(answer):
                    yield NetlinkError(requests[sequence], code, _words(flags, answer))
                if sequence == last:
                    return

    def ask(self, question: Request) -> bytes:
        """The body of the one answer to a question. Raises OSError if the kernel refuses."""
        (found,) = self._collect(question, nl.NLM_F_ACK)
        return found

    def dump(self, question: Request) -> list[bytes]:
        """The bodies of all messages of a dump. Raises OSError if the kernel refuses."""
        while True:
            try:
                return self._collect(question, nl.NLM_F_DUMP)
            except InterruptedError:  # something changed meanwhile: the kernel asks to start again
                continue

    def _collect(self, question: Request, flags: int) -> list[bytes]:
        header = _HEADER.pack(
            16 + len(question.body), question.kind, nl.NLM_F_REQUEST | flags, 1, 0
        )
        self._socket.send(header + question.body)
        result: list[bytes] = []
        interrupted = False
        while True:
            data = self._socket.recv(1 << 18)
            for kind, answer_flags, _sequence, answer in _messages(data):
                interrupted |= bool(answer_flags & nl.NLM_F_DUMP_INTR)
                if kind == nl.NLMSG_ERROR and (code := _code(answer)):
                    raise OSError(code, os.strerror(code))
                if kind in (nl.NLMSG_DONE, nl.NLMSG_ERROR):
                    if interrupted:
                        raise InterruptedError
                    return result
                result.append(answer)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _code(answer: bytes) -> int:
    """The errno of an error message; 0 for an acknowledgement."""
    return -int.from_bytes(answer[:4], sys.byteorder, signed=True)


def _words(flags: int, answer: bytes) -> str:
    """The kernel's own message in an error, if there is one; the request stands before it."""
    if not flags & nl.NLM_F_ACK_TLVS:
        return ""
    asked = 16 if flags & nl.NLM_F_CAPPED else int.from_bytes(answer[4:8], sys.byteorder)
    _, found = _WORDS(answer, asked)
    return str(found.get("NLMSGERR_ATTR_MSG", ""))


def open_netlink(protocol: int = socket.NETLINK_ROUTE) -> Netlink:
    """A netlink socket of the current network namespace."""
    return Netlink(
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    )
