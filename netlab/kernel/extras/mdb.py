"""Multicast groups that somebody set on a bridge or a VXLAN device (`bridge mdb`).

Those that a port joined by itself expire; they are learned. (net/bridge/br_mdb.c,
drivers/net/vxlan/vxlan_mdb.c)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping

from netlab.kernel.attributes import attribute, attributes
from netlab.kernel.extras.base import extra
from netlab.kernel.netlink import Netlink, Request
from netlab.plan.routing import Extra

KINDS = frozenset({"bridge", "vxlan"})  # of devices that have any
_DELETE, _GET = 85, 86  # RTM_DELMDB, RTM_GETMDB
_AF_BRIDGE = 7
_HEADER = struct.Struct("=B3xi")  # struct br_port_msg: family, device
# struct br_mdb_entry: port, state, flags, VLAN, address, protocol
_ENTRY = struct.Struct("=iBBH16s2s2x")
_MDB, _MDB_ENTRY, _INFO = 1, 1, 1  # nested in each other
_PERMANENT = 1
_SET_ENTRY, _SET_ATTRIBUTES = 1, 2
# What identifies an entry beside that (MDBA_MDB_EATTR_*), by its number in a request (MDBE_ATTR_*).
_SET = {4: 1, 6: 5, 7: 6, 8: 7, 9: 8, 10: 9}
_QUESTION = Request(_GET, 0, _HEADER.pack(_AF_BRIDGE, 0), "multicast groups")


def read(netlink: Netlink, names: Mapping[int, str]) -> Iterator[Extra]:
    for body in netlink.dump(_QUESTION):
        _, index = _HEADER.unpack_from(body)
        groups = (data for number, data in attributes(body, _HEADER.size) if number == _MDB)
        entries = (data for group in groups for n, data in attributes(group) if n == _MDB_ENTRY)
        for entry in entries:
            for number, info in attributes(entry):
                if number == _INFO and info[4] & _PERMANENT:
                    yield _entry(index, info, names)


def _entry(index: int, info: bytes, names: Mapping[int, str]) -> Extra:
    port, state, _, vlan, address, protocol = _ENTRY.unpack_from(info)
    where = names.get(index, str(index))
    words = [f"dev {where} port {names.get(port, port)} grp {_group(address, protocol)}"]
    words += [f"vid {vlan}"] if vlan else []
    given = {number: data for number, data in attributes(info, _ENTRY.size) if number in _SET}
    words += [f"attribute-{number} 0x{data.hex()}" for number, data in given.items()]
    known = _ENTRY.pack(port, state, 0, vlan, address, protocol)
    body = _HEADER.pack(_AF_BRIDGE, index) + attribute(_SET_ENTRY, known)
    if given:
        more = b"".join(attribute(_SET[number], data) for number, data in given.items())
        body += attribute(_SET_ATTRIBUTES, more)
    return extra("mdb", " ".join(words), _DELETE, body, where)


def _group(address: bytes, protocol: bytes) -> str:
    """The group: of IPv4, IPv6 or, without either, a MAC."""
    match int.from_bytes(protocol, "big"):
        case 0x0800:
            return socket.inet_ntop(socket.AF_INET, address[:4])
        case 0x86DD:
            return socket.inet_ntop(socket.AF_INET6, address)
    return address[:6].hex(":")
