"""The few system calls that Python 3.11 has no function for, through libc."""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# As sysctls such as user.max_net_namespaces call them.
_KINDS = {
    CLONE_NEWUSER: "user",
    CLONE_NEWNET: "net",
    CLONE_NEWNS: "mnt",
    CLONE_NEWPID: "pid",
    CLONE_NEWUTS: "uts",
    CLONE_NEWIPC: "ipc",
}

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
# The mount interface of Linux 5.2 (linux/mount.h), and its calls, whose numbers all
# architectures share but Alpha.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
_SAFE_ATTRIBUTES = 0x2 | 0x4 | 0x8  # nosuid, nodev, noexec
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Put the caller into new namespaces; raises OSError, which names their kinds."""
    kinds = "+".join(kind for flag, kind in _KINDS.items() if flags & flag)
    _check(_libc.unshare(flags), f"unshare {kinds}")


def setns(fd: int, flags: int) -> None:
    """Put the caller into the namespace of `fd`, or those of the process of a pidfd."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _check(
        _libc.mount(
            source.encode(), target.encode(), kind.encode() or None, flags, data.encode() or None
        ),
        f"mount {target}",
    )


def detached_proc() -> int:
    """A /proc of its own, mounted nowhere; returns a descriptor, with which it goes.

    Raises OSError where the kernel or a filter does not allow it.
    """
    opened = _libc.syscall(_FSOPEN, b"proc", _FSOPEN_CLOEXEC)
    _check(min(opened, 0), "fsopen")
    try:
        _check(_libc.syscall(_FSCONFIG, opened, _FSCONFIG_CMD_CREATE, None, None, 0), "fsconfig")
        mounted: int = _libc.syscall(_FSMOUNT, opened, _FSMOUNT_CLOEXEC, _SAFE_ATTRIBUTES)
        _check(min(mounted, 0), "fsmount")
        return mounted
    finally:
        os.close(opened)


def unmount(target: str) -> None:
    """Take a mount away, and those below it, even where something still uses it."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new`, a mount, the root of the mount namespace, and mount the present one on `old`."""
    _check(_libc.pivot_root(new.encode(), old.encode()), "pivot_root")


def set_hostname(name: str) -> None:
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which made it, is gone, however it ended."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it was gone before the request
        os.kill(os.getpid(), signal.SIGKILL)
