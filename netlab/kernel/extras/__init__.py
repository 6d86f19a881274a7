"""A file for each type of object that no plan has: seen, named and deleted, never made.

What a plan will have one day moves to `netlab.kernel.objects`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from netlab.kernel.extras import mdb, nexthop, traffic, xfrm
from netlab.kernel.netlink import Netlink
from netlab.plan.routing import Extra


def read(netlink: Netlink, names: Mapping[int, str], kinds: Collection[str]) -> Iterator[Extra]:
    """All that the current namespace has; `kinds` are those of its devices."""
    yield from nexthop.read(netlink, names)
    if not mdb.KINDS.isdisjoint(kinds):
        yield from mdb.read(netlink, names)
    yield from traffic.read(netlink, names)
    yield from xfrm.read()
