"""Deleting neighbour entries, as `ip neigh flush` does."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

from netlab.plan.routing import is_ipv6
from netlab.probe.engines.sockets import Unavailable, open_in

_SIOCGIFINDEX = 0x8933
_RTM_DELNEIGH = 29
_NLM_F_REQUEST = 1
_NDA_DST = 1
_MESSAGE = struct.Struct("=IHHIIBBHiHBBHH")  # nlmsghdr, ndmsg, the head of one rtattr


class Entry(NamedTuple):
    """A neighbour (ARP, NDP) entry that the kernel learned."""

    namespace: str
    device: str
    address: str


def flush(entries: Iterable[Entry]) -> None:
    """Delete entries from the kernel's tables; those that are not there are no error."""
    by_namespace: dict[str, list[Entry]] = {}
    for entry in entries:
        by_namespace.setdefault(entry.namespace, []).append(entry)
    for namespace, listed in by_namespace.items():
        try:
            opened = open_in(namespace, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except Unavailable:
            continue
        with opened:
            try:
                numbers = {name: _number(opened, name) for name in {e.device for e in listed}}
                opened.send(b"".join(_delete(numbers[e.device], e.address) for e in listed))
            except OSError:
                continue  # a device is gone, and its entries with it


def _number(opened: socket.socket, device: str) -> int:
    request = struct.pack("16si12x", device.encode(), 0)
    answer: bytes = fcntl.ioctl(opened.fileno(), _SIOCGIFINDEX, request)
    number: int = struct.unpack_from("i", answer, 16)[0]
    return number


def _delete(device: int, address: str) -> bytes:
    family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
    packed = socket.inet_pton(family, address)
    length = 4 + len(packed)
    head = (_MESSAGE.size + len(packed), _RTM_DELNEIGH, _NLM_F_REQUEST, 0, 0)
    return _MESSAGE.pack(*head, family, 0, 0, device, 0, 0, 0, length, _NDA_DST) + packed
