"""Neighbour entries (net/core/neighbour.c): ARP and NDP, permanent ones and proxies."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterable, Iterator
from typing import ClassVar

from netlab.kernel import namespaces, unknown
from netlab.kernel.netlink import Netlink, Request, open_netlink, request
from netlab.kernel.objects.base import PUT, Devices, Indexes, ObjectType, family
from netlab.kernel.pyroute import ndmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import Neighbour

_NOARP, _PERMANENT = 0x40, 0x80
_PROXY, _ROUTER = 0x08, 0x80
_UNICAST = 1  # RTN_UNICAST
_STATES = {"permanent": _PERMANENT, "noarp": _NOARP}
_FIXED = _PERMANENT | _NOARP
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_read = Reader(
    ndmsg, {"NDA_DST", "NDA_LLADDR"}, ignored={"NDA_CACHEINFO", "NDA_PROBES", "NDA_PROTOCOL"}
)


class NeighbourType(ObjectType):
    type = Neighbour
    field: ClassVar[str] = "neighbours"
    rank: ClassVar[int] = 1

    def add(self, item: Neighbour, indexes: Indexes) -> Request:
        """Replaced, as the kernel may have learned one where a permanent one lacks."""
        return _request(rtnl.RTM_NEWNEIGH, PUT, item, indexes[item.link])

    def remove(self, item: Neighbour, indexes: Indexes) -> Request:
        return _delete(indexes[item.link], item)

    def change(self, want: Neighbour, have: Neighbour, indexes: Indexes) -> Iterator[Request]:
        yield self.add(want, indexes)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Neighbour]:
        """Those that do not expire; IPv6 keeps entries for multicast groups, which are its own."""
        for question in (_QUESTION, _PROXIES):
            for body in netlink.dump(question):
                state, proxy = int.from_bytes(body[8:10], sys.byteorder), body[10] & _PROXY
                if not (proxy or (state & _FIXED and body[11] == _UNICAST)):
                    continue
                (family_, index, state, flags, _type), values = _read(body)
                if index in devices and family_ in _FAMILIES:
                    yield _neighbour(devices[index], state, flags, values)


def _request(kind: int, flags: int, item: Neighbour, index: int) -> Request:
    fields = {
        "family": family(item.address),
        "ifindex": index,
        "state": 0 if item.proxy else _STATES[item.state],
        "flags": _PROXY if item.proxy else 0,
        "ndm_type": _UNICAST,
    }
    attributes = (("NDA_DST", item.address), ("NDA_LLADDR", item.mac or None))
    return request(ndmsg, kind, flags, fields, attributes, item)


def _neighbour(link: str, state: int, flags: int, values: dict[str, str]) -> Neighbour:
    others = unknown.words(ndmsg, values)
    if rest := flags & ~(_PROXY | _ROUTER):  # a router is one by what it says itself
        others = f"flags {rest:#x} {others}".strip()
    if flags & _PROXY:
        return Neighbour(link, values["NDA_DST"], proxy=True, others=others)
    word = "permanent" if state & _PERMANENT else "noarp"
    return Neighbour(link, values["NDA_DST"], values.get("NDA_LLADDR", ""), word, others=others)


_QUESTION = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": socket.AF_UNSPEC})
_PROXIES = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": socket.AF_UNSPEC, "flags": _PROXY})


def flush(namespace: str, entries: Iterable[tuple[str, str]]) -> None:
    """Delete a namespace's entries, each given as (device, address), of both families.

    Those that are not there, or whose device is not, are no error. Raises FileNotFoundError where
    there is no such namespace.
    """
    by_device: dict[str, list[str]] = {}
    for device, address in entries:
        by_device.setdefault(device, []).append(address)
    with namespaces.inside(namespace), contextlib.closing(open_netlink()) as netlink:
        requests = []
        for device, addresses in by_device.items():
            with contextlib.suppress(OSError):  # the device is gone, and its entries with it
                index = socket.if_nametoindex(device)
                requests += [_delete(index, Neighbour(device, item)) for item in addresses]
        netlink.send(requests)


def _delete(index: int, item: Neighbour) -> Request:
    return _request(rtnl.RTM_DELNEIGH, 0, item, index)
