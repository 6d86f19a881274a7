"""Folders and files that are this user's, and nobody else's to write: all that a command believes.

What another user owns, or can put things into, could lead a command into that user's files, as a
folder that somebody left in /tmp would.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

PRIVATE = 0o700  # nobody else reads a plan, or holds the lock of a lab
_OTHERS_WRITE = 0o022
_LARGEST = 1 << 28  # bytes of a file; the plan of a lab as large as a host can hold is a tenth


def check(folder: Path) -> None:
    """Raise PermissionError for a folder that is not this user's alone to write.

    Raises FileNotFoundError too. Of a link both must be ours: the link, and where it leads.
    """
    found = os.lstat(folder), os.stat(folder)
    if any(one.st_uid != os.geteuid() for one in found):
        raise PermissionError(errno.EPERM, "it belongs to another user")
    if found[1].st_mode & _OTHERS_WRITE:
        raise PermissionError(errno.EPERM, "others can write into it, which chmod go-w ends")


def open_folder(folder: Path) -> int:
    """A descriptor of a folder that is no link and this user's; it is made private. Raises OSError.

    Judged is what was opened: it cannot be exchanged in between.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    found = os.fstat(fd)
    if found.st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError(errno.EPERM, f"{folder.name} in it belongs to another user")
    if stat.S_IMODE(found.st_mode) & ~PRIVATE:  # as an earlier version made it
        os.fchmod(fd, PRIVATE)
    return fd


def contents(path: Path) -> bytes:
    """What a regular file of sensible size holds.

    Raises OSError, and ValueError for anything else: a named pipe would be waited for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as stream:
        known = os.fstat(fd)
        if not stat.S_ISREG(known.st_mode) or known.st_size > _LARGEST:
            raise ValueError(f"{path} is no file of a lab")
        return stream.read()


def stage(path: Path, document: bytes, *, sync: bool = False) -> None:
    """Write what `commit` then makes the file: that it has room is known before. Raises OSError.

    Some file systems find out only when they `sync` that they are full, as NFS does.
    """
    fresh = _fresh(path)
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as stream:
            stream.write(document)
            stream.flush()
            if sync:
                os.fsync(fd)
    except OSError:
        unstage(path)
        raise


def unstage(path: Path) -> None:
    """Forget what was staged, if it was. Raises OSError."""
    _fresh(path).unlink(missing_ok=True)


def commit(path: Path) -> None:
    """Put what was staged in the place of the file. Raises OSError."""
    _fresh(path).replace(path)


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name}")
