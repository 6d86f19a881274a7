"""What a namespace remembers of paths' MTUs, for ten minutes after somebody told it one."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from netlab.kernel import namespaces
from netlab.kernel.netlink import open_netlink, request
from netlab.kernel.pyroute import rtmsg, rtnl

_FLUSH = Path("/proc/sys/net/ipv4/route/flush")
_CLONED = 0x200  # RTM_F_CLONED: an exception to a route, and not a route


def flush(namespace: str, target: str) -> None:
    """Let a namespace learn the MTU of the path to an address anew: it may be from before a repair.

    IPv4 forgets all of its paths; of IPv6 the exception itself is deleted, as by `ip -6 route flush
    cache`. A namespace that is gone is no error.
    """
    with contextlib.suppress(OSError), namespaces.inside(namespace):
        if ":" not in target:
            _FLUSH.write_text("1")
            return
        fields = {"family": socket.AF_INET6, "dst_len": 128, "flags": _CLONED}
        wanted = request(rtmsg, rtnl.RTM_DELROUTE, 0, fields, (("RTA_DST", target),), target)
        with contextlib.closing(open_netlink()) as netlink:
            netlink.send([wanted])
