"""Addresses (net/ipv4/devinet.c, net/ipv6/addrconf.c)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import NEW, PUT, Devices, Indexes, ObjectType, family
from netlab.kernel.prepared import Attributes
from netlab.kernel.pyroute import ifaddrmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import LOCALHOST, LOCALHOST6, SCOPES, Address

_NODAD, _DADFAILED, _TENTATIVE = 0x02, 0x08, 0x40
_KERNEL_LINK_LOCAL = 3  # IFAPROT_KERNEL_LL
_SCOPES = {name: number for number, name in SCOPES.items()}
_read = Reader(ifaddrmsg, {"IFA_LOCAL", "IFA_ADDRESS", "IFA_FLAGS", "IFA_PROTO"})


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
        if have.state in ("dadfailed", "not local") or want.scope != have.scope:
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
        return request(ifaddrmsg, kind, flags, fields, _attributes(item), item)

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
            )


_QUESTION = request(ifaddrmsg, rtnl.RTM_GETADDR, 0, {"family": socket.AF_UNSPEC})


def _attributes(item: Address) -> Attributes:
    if family(item.ip) == socket.AF_INET6:
        return (("IFA_ADDRESS", item.ip), ("IFA_FLAGS", _NODAD if item.nodad else None))
    broadcast = _broadcast(item.ip, item.prefix_length) if item.prefix_length < 31 else None
    return (("IFA_LOCAL", item.ip), ("IFA_ADDRESS", item.ip), ("IFA_BROADCAST", broadcast))


def _broadcast(ip: str, length: int) -> str:
    """By hand, as `ipaddress` takes ten times as long and every pod has one."""
    number = int.from_bytes(socket.inet_aton(ip), "big") | (1 << (32 - length)) - 1
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def _state(flags: int) -> str:
    if flags & _DADFAILED:
        return "dadfailed"
    return "tentative" if flags & _TENTATIVE else ""
