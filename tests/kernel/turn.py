"""What `ethtool -K` and loaders of BPF programs do, in the current network namespace.

python -m tests.kernel.turn offload DEVICE FEATURE on|off
python -m tests.kernel.turn xdp|tcx DEVICE
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import sys

from netlab.kernel.attributes import attribute
from netlab.kernel.devices import offloads
from netlab.kernel.netlink import Request, open_netlink
from netlab.kernel.pyroute import rtnl

_BPF = {"x86_64": 321, "aarch64": 280}  # the number of bpf(2)
_LOAD, _XDP, _SCHED_CLS = 5, 6, 3  # BPF_PROG_LOAD, BPF_PROG_TYPE_*
_PASS = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit
_NEXT = bytes.fromhex("b7000000ffffffff9500000000000000")  # r0 = TCX_NEXT; exit
_ATTACH, _TCX_INGRESS = 8, 46  # BPF_PROG_ATTACH, BPF_TCX_INGRESS
_IFLA_XDP, _FD = 43 | 0x8000, 1


def bpf(command: int, fields: bytes) -> int:
    attributes = ctypes.create_string_buffer(fields.ljust(128, b"\0"))
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(_BPF[os.uname().machine], command, attributes, 128)
    if found < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return found


def load(kind: int, code: bytes) -> int:
    """A program that lets every packet pass; returns its descriptor."""
    program, text = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    pointers = ctypes.addressof(program), ctypes.addressof(text)
    return bpf(_LOAD, struct.pack("=IIQQ", kind, len(code) // 8, *pointers))


def attach(device: str) -> None:
    head = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(device), 0, 0)
    program = attribute(_IFLA_XDP, attribute(_FD, struct.pack("=i", load(_XDP, _PASS))))
    with contextlib.closing(open_netlink()) as netlink:
        if refused := netlink.send([Request(rtnl.RTM_NEWLINK, 0, head + program, "XDP")]):
            raise OSError(refused[0].code, str(refused[0]))


def attach_tcx(device: str) -> None:
    index = socket.if_nametoindex(device)
    bpf(_ATTACH, struct.pack("=IIII", index, load(_SCHED_CLS, _NEXT), _TCX_INGRESS, 0))


if __name__ == "__main__":
    what, device, *rest = sys.argv[1:]
    if what == "xdp":
        attach(device)
    elif what == "tcx":
        attach_tcx(device)
    else:
        offloads.ask(device, ((rest[0], rest[1] == "on"),))
