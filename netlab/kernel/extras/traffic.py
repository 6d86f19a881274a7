"""Queueing disciplines and filters that somebody put on a device (`tc`; net/sched).

The kernel's own disciplines have no handle. Classes belong to their discipline and go with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from netlab.kernel.attributes import attribute, attributes
from netlab.kernel.extras.base import extra
from netlab.kernel.netlink import Netlink, Request
from netlab.plan.routing import Extra

_DELETE, _GET = 37, 38  # RTM_DELQDISC, RTM_GETQDISC
_DELETE_FILTER, _GET_FILTER = 45, 46  # RTM_DELTFILTER, RTM_GETTFILTER
_HEADER = struct.Struct("=BxxxiIII")  # struct tcmsg: family, device, handle, parent, info
_KIND, _CHAIN = 1, 11  # TCA_KIND, TCA_CHAIN
_ROOT, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_WHERE = {0xFFFFFFF2: "ingress", 0xFFFFFFF3: "egress"}  # of clsact, each with filters of its own
_QUESTION = Request(_GET, 0, _HEADER.pack(0, 0, 0, 0, 0), "queueing disciplines")


def read(netlink: Netlink, names: Mapping[int, str]) -> Iterator[Extra]:
    """Filters before disciplines, and these from the leaves to the root, as they are deleted."""
    found = [body for body in netlink.dump(_QUESTION) if _HEADER.unpack_from(body)[2]]
    for body in reversed(found):
        _, index, handle, parent, _ = _HEADER.unpack_from(body)
        device = names.get(index, str(index))
        kind = _text(dict(attributes(body, _HEADER.size))[_KIND])
        for where in _WHERE if kind == "clsact" else (handle,):
            yield from _filters(netlink, index, where, device)
        words = f"{kind} {_place(parent)} dev {device} handle {_number(handle)}"
        deletion = _HEADER.pack(0, index, handle, parent, 0)
        yield extra("qdisc", words, _DELETE, deletion, device)


def _filters(netlink: Netlink, index: int, parent: int, device: str) -> Iterator[Extra]:
    """The filters at one place; those of one priority are one, and go together."""
    question = Request(_GET_FILTER, 0, _HEADER.pack(0, index, 0, parent, 0), "filters")
    seen = set()
    for body in netlink.dump(question):
        info = _HEADER.unpack_from(body)[4]  # the priority, and the protocol in network order
        values = dict(attributes(body, _HEADER.size))
        kind, chain = values[_KIND], values.get(_CHAIN, bytes(4))
        if (info, chain) in seen:
            continue
        seen.add((info, chain))
        priority, protocol = info >> 16, (info & 0xFF) << 8 | (info >> 8) & 0xFF
        words = [f"{_text(kind)} {_place(parent)} dev {device} pref {priority}"]
        words += [f"protocol {protocol:#06x}"]
        words += [f"chain {struct.unpack('=I', chain)[0]}"] if any(chain) else []
        deletion = _HEADER.pack(0, index, 0, parent, info) + attribute(_CHAIN, chain)
        yield extra("filter", " ".join(words), _DELETE_FILTER, deletion, device)


def _place(parent: int) -> str:
    if parent == _ROOT:
        return "root"
    if parent == _INGRESS:
        return "ingress"
    return _WHERE.get(parent) or f"parent {_number(parent)}"


def _number(handle: int) -> str:
    return f"{handle >> 16:x}:{handle & 0xFFFF or '':{'x' if handle & 0xFFFF else ''}}"


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
