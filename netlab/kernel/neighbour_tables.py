"""The kernel's neighbour tables, one of ARP and one of NDP: their limits are for all namespaces.

The host's own entries, and those of everybody else's labs, count too (net/core/neighbour.c).
"""

from __future__ import annotations

import contextlib
import socket
import struct

from netlab.kernel.netlink import open_netlink, request
from netlab.kernel.pyroute import ndtmsg, rtnl
from netlab.kernel.readers import Reader

_FULL_AT = 80  # bytes into struct ndt_stats (linux/neighbour.h): ndts_table_fulls
_read = Reader(ndtmsg, {"NDTA_STATS"})


def refusals() -> int:
    """How often a table had no room for an entry, of either family, since the kernel started.

    The packet that needed the entry was dropped then, and whoever sent it not told.
    """
    question = request(ndtmsg, rtnl.RTM_GETNEIGHTBL, 0, {"family": socket.AF_UNSPEC})
    with contextlib.closing(open_netlink()) as netlink:
        found = [_read(body)[1].get("NDTA_STATS") for body in netlink.dump(question)]
    return sum(struct.unpack_from("=Q", stats, _FULL_AT)[0] for stats in found if stats)
