"""What nftables' tables hold, by name and number: libnftables would read and print every rule."""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Iterator

from netlab.kernel.netlink import Netlink, Request, open_netlink
from netlab.kernel.pyroute import netlink as nl

# Of linux/netfilter/nf_tables.h: how to ask for each kind, and which attribute is its name; the
# table's is the first. A rule has the name of its chain.
_TABLE, _CHAIN, _RULE, _SET, _OBJECT, _FLOWTABLE = 1, 4, 7, 10, 19, 23
_KINDS = (
    ("chain", _CHAIN, 3),
    ("rule", _RULE, 2),
    ("set", _SET, 2),
    ("object", _OBJECT, 2),
    ("flowtable", _FLOWTABLE, 2),
)
_NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
_HEAD = 4  # bytes of struct nfgenmsg, of which the first is the family
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_NUMBERS = {name: number for number, name in _FAMILIES.items()}
_SET_FLAGS, _ANONYMOUS = 3, 1  # a set that is a part of a rule


def keys() -> list[str]:
    """The tables of the current namespace, each as FAMILY NAME."""
    with _netfilter() as netlink:
        found = _dump(netlink, _TABLE, 0)
        return [f"{_FAMILIES[answer[0]]} {_text(answer, 1)}" for answer in found]


def shape(key: str) -> Counter[tuple[str, str]]:
    """How many rules each chain of a table has, and what else there is in it, by kind and name."""
    family, name = key.split(" ", 1)
    result: Counter[tuple[str, str]] = Counter()
    with _netfilter() as netlink:
        for what, kind, number in _KINDS:
            for answer in _dump(netlink, kind, _NUMBERS[family]):
                if _text(answer, 1) != name:
                    continue
                if what == "rule":
                    result["chain", _text(answer, number)] += 1
                elif what != "set" or not _is_anonymous(answer):
                    result[what, _text(answer, number)] += 0
    return result


@contextlib.contextmanager
def _netfilter() -> Iterator[Netlink]:
    with contextlib.closing(open_netlink(nl.NETLINK_NETFILTER)) as netlink:
        yield netlink


def _dump(netlink: Netlink, kind: int, family: int) -> list[bytes]:
    return netlink.dump(Request(_NFTABLES | kind, 0, bytes([family, 0, 0, 0]), "nftables"))


def _attribute(answer: bytes, wanted: int) -> bytes:
    offset = _HEAD
    while offset < len(answer):
        length, number = struct.unpack_from("=HH", answer, offset)
        if number & 0x3FFF == wanted:
            return answer[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return b""


def _text(answer: bytes, wanted: int) -> str:
    return _attribute(answer, wanted).rstrip(b"\0").decode()


def _is_anonymous(answer: bytes) -> bool:
    return bool(int.from_bytes(_attribute(answer, _SET_FLAGS)) & _ANONYMOUS)
