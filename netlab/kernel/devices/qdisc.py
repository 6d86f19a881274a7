"""Queueing disciplines: a plan has the kernel's own, so one that somebody put there is removed."""

from __future__ import annotations

from netlab.kernel.netlink import Request, request
from netlab.kernel.pyroute import rtnl
from netlab.plan.links import Link

_ROOT = 0xFFFFFFFF  # TC_H_ROOT


def put_back(index: int, link: Link) -> Request:
    """Remove the root qdisc; the kernel puts its own in that place."""
    from pyroute2.netlink.rtnl.tcmsg import tcmsg  # 0.01 s, for what is seldom

    fields = {"index": index, "parent": _ROOT}
    return request(tcmsg, rtnl.RTM_DELQDISC, 0, fields, (), f"qdisc of {link}")
