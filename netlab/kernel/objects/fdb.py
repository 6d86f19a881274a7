"""Forwarding entries: of VXLAN devices, bridges (net/bridge/br_fdb.c) and all other devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from netlab.kernel import unknown
from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import APPEND, PUT, Devices, Indexes, ObjectType
from netlab.kernel.pyroute import ndmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import FdbEntry

_AF_BRIDGE = 7
_NOARP, _PERMANENT = 0x40, 0x80
_SELF, _MASTER, _EXT_LEARNED, _STICKY = 0x02, 0x04, 0x10, 0x40
_STATES = {"permanent": _PERMANENT, "static": _NOARP, "external": _NOARP}
_read = Reader(
    ndmsg,
    {f"NDA_{name}" for name in ("DST", "LLADDR", "PORT", "VNI", "VLAN", "MASTER")},
    # The last is of a device whose socket is in another namespace, which the device tells too.
    ignored={"NDA_CACHEINFO", "NDA_PROBES", "NDA_PROTOCOL", "NDA_FLAGS_EXT", "NDA_LINK_NETNSID"},
)


class FdbType(ObjectType):
    type = FdbEntry
    field: ClassVar[str] = "fdb"
    rank: ClassVar[int] = 2

    def add(self, item: FdbEntry, indexes: Indexes) -> Request:
        """Of a MAC there is one entry, but for that of all MACs, which may have several VTEPs."""
        return _request(rtnl.RTM_NEWNEIGH, APPEND if item.floods else PUT, item, indexes)

    def remove(self, item: FdbEntry, indexes: Indexes) -> Request:
        return _request(rtnl.RTM_DELNEIGH, 0, item, indexes)

    def change(self, want: FdbEntry, have: FdbEntry, indexes: Indexes) -> Iterator[Request]:
        yield self.add(want, indexes)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[FdbEntry]:
        """Those that do not expire, without the multicast groups that a device receives."""
        for body in netlink.dump(_QUESTION):
            (_family, index, state, flags, _type), values = _read(body)
            fixed = state & (_PERMANENT | _NOARP) or flags & (_EXT_LEARNED | _STICKY)
            if not fixed or index not in devices or "NDA_LLADDR" not in values:
                continue
            mac, bridge = values["NDA_LLADDR"], values.get("NDA_MASTER")
            if bridge is None and "NDA_DST" not in values and int(mac[:2], 16) & 1:
                continue
            yield FdbEntry(
                devices[index],
                mac,
                values.get("NDA_DST", ""),
                values.get("NDA_PORT", 0),
                values.get("NDA_VNI", 0),
                _state(state),
                bridge not in (None, index),
                bool(flags & _STICKY),
                values.get("NDA_VLAN", 0),
                unknown.words(ndmsg, values),
            )


_QUESTION = request(ndmsg, rtnl.RTM_GETNEIGH, 0, {"family": _AF_BRIDGE})


def _state(state: int) -> str:
    if state & _PERMANENT:
        return "permanent"
    return "static" if state & _NOARP else "external"


def _request(kind: int, flags: int, item: FdbEntry, indexes: Indexes) -> Request:
    fields = {
        "family": _AF_BRIDGE,
        "ifindex": indexes[item.link],
        "state": _STATES[item.state],
        "flags": (_MASTER if item.master else _SELF) | (_STICKY if item.sticky else 0),
    }
    attributes = (
        ("NDA_DST", item.destination or None),
        ("NDA_LLADDR", item.mac),
        ("NDA_PORT", item.port or None),
        ("NDA_VNI", item.vni or None),
        ("NDA_VLAN", item.vlan or None),
    )
    return request(ndmsg, kind, flags, fields, attributes, item)
