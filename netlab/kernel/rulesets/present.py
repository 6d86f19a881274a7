"""Whether a namespace has rulesets at all: most have none, and reading them costs a hundred times
what it costs to know that.

Looking creates nothing: a legacy table is made by reading it, so that it is read only where the
kernel names it; and no kernel module is loaded to find that there is nothing of its kind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from typing import NamedTuple

from netlab.plan.rulesets.iptables import Family

_SIZE = 65536  # bytes; more than the first part of any answer


class Present(NamedTuple):
    """What the current namespace has."""

    nft: bool
    ipsets: bool
    legacy: tuple[tuple[Family, tuple[str, ...]], ...]


def present() -> Present:
    """Look at the current namespace (about 50 us where there is nothing)."""
    from pyroute2.netlink import NETLINK_NETFILTER

    nft, ipsets = _requests()
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as netfilter:
        has_tables = _answers(netfilter, nft)
        has_sets = bool(ipsets) and _answers(netfilter, ipsets)
    return Present(has_tables, has_sets, tuple(_legacy()))


@functools.cache
def _requests() -> tuple[bytes, bytes]:
    """The dumps of nftables' tables and of the names of ip sets; without ip_set no second one."""
    from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_IPSET, NFNL_SUBSYS_NFTABLES, ipset
    from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_GETTABLE, nft_table_msg

    tables = nft_table_msg()
    tables["header"]["type"] = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE
    names = ipset.ipset_msg()
    names["nfgen_family"] = socket.AF_INET
    names["header"]["type"] = NFNL_SUBSYS_IPSET << 8 | ipset.IPSET_CMD_LIST
    names["attrs"] = [
        ["IPSET_ATTR_PROTOCOL", 6],
        ["IPSET_ATTR_FLAGS", ipset.IPSET_FLAG_LIST_SETNAME],
    ]
    for message in (tables, names):
        message["header"]["flags"] = NLM_F_REQUEST | NLM_F_DUMP
        message.encode()
    # The module shows itself here even where it is built in; asking the kernel would load it.
    has_module = os.path.isdir("/sys/module/ip_set")
    return bytes(tables.data), bytes(names.data) if has_module else b""


def _answers(netfilter: socket.socket, request: bytes) -> bool:
    """Whether a dump has anything before its end."""
    from pyroute2.netlink import NLMSG_DONE, NLMSG_ERROR

    netfilter.send(request)
    kinds = _kinds(netfilter.recv(_SIZE))
    found = kinds[0] not in (NLMSG_DONE, NLMSG_ERROR)
    while not {NLMSG_DONE, NLMSG_ERROR} & set(kinds):
        kinds = _kinds(netfilter.recv(_SIZE))
    return found


def _kinds(answer: bytes) -> list[int]:
    """The types of the messages of an answer."""
    kinds = []
    offset = 0
    while offset < len(answer):
        size, kind = struct.unpack_from("=IH", answer, offset)
        kinds.append(kind)
        offset += (size + 3) & ~3
    return kinds


def _legacy() -> list[tuple[Family, tuple[str, ...]]]:
    """The legacy tables that the kernel has in this namespace, of both families."""
    found: list[tuple[Family, tuple[str, ...]]] = []
    families: tuple[Family, ...] = ("ip", "ip6")
    for family in families:
        # Without ip_tables in the kernel there is no file, and in some user namespaces no right.
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/thread-self/net/{family}_tables_names", os.O_RDONLY | os.O_CLOEXEC)
            try:
                names = os.read(fd, _SIZE).decode().split()
            finally:
                os.close(fd)
            if names:
                found.append((family, tuple(names)))
    return found
