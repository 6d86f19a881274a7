"""Programs attached to a device by tcx (kernel/bpf/tcx.c, Linux 6.6), which no netlink tells.

They see every packet before the filters of `tc` do.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import struct
from collections.abc import Iterator

# The number of bpf(2); where it is not known, that of none.
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_NUMBER = _NUMBERS.get(platform.machine(), -1)
_DETACH, _QUERY, _LINK_BY_ID, _DETACH_LINK = 9, 16, 30, 34  # BPF_* (linux/bpf.h)
_WHERE = {"ingress": 46, "egress": 47}  # BPF_TCX_*
_LAST = 1 << 4  # BPF_F_AFTER
_MOST = 64  # of one device and direction, as the kernel has it (BPF_MPROG_MAX)
# The query of union bpf_attr: device, type, flags, flags, programs, their number, flags, links, …
_QUESTION = struct.Struct("=IIIIQI4xQQQQ")
_SIZE = 128  # bytes; more than a kernel knows must be zero

_libc = ctypes.CDLL(None, use_errno=True)
_attribute = ctypes.create_string_buffer(_SIZE)


def words(index: int) -> Iterator[str]:
    """What is attached to a device of the current namespace; nothing where one may not ask."""
    if _has_tcx():
        for where, kind in _WHERE.items():
            if _count(index, kind):
                programs, _ = _programs(index, kind)
                yield f"tcx {where} program {' '.join(map(str, programs))}"


def detach(index: int) -> None:
    """Take all of them off a device of the current namespace. Raises OSError."""
    for kind in _WHERE.values() if _has_tcx() else ():
        for link in reversed(_programs(index, kind)[1]):
            if not link:
                _call(_DETACH, struct.pack("=IIII", index, 0, kind, _LAST))
                continue
            opened = _call(_LINK_BY_ID, struct.pack("=I", link))
            try:
                _call(_DETACH_LINK, struct.pack("=I", opened))
            finally:
                os.close(opened)


def _count(index: int, kind: int) -> int:
    """How many there are: asked of every device, so it costs no more than the call."""
    _QUESTION.pack_into(_attribute, 0, index, kind, 0, 0, 0, 0, 0, 0, 0, 0)
    if _libc.syscall(_NUMBER, _QUERY, _attribute, _QUESTION.size) < 0:
        return 0
    return _QUESTION.unpack_from(_attribute)[5]  # type: ignore[no-any-return]


def _programs(index: int, kind: int) -> tuple[list[int], list[int]]:
    """The numbers of the programs at one place in their order, and of the links that hold them."""
    programs, links = (ctypes.c_uint32 * _MOST)(), (ctypes.c_uint32 * _MOST)()
    places = ctypes.addressof(programs), ctypes.addressof(links)
    _call(_QUERY, _QUESTION.pack(index, kind, 0, 0, places[0], _MOST, 0, places[1], 0, 0))
    count = _QUESTION.unpack_from(_attribute)[5]
    return list(programs[:count]), list(links[:count])


@functools.cache
def _has_tcx() -> bool:
    """Whether the kernel has it and this user may ask: only root of the whole machine may."""
    try:
        _programs(1, _WHERE["ingress"])
    except OSError:
        return False
    return True


def _call(command: int, attribute: bytes) -> int:
    ctypes.memset(_attribute, 0, _SIZE)
    ctypes.memmove(_attribute, attribute, len(attribute))
    result: int = _libc.syscall(_NUMBER, command, _attribute, _SIZE)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
