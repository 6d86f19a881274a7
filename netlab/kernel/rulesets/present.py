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
from typing import Any, NamedTuple

from netlab.plan.rulesets.iptables import Family

# Bytes: a dump's parts are at most 8 KiB to a small buffer, and a large one is slow to make.
_SIZE = 8192
_GET_TABLE = 1  # NFT_MSG_GETTABLE; pyroute2 has it beside its sockets, which take 0.02 s to load


class Present(NamedTuple):
    """What the current namespace has."""

    nft: bool
    ipsets: bool
    legacy: tuple[tuple[Family, tuple[str, ...]], ...]


def look() -> Present:
    """Look at the current namespace (about 60 us where there is nothing)."""
    from pyroute2.netlink import NETLINK_NETFILTER

    tables, names = _questions()
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as netfilter:
        has_tables = _has_any(netfilter, tables)
        has_sets = bool(names) and _has_any(netfilter, names)
    return Present(has_tables, has_sets, tuple(_legacy()))


@functools.cache
def _questions() -> tuple[bytes, bytes]:
    """The dumps of nftables' tables and of the names of ip sets; without ip_set no second one."""
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_IPSET, NFNL_SUBSYS_NFTABLES, nfgen_msg

    tables = _question(nfgen_msg(), NFNL_SUBSYS_NFTABLES << 8 | _GET_TABLE)
    # The module shows itself here even where it is built in; asking the kernel would load it.
    if not os.path.isdir("/sys/module/ip_set"):
        return tables, b""
    from pyroute2.netlink.nfnetlink import ipset

    names = ipset.ipset_msg()
    names["nfgen_family"] = socket.AF_INET
    flags = ipset.IPSET_FLAG_LIST_SETNAME
    names["attrs"] = [["IPSET_ATTR_PROTOCOL", 6], ["IPSET_ATTR_FLAGS", flags]]
    return tables, _question(names, NFNL_SUBSYS_IPSET << 8 | ipset.IPSET_CMD_LIST)


def _question(message: Any, kind: int) -> bytes:
    from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST

    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_DUMP
    message.encode()
    return bytes(message.data)


def _has_any(netfilter: socket.socket, question: bytes) -> bool:
    """Whether a dump has anything before its end; an error is a kernel without its kind."""
    from pyroute2.netlink import NLMSG_DONE, NLMSG_ERROR

    netfilter.send(question)
    kinds = _kinds(netfilter.recv(_SIZE))
    found = kinds[0] not in (NLMSG_DONE, NLMSG_ERROR)
    while NLMSG_DONE not in kinds and NLMSG_ERROR not in kinds:
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
