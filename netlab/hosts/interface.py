"""A machine's interface on the underlay: brought up for labs, and down again after the last one.

Vagrant leaves one that it gives no address (`auto_config: false`) down. That netlab brought it up
is a file beside the labs, which like the interface's state goes when the machine restarts.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from pathlib import Path

import msgspec

from netlab.errors import Unmet
from netlab.hosts.protocol import Tell

CARRIER = 5.0  # seconds for a link to come up; hardware agrees on its speed first
_UP, _RUNNING = 0x1, 0x40  # IFF_UP, IFF_RUNNING: the latter is not there without a carrier
_SIOCGIFFLAGS, _IFREQ = 0x8913, struct.Struct("16sH22x")  # netdevice(7)
_MARK = ".up-"  # no lab's name begins so


class Interface(msgspec.Struct, frozen=True):
    device: str


class Unused(msgspec.Struct, frozen=True):
    """All interfaces that netlab brought up and no lab uses."""


def bring_up(given: Interface, tell: Tell) -> None:
    """Have it up, and wait for its carrier. Raises Unmet where that cannot be had."""
    device = given.device
    if not _flags(device) & _UP:
        mark = _marks() / f"{_MARK}{device}"
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch(mode=0o600)
        _set(device, _UP)
    deadline = time.monotonic() + CARRIER
    while not _flags(device) & _RUNNING:
        if time.monotonic() > deadline:
            bring_down(Unused(), tell)
            raise Unmet(f"The interface {device} has no carrier", "connect it")
        time.sleep(0.02)


def bring_down(given: Unused, tell: Tell) -> None:
    """Have those down again that `bring_up` brought up, but for what a lab here is still on."""
    from netlab.kernel import lab as folders
    from netlab.running import SHARE
    from netlab.state import Share

    marks = {mark.name.removeprefix(_MARK): mark for mark in _marks().glob(f"{_MARK}*")}
    if not marks:
        return
    shares = [lab.read(SHARE, Share) for lab in folders.labs() if lab.has(SHARE) and lab.runs()]
    used = {share.spread.machine(share.machine).device for share in shares}
    for device in marks.keys() - used:
        with contextlib.suppress(OSError, Unmet):  # it may have gone
            _set(device, 0)
        marks[device].unlink(missing_ok=True)
    folders.remove_if_empty()


def _marks() -> Path:
    from netlab.kernel import lab as folders

    return folders.root()


def _flags(device: str) -> int:
    """Its flags. Raises Unmet where there is none of that name."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            asked = _IFREQ.pack(device.encode(), 0)
            return int(_IFREQ.unpack(fcntl.ioctl(opened, _SIOCGIFFLAGS, asked))[1])
    except OSError:
        raise Unmet(f"There is no interface {device}", "name another") from None


def _set(device: str, flags: int) -> None:
    """Set whether it is up. Raises Unmet, and OSError where there is none of that name."""
    from netlab.kernel.netlink import open_netlink, request
    from netlab.kernel.pyroute import linkmsg, rtnl

    fields = {"index": socket.if_nametoindex(device), "flags": flags, "change": _UP}
    with contextlib.closing(open_netlink()) as netlink:
        refused = netlink.send([request(linkmsg, rtnl.RTM_NEWLINK, 0, fields, (), device)])
    if refused:
        raise Unmet(f"The interface cannot be set up: {refused[0]}", "see why")
