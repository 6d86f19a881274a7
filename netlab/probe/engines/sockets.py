"""Sockets inside the lab's namespaces, and what may go wrong with them in words."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from netlab.errors import NetlabError
from netlab.kernel.namespaces import open_socket

TIMEOUT = 1.0  # seconds an answer may take; on one machine it takes well under a millisecond
T = TypeVar("T")

_SPARE_DESCRIPTORS = 128  # for what else the process has open
_MANY_DESCRIPTORS = 100_000
_SIOCGSKNS = 0x894C  # linux/sockios.h: a descriptor of the socket's network namespace
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")  # linux/sock_diag.h: SK_MEMINFO_*, the drops last
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20  # bytes; a source may have many probes under way at once

Tell = Callable[[str], None]  # is told in words what the instruments lost

_closing: list[threading.Thread] = []

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ENETDOWN: "network down",
    errno.EMSGSIZE: "message too long for the path's MTU",
    errno.EAGAIN: "send queue full",
    errno.ENOBUFS: "send queue full",
    errno.ETIMEDOUT: "connection timed out",
    errno.EACCES: "prohibited by a route or rule",
    errno.EPERM: "dropped by a rule",
    errno.EINVAL: "no usable route",
    errno.EADDRNOTAVAIL: "it is no address here",
}


def nobody(words: str) -> None:
    """Is told nothing."""


class Unavailable(Exception):
    """A namespace or device of the plan is not there; the message says which."""


def in_words(error: OSError) -> str:
    """The error of a socket call as a report says it."""
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def open_in(namespace: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A non-blocking socket inside a namespace; raises Unavailable when that is gone."""
    try:
        opened = open_socket(namespace, family, kind, protocol)
    except FileNotFoundError:
        raise Unavailable(f"namespace {namespace} is gone") from None
    except OSError as error:
        raise Unavailable(f"no socket in namespace {namespace}: {in_words(error)}") from None
    except NetlabError as error:
        raise Unavailable(f"namespace {namespace} is gone") from error
    opened.setblocking(False)
    return opened


def bind(opened: socket.socket, source: str) -> None:
    """Have a socket send from an address of its namespace; raises Unavailable, and closes it."""
    try:
        if source:
            opened.bind((source, 0))
    except OSError as error:
        opened.close()
        raise Unavailable(f"nothing can be sent from {source}: {in_words(error)}") from None


def open_packet(
    namespace: str, device: str, protocol: int, *, vnet_header: bool = False
) -> socket.socket:
    """An AF_PACKET socket on a device. Raises Unavailable. Close it by `close_aside`.

    `protocol` is the EtherType to receive. With `vnet_header` every frame sent or received has a
    virtio_net_hdr in front, which is how a frame is handed over that is yet to be segmented.
    """
    opened = open_in(namespace, socket.AF_PACKET, socket.SOCK_RAW)
    try:
        if vnet_header:
            opened.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
        widen(opened)
        opened.bind((device, protocol))
    except OSError as error:
        opened.close()
        if error.errno == errno.ENODEV:
            raise Unavailable(f"device {device} of {namespace} is gone") from None
        raise Unavailable(f"device {device} of {namespace}: {in_words(error)}") from None
    return opened


def widen(opened: socket.socket) -> None:
    """Give a socket buffers beyond the system's limit where that is allowed."""
    for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, option, _BUFFER)


def dropped(opened: socket.socket) -> int:
    """How many packets found no room in a socket since it was opened."""
    counts = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(counts)[-1])


def namespace_inode(namespace: str) -> int:
    """The inode that identifies a network namespace; raises Unavailable when it is gone."""
    with open_in(namespace, socket.AF_INET, socket.SOCK_DGRAM) as opened:
        descriptor = fcntl.ioctl(opened.fileno(), _SIOCGSKNS)
        try:
            inode: int = os.fstat(descriptor).st_ino
            return inode
        finally:
            os.close(descriptor)


def descriptors() -> int:
    """How many sockets may be open at once; the soft limit is first raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return _MANY_DESCRIPTORS
    return min(max(hard - _SPARE_DESCRIPTORS, 16), _MANY_DESCRIPTORS)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def checksum(data: bytes, start: int = 0) -> int:
    """The internet checksum's sum (RFC 1071), not yet inverted."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = start + sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def close_aside(sockets: Iterable[socket.socket]) -> None:
    """Close packet sockets in threads of their own, to be awaited by `await_closing`.

    The kernel lets each such close wait until no CPU can be using the socket (12 ms here); those
    that wait at the same time wait together.
    """
    for opened in sockets:
        thread = threading.Thread(target=opened.close)
        thread.start()
        _closing.append(thread)


def await_closing() -> None:
    while _closing:
        _closing.pop().join()
