"""A machine's interface on the underlay: brought up for labs, and down again after the last one.

Vagrant leaves one that it gives no address (`auto_config: false`) down. That netlab brought it up
is a file beside the labs, which goes as the interface's state does when the machine restarts. The
file has the qdisc that was there.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from netlab.errors import Unmet
from netlab.hosts.protocol import Tell

if TYPE_CHECKING:
    from netlab.kernel.netlink import Request

CARRIER = 5.0  # seconds for a link to come up; hardware agrees on its speed first
_UP, _RUNNING = 0x1, 0x40  # IFF_UP, IFF_RUNNING: the latter is not there without a carrier
_NEVER_UP = "noop"  # the qdisc of such an interface
_HANDLE, _ROOT = 1 << 16, 0xFFFFFFFF  # 1:, TC_H_ROOT
_MARK = ".up-"  # no lab's name begins so


class Interface(msgspec.Struct, frozen=True):
    device: str


class Unused(msgspec.Struct, frozen=True):
    """All interfaces that netlab brought up and no lab uses."""


class _State(NamedTuple):
    number: int
    up: bool
    carrier: bool
    qdisc: str


def bring_up(given: Interface, tell: Tell) -> None:
    """Have it up, and wait for its carrier. Raises Unmet where that cannot be had."""
    device = given.device
    state = _state(device)
    if not state.up:
        mark = _marks() / f"{_MARK}{device}"
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.write_text(state.qdisc)
        _set(device, state.number, up=True)
        state = _state(device)
    deadline = time.monotonic() + CARRIER
    while not state.carrier:
        if time.monotonic() > deadline:
            bring_down(Unused(), tell)
            raise Unmet(f"The interface {device} has no carrier", "connect it")
        time.sleep(0.02)
        state = _state(device)


def bring_down(given: Unused, tell: Tell) -> None:
    """Have those down again that `bring_up` brought up, but for what a lab here is still on."""
    from netlab.kernel import lab as folders
    from netlab.state import Share
    from netlab.stored import SHARE

    marks = {mark.name.removeprefix(_MARK): mark for mark in _marks().glob(f"{_MARK}*")}
    if not marks:
        return
    shares = [lab.read(SHARE, Share) for lab in folders.labs() if lab.has(SHARE) and lab.runs()]
    used = {share.spread.machine(share.machine).device for share in shares}
    for device in marks.keys() - used:
        with contextlib.suppress(Unmet):  # it may have gone
            index = _state(device).number
            _set(device, index, up=False)
            if marks[device].read_text() == _NEVER_UP:
                _forget_qdisc(device, index)
        marks[device].unlink(missing_ok=True)
    folders.remove_if_empty()


def _marks() -> Path:
    from netlab.kernel import lab as folders

    return folders.root()


def _state(device: str) -> _State:
    """An interface as it is. Raises Unmet where there is none of that name."""
    from netlab.kernel.netlink import open_netlink, request
    from netlab.kernel.pyroute import linkmsg, rtnl
    from netlab.kernel.readers import Reader

    read = Reader(linkmsg, {"IFLA_IFNAME", "IFLA_QDISC"})
    with contextlib.closing(open_netlink()) as netlink:
        links = netlink.dump(request(linkmsg, rtnl.RTM_GETLINK, 0, {}))
    for fields, values in map(read, links):
        if values["IFLA_IFNAME"] == device:
            found = dict(zip(read.fields, fields, strict=True))
            flags = found["flags"]
            qdisc = values.get("IFLA_QDISC", "")
            return _State(found["index"], bool(flags & _UP), bool(flags & _RUNNING), qdisc)
    raise Unmet(f"There is no interface {device}", "name another")


def _set(device: str, index: int, *, up: bool) -> None:
    """Set whether it is up. Raises Unmet."""
    from netlab.kernel.netlink import request
    from netlab.kernel.pyroute import linkmsg, rtnl

    fields = {"index": index, "flags": _UP if up else 0, "change": _UP}
    _send(request(linkmsg, rtnl.RTM_NEWLINK, 0, fields, (), device))


def _forget_qdisc(device: str, index: int) -> None:
    """Have it as one that was never up: once any of its own was deleted, it has none."""
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    from netlab.kernel.netlink import request
    from netlab.kernel.pyroute import netlink as nl
    from netlab.kernel.pyroute import rtnl

    fields = {"index": index, "handle": _HANDLE, "parent": _ROOT}
    flags = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
    kind = (("TCA_KIND", "pfifo"),)
    _send(
        request(tcmsg, rtnl.RTM_NEWQDISC, flags, fields, kind, device),
        request(tcmsg, rtnl.RTM_DELQDISC, 0, fields, (), device),
    )


def _send(*requests: Request) -> None:
    from netlab.kernel.netlink import open_netlink

    with contextlib.closing(open_netlink()) as netlink:
        refused = netlink.send(requests)
    if refused:
        raise Unmet(f"The interface {refused[0]}", "see why")
