"""Attributes that no plan uses and netlab gives no meaning: what is not understood is still drift.

They are told as they are, `NAME 0xBYTES` each, so that what has them differs from a plan; and given
back as they are, so that it can be removed.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any

from netlab.kernel.atoms import entries
from netlab.kernel.attributes import attribute
from netlab.kernel.netlink import Request
from netlab.kernel.readers import OTHERS

# What pyroute2 0.9 has no names for (linux/fib_rules.h, linux/rtnetlink.h of 6.18).
_LATER = {
    "fibmsg": {
        25: "dscp", 26: "flowlabel", 27: "flowlabel_mask", 28: "sport_mask", 29: "dport_mask",
        30: "dscp_mask",
    },
    "rtmsg": {27: "ip_proto", 28: "sport", 29: "dport", 30: "nh_id", 31: "flowlabel"},
}  # fmt: skip


def words(message: type, values: Mapping[str, Any]) -> str:
    """The attributes that a strict reader collected; empty where there are none."""
    others = values.get(OTHERS)
    if not others:
        return ""
    names, _ = _names(message)
    return " ".join(
        f"{names.get(number, f'attribute-{number}')} 0x{data.hex()}" for number, data in others
    )


def given_back(message: type, item: Request, told: str, but: Collection[str] = ()) -> Request:
    """A request with the attributes that `words` told."""
    if not told:
        return item
    _, numbers = _names(message)
    parts = [item.body]
    pieces = told.split()
    for name, value in zip(pieces[::2], pieces[1::2], strict=True):
        if name in but:
            continue
        number = numbers[name] if name in numbers else int(name.rpartition("-")[2])
        parts.append(attribute(number, bytes.fromhex(value[2:])))
    return item._replace(body=b"".join(parts))


@functools.cache
def _names(message: type) -> tuple[Mapping[int, str], Mapping[str, int]]:
    prefix: str = getattr(message, "prefix", "")
    names = {
        entry.number: entry.name.removeprefix(prefix).lower() for entry in entries(message)
    } | _LATER.get(message.__name__, {})
    return names, {name: number for number, name in names.items()}
