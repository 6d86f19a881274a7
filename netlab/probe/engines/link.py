"""Whether a machine's own interface on the underlay works: a cut link is a cause to be named."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct

from netlab.plan.machines import MACHINE
from netlab.plan.probing.check import Check
from netlab.plan.probing.lab import Lab
from netlab.probe.engines.sockets import Unavailable, in_words, open_in

_SIOCGIFFLAGS = 0x8913
_UP, _RUNNING = 0x1, 0x40  # linux/if.h; a device is running where it has carrier
_IFREQ = struct.Struct("=16sH22x")


def link_check(lab: Lab) -> Check:
    """One check of this machine of a lab: its interface is up, has carrier, and what is sent from.

    Macvlans need no address of the machine's.
    """
    assert lab.spread
    machine = lab.spread.machine(lab.machine)
    device, address = machine.device, machine.address if lab.spread.wire == "vxlan" else None
    expected = f"{device} is up and has carrier"
    if address:
        expected = f"{device} is up, has carrier and the address {address}"
    problem = _problem(device, address)
    observed = f"{device} {problem}" if problem else expected
    return Check("state", machine.name, device, expected, observed, problem is None)


def _problem(device: str, address: str | None) -> str | None:
    try:
        with open_in(MACHINE, socket.AF_INET, socket.SOCK_DGRAM) as opened:
            answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, _IFREQ.pack(device.encode(), 0))
            lost = address and not _has(opened, address)
    except Unavailable as error:
        return f"cannot be looked at: {error}"
    except OSError as error:
        return f"cannot be looked at: {in_words(error)}"
    _, flags = _IFREQ.unpack(answer)
    if not flags & _UP:
        return "is down"
    if not flags & _RUNNING:
        return "is up and has no carrier: the link is cut"
    return f"has not the address {address}" if lost else None


def _has(opened: socket.socket, address: str) -> bool:
    """Whether the machine has an address: a socket can be bound to no other."""
    try:
        opened.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return False
        raise
    return True
