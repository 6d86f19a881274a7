"""Addresses (net/ipv4/devinet.c, net/ipv6/addrconf.c)."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from netlab.kernel import unknown
from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import NEW, PUT, Devices, Indexes, ObjectType, family
from netlab.kernel.prepared import Attributes
from netlab.kernel.pyroute import ifaddrmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import LOCALHOST, LOCALHOST6, SCOPES, Address

_NODAD, _DADFAILED, _TENTATIVE = 0x02, 0x08, 0x40
# IFA_F_SECONDARY, _DEPRECATED and _PERMANENT follow from other addresses and the lifetimes.
_FOLLOWING = 0x01 | 0x20 | 0x80
_NOPREFIXROUTE = 0x200
_FOREVER = b"\xff" * 8  # both lifetimes, in struct ifa_cacheinfo
_KERNEL_LINK_LOCAL = 3  # IFAPROT_KERNEL_LL
_SCOPES = {name: number for number, name in SCOPES.items()}
_read = Reader(
    ifaddrmsg,
    {f"IFA_{name}" for name in ("LOCAL", "ADDRESS", "FLAGS", "PROTO", "LABEL", "BROADCAST")}
    | {"IFA_CACHEINFO"},
    ignored=(),
)


class AddressType(ObjectType):
    type = Address
    field: ClassVar[str] = "addresses"
    rank: ClassVar[int] = 0

    def made_by_kernel(self, item: Address) -> bool:
        return item in (LOCALHOST, LOCALHOST6)

    def add(self, item: Address, indexes: Indexes) -> Request:
        return self._request(rtnl.RTM_NEWADDR, NEW, item, indexes)

    def remove(self, item: Address, indexes: Indexes) -> Request:
        return self._request(rtnl.RTM_DELADDR, 0, item, indexes)

    def change(self, want: Address, have: Address, indexes: Indexes) -> Iterator[Request]:
        """`nodad` changes in place, so that its routes stay; the rest makes another address.

        One that is only tentative is left to the kernel: it becomes usable by itself. One whose
        route in the local table was deleted gets it back with a new address only.
        """
        lost = have.state not in ("", "tentative")
        if lost or (want.scope, want.others) != (have.scope, have.others):
            yield from super().change(want, have, indexes)
        elif want.nodad != have.nodad:
            yield self._request(rtnl.RTM_NEWADDR, PUT, want, indexes)

    def _request(self, kind: int, flags: int, item: Address, indexes: Indexes) -> Request:
        fields = {
            "family": family(item.ip),
            "prefixlen": item.prefix_length,
            "scope": _SCOPES[item.scope],
            "index": indexes[item.link],
        }
        attributes = _attributes(item)
        if kind == rtnl.RTM_DELADDR and item.others:  # with a peer, that is what IFA_ADDRESS says
            attributes = [pair for pair in attributes if pair[0] == _local(item.ip)]
        return request(ifaddrmsg, kind, flags, fields, attributes, item)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Address]:
        """All but the link-local addresses that the kernel made from a device's MAC.

        Those follow from the device's `addr_gen_mode`, which is compared.
        """
        for body in netlink.dump(_QUESTION):
            (_family, length, flags, scope, index), values = _read(body)
            if index not in devices or values.get("IFA_PROTO") == _KERNEL_LINK_LOCAL:
                continue
            ip = values.get("IFA_LOCAL") or values["IFA_ADDRESS"]
            flags = values.get("IFA_FLAGS", flags)
            yield Address(
                devices[index],
                f"{ip}/{length}",
                SCOPES.get(scope, str(scope)),
                bool(flags & _NODAD),
                _state(flags),
                _others(devices[index], ip, length, flags, values),
            )


_QUESTION = request(ifaddrmsg, rtnl.RTM_GETADDR, 0, {"family": socket.AF_UNSPEC})


def _attributes(item: Address) -> Attributes:
    if family(item.ip) == socket.AF_INET6:
        return (("IFA_ADDRESS", item.ip), ("IFA_FLAGS", _NODAD if item.nodad else None))
    broadcast = _broadcast(item.link, item.ip, item.prefix_length)
    return (("IFA_LOCAL", item.ip), ("IFA_ADDRESS", item.ip), ("IFA_BROADCAST", broadcast))


def _local(ip: str) -> str:
    return "IFA_ADDRESS" if family(ip) == socket.AF_INET6 else "IFA_LOCAL"


def _others(link: str, ip: str, length: int, flags: int, values: Mapping[str, Any]) -> str:
    """What no plan gives an address, in words: nothing for one that was added as a plan's is."""
    words = []
    if (peer := values.get("IFA_ADDRESS", ip)) != ip:
        words.append(f"peer {peer}")
    if family(ip) == socket.AF_INET:
        broadcast = values.get("IFA_BROADCAST")
        if broadcast != _broadcast(link, ip, length):
            words.append(f"broadcast {broadcast or 'none'}")
        if (label := values.get("IFA_LABEL", link)) != link:
            words.append(f"label {label}")
    if values.get("IFA_CACHEINFO", _FOREVER)[:8] != _FOREVER:
        words.append("expires")
    if flags & _NOPREFIXROUTE:
        words.append("noprefixroute")
    if rest := flags & ~(_NODAD | _DADFAILED | _TENTATIVE | _FOLLOWING | _NOPREFIXROUTE):
        words.append(f"flags {rest:#x}")
    if told := unknown.words(ifaddrmsg, values):
        words.append(told)
    return " ".join(words)


@functools.lru_cache(maxsize=4096)
def _broadcast(link: str, ip: str, length: int) -> str | None:
    """The broadcast address; by hand, as `ipaddress` takes ten times as long and each pod has one.

    The loopback device's addresses have none, nor has a network of two addresses or one.
    """
    if length > 30 or link == "lo":
        return None
    number = int.from_bytes(socket.inet_aton(ip), "big") | (1 << (32 - length)) - 1
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _state(flags: int) -> str:
    if flags & _DADFAILED:
        return "dadfailed"
    return "tentative" if flags & _TENTATIVE else ""
