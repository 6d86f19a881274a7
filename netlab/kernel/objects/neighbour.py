"""Neighbour entries (net/core/neighbour.c): ARP and NDP, permanent ones and proxies."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from netlab.kernel import namespaces, unknown
from netlab.kernel.netlink import Netlink, Request, open_netlink, request
from netlab.kernel.objects.base import NEW, PUT, Devices, Indexes, ObjectType, family
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
    ndmsg, {"NDA_DST", "NDA_LLADDR", "NDA_PROTOCOL"}, ignored={"NDA_CACHEINFO", "NDA_PROBES"}
)


class NeighbourType(ObjectType):
    type = Neighbour
    field: ClassVar[str] = "neighbours"
    rank: ClassVar[int] = 1

    def add(self, item: Neighbour, indexes: Indexes) -> Request:
        """Replaced, as the kernel may have learned one where a permanent one lacks."""
        return _request(rtnl.RTM_NEWNEIGH, PUT, item, indexes[item.link], item.mac)

    def remove(self, item: Neighbour, indexes: Indexes) -> Request:
        return _delete(indexes[item.link], item)

    def change(self, want: Neighbour, have: Neighbour, indexes: Indexes) -> Iterator[Request]:
        if want.protocol != have.protocol:  # the kernel keeps one that it is not told anew
            yield self.remove(have, indexes)
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


def _request(kind: int, flags: int, item: Neighbour, index: int, mac: str = "") -> Request:
    fields = {
        "family": family(item.address),
        "ifindex": index,
        "state": 0 if item.proxy else _STATES[item.state],
        "flags": _PROXY if item.proxy else 0,
        "ndm_type": _UNICAST,
    }
    attributes = (
        ("NDA_DST", item.address),
        ("NDA_LLADDR", mac or None),
        ("NDA_PROTOCOL", item.protocol or None),
    )
    return request(ndmsg, kind, flags, fields, attributes, item)


def _neighbour(link: str, state: int, flags: int, values: dict[str, Any]) -> Neighbour:
    address, protocol = values["NDA_DST"], values.get("NDA_PROTOCOL", 0)
    others = unknown.words(ndmsg, values)
    if rest := flags & ~(_PROXY | _ROUTER):  # a router is one by what it says itself
        others = f"flags {rest:#x} {others}".strip()
    if flags & _PROXY:
        return Neighbour(link, address, proxy=True, protocol=protocol, others=others)
    word = "permanent" if state & _PERMANENT else "noarp"
    return Neighbour(link, address, values.get("NDA_LLADDR", ""), word, False, protocol, others)


_QUESTION = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": socket.AF_UNSPEC})
_PROXIES = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": socket.AF_UNSPEC, "flags": _PROXY})


def flush(namespace: str, entries: Iterable[tuple[str, str]]) -> None:
    """Delete what a namespace has learned, each entry given as (device, address).

    As `ip neigh flush` it leaves alone what does not expire. Entries that are not there, or whose
    device is not, are no error. Raises FileNotFoundError where there is no such namespace.
    """
    remove(namespace, (Neighbour(device, address) for device, address in entries), learned=True)


def remove(namespace: str, entries: Iterable[Neighbour], *, learned: bool = False) -> None:
    """Delete entries that may be there. Raises FileNotFoundError for the namespace."""
    _send(namespace, entries, _delete, learned=learned)


def put(namespace: str, entries: Iterable[Neighbour]) -> list[Neighbour]:
    """Make entries where there are none; returns those that were made.

    What is known of an address already, planned, learned or by mistake, stays as it is. Raises
    FileNotFoundError where there is no such namespace.
    """
    entries = list(entries)
    refused = _send(namespace, entries, _new)
    return [item for item in entries if item not in refused] if refused else entries


def made_by(protocol: int, namespace: str) -> list[Neighbour]:
    """A namespace's entries of one protocol. Raises FileNotFoundError where there is none."""
    with namespaces.inside(namespace), contextlib.closing(open_netlink()) as netlink:
        devices = dict(socket.if_nameindex())
        found = NeighbourType().read(netlink, devices)
        return [item for item in found if item.protocol == protocol]


def _send(
    namespace: str,
    entries: Iterable[Neighbour],
    ask: Callable[[int, Neighbour], Request],
    *,
    learned: bool = False,
) -> set[object]:
    """Ask for something to be done with entries; returns those with which it was not.

    With `learned` nothing is done with those that do not expire.
    """
    by_device: dict[str, list[Neighbour]] = {}
    for item in entries:
        by_device.setdefault(item.link, []).append(item)
    refused: set[object] = set()
    with namespaces.inside(namespace), contextlib.closing(open_netlink()) as netlink:
        requests = []
        for device, items in by_device.items():
            try:
                index = socket.if_nametoindex(device)
            except OSError:  # the device is gone, and its entries with it
                refused.update(items)
            else:
                requests += [
                    ask(index, item)
                    for item in items
                    if not learned or _expires(netlink, index, item)
                ]
        refused.update(error.request.subject for error in netlink.send(requests))
    return refused


def _expires(netlink: Netlink, index: int, item: Neighbour) -> bool:
    """Whether there is such an entry, which was learned.

    Asked for alone: a dump looks through the entries of all namespaces of the kernel.
    """
    fields = {"family": family(item.address), "ifindex": index}
    attributes = (("NDA_DST", item.address),)
    try:
        body = netlink.ask(request(ndmsg, rtnl.RTM_GETNEIGH, 0, fields, attributes, item))
    except OSError:
        return False
    return not int.from_bytes(body[8:10], sys.byteorder) & _FIXED


def _new(index: int, item: Neighbour) -> Request:
    return _request(rtnl.RTM_NEWNEIGH, NEW, item, index, item.mac)


def _delete(index: int, item: Neighbour) -> Request:
    """By its key; a tunnel's entries have addresses that are no MACs, and are not written here."""
    return _request(rtnl.RTM_DELNEIGH, 0, item, index)
