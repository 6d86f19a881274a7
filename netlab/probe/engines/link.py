"""Whether a machine's own interface on the underlay works: a cut link is a cause to be named."""

from __future__ import annotations

import fcntl
import socket
import struct

from netlab.plan.machines import MACHINE, Machine
from netlab.plan.probing.check import Check
from netlab.probe.engines.sockets import Unavailable, in_words, open_in

_SIOCGIFFLAGS = 0x8913
_UP, _RUNNING = 0x1, 0x40  # linux/if.h; a device is running where it has carrier
_IFREQ = struct.Struct("=16sH22x")


def link_check(machine: Machine) -> Check:
    """One check: the interface is up and has carrier."""
    expected = f"{machine.device} is up and has carrier"
    problem = _problem(machine.device)
    observed = f"{machine.device} {problem}" if problem else expected
    return Check("state", machine.name, machine.device, expected, observed, problem is None)


def _problem(device: str) -> str | None:
    try:
        with open_in(MACHINE, socket.AF_INET, socket.SOCK_DGRAM) as opened:
            answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, _IFREQ.pack(device.encode(), 0))
    except Unavailable as error:
        return f"cannot be looked at: {error}"
    except OSError as error:
        return f"cannot be looked at: {in_words(error)}"
    _, flags = _IFREQ.unpack(answer)
    if not flags & _UP:
        return "is down"
    return None if flags & _RUNNING else "is up and has no carrier: the link is cut"
