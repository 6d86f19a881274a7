"""Nexthop objects (`ip nexthop`; net/ipv4/nexthop.c), which routes may use by their number."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping

from netlab.kernel.attributes import attribute, attributes
from netlab.kernel.extras.base import extra, unnamed
from netlab.kernel.netlink import Netlink, Request
from netlab.plan.routing import Extra

_DELETE, _GET = 105, 106  # RTM_DELNEXTHOP, RTM_GETNEXTHOP (linux/rtnetlink.h)
_HEADER = struct.Struct("=BBBxI")  # struct nhmsg: family, scope, protocol, flags
_ID, _GROUP, _GROUP_TYPE, _BLACKHOLE, _OIF, _GATEWAY = 1, 2, 3, 4, 5, 6  # linux/nexthop.h
_OP_FLAGS = 14  # NHA_OP_FLAGS, which ask for counters
_MEMBER = struct.Struct("=IBBH")  # struct nexthop_grp
_QUESTION = Request(_GET, 0, _HEADER.pack(0, 0, 0, 0), "nexthop objects")


def read(netlink: Netlink, names: Mapping[int, str]) -> Iterator[Extra]:
    for body in netlink.dump(_QUESTION):
        values = dict(attributes(body, _HEADER.size))
        number = values.pop(_ID)
        deletion = _HEADER.pack(0, 0, 0, 0) + attribute(_ID, number)
        (value,) = struct.unpack("=I", number)
        index = struct.unpack("=I", values.get(_OIF, bytes(4)))[0]
        words = " ".join([str(value), *_words(values, names)])
        yield extra("nexthop", words, _DELETE, deletion, names.get(index, ""))


def _words(values: dict[int, bytes], names: Mapping[int, str]) -> Iterator[str]:
    if members := values.pop(_GROUP, b""):
        values.pop(_GROUP_TYPE, None)
        values.pop(_OP_FLAGS, None)
        yield "group " + "/".join(str(member) for member, *_ in _MEMBER.iter_unpack(members))
    if gateway := values.pop(_GATEWAY, b""):
        family = socket.AF_INET if len(gateway) == 4 else socket.AF_INET6
        yield f"via {socket.inet_ntop(family, gateway)}"
    if out := values.pop(_OIF, b""):
        (index,) = struct.unpack("=I", out)
        yield f"dev {names.get(index, index)}"
    if values.pop(_BLACKHOLE, None) is not None:
        yield "blackhole"
    yield from unnamed(values)
