"""Forwarding entries of VXLAN devices (drivers/net/vxlan)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import ClassVar

from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import PUT, Devices, Indexes, ObjectType
from netlab.kernel.pyroute import ndmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import FdbEntry

_AF_BRIDGE = 7
_NOARP, _PERMANENT = 0x40, 0x80
_SELF, _EXT_LEARNED = 0x02, 0x10
_read = Reader(ndmsg, {"NDA_DST", "NDA_LLADDR", "NDA_PORT", "NDA_VNI"})


class FdbType(ObjectType):
    type = FdbEntry
    field: ClassVar[str] = "fdb"
    rank: ClassVar[int] = 2

    def belongs(self, kinds: Collection[str]) -> bool:
        return "vxlan" in kinds

    def add(self, item: FdbEntry, indexes: Indexes) -> Request:
        return _request(rtnl.RTM_NEWNEIGH, PUT, item, indexes)

    def remove(self, item: FdbEntry, indexes: Indexes) -> Request:
        return _request(rtnl.RTM_DELNEIGH, 0, item, indexes)

    def change(self, want: FdbEntry, have: FdbEntry, indexes: Indexes) -> Iterator[Request]:
        yield self.add(want, indexes)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[FdbEntry]:
        """Those with a destination: they are of VXLAN devices, and the kernel makes none."""
        for body in netlink.dump(_QUESTION):
            (_family, index, state, flags, _type), values = _read(body)
            fixed = state & (_PERMANENT | _NOARP) or flags & _EXT_LEARNED
            if fixed and "NDA_DST" in values and index in devices:
                yield FdbEntry(
                    devices[index],
                    values["NDA_LLADDR"],
                    values["NDA_DST"],
                    values.get("NDA_PORT", 0),
                    values.get("NDA_VNI", 0),
                )


_QUESTION = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": _AF_BRIDGE})


def _request(kind: int, flags: int, item: FdbEntry, indexes: Indexes) -> Request:
    fields = {
        "family": _AF_BRIDGE,
        "ifindex": indexes[item.link],
        "state": _PERMANENT,
        "flags": _SELF,
    }
    attributes = (
        ("NDA_DST", item.destination),
        ("NDA_LLADDR", item.mac),
        ("NDA_PORT", item.port or None),
        ("NDA_VNI", item.vni or None),
    )
    return request(ndmsg, kind, flags, fields, attributes, item)
