"""Limits of the host that work ran into, told by their names.

What the kernel answers is the same from a system call here, in another process that only had words
for it, and in a library: so the words are what is looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Iterator
from errno import EAGAIN, EMFILE, ENFILE, ENOMEM, ENOSPC
from pathlib import Path

from netlab.errors import NetlabError, Unmet

_NAMESPACES = re.compile(rf"unshare ([a-z+]+): {os.strerror(ENOSPC)}")
_MEMORY = (os.strerror(ENOMEM), "MemoryError", "failed to map segment")
_COMPILER = "SyntaxError"  # so CPython 3.11's parser may tell want of memory
_THREAD = "can't start new thread"  # for which there is neither a process nor room for a stack
_PROCESSES = (os.strerror(EAGAIN), _THREAD)


def reached(said: BaseException | str) -> Unmet | None:
    """The error for a limit that an error, or what a process said of one, is about."""
    if isinstance(said, NetlabError):
        return None
    words = said if isinstance(said, str) else f"{type(said).__name__}: {said}"
    if found := _NAMESPACES.search(words):
        return _namespaces(found[1].split("+"))
    if os.strerror(ENFILE) in words:
        return Unmet("The host has no room for more open files", "raise the sysctl fs.file-max")
    if os.strerror(EMFILE) in words:
        limit = _limit(resource.RLIMIT_NOFILE)
        return Unmet(
            f"The limit on open files, {limit}, is reached", "raise RLIMIT_NOFILE (ulimit -n)"
        )
    if any(phrase in words for phrase in _MEMORY):
        usual = Unmet("There is not enough memory here", "free some, or make a smaller lab")
        return of_memory() or usual
    if (_THREAD in words or _COMPILER in words) and (lacking := of_memory()):
        return lacking
    if any(phrase in words for phrase in _PROCESSES):
        return Unmet(
            f"No more processes can be made here: the limit RLIMIT_NPROC is "
            f"{_limit(resource.RLIMIT_NPROC)}",
            "raise it (ulimit -u), or pids.max of the control group",
        )
    return None


def of_memory() -> Unmet | None:
    """The error for the limit on memory, where there is one."""
    space = _limit(resource.RLIMIT_AS)
    if space == "none":
        return None
    return Unmet(
        f"The limit on a process's address space, {space} bytes, is reached",
        "raise RLIMIT_AS (ulimit -v)",
    )


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Around work that may run into a limit, which is then named. Raises Unmet."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if found := reached(error):
            raise found from error
        raise


def _limit(kind: int) -> str:
    soft, _ = resource.getrlimit(kind)
    return "none" if soft == resource.RLIM_INFINITY else str(soft)


def _namespaces(kinds: list[str]) -> Unmet:
    """The lowest limit of those kinds: the kernel does not say which of them it was."""
    limits = {
        f"user.max_{kind}_namespaces": _sysctl(f"user/max_{kind}_namespaces") for kind in kinds
    }
    name = min(limits, key=limits.__getitem__)
    return Unmet(
        f"No more namespaces can be made here: the limit {name} is {limits[name]}",
        f"raise it (sysctl {name})",
    )


def _sysctl(path: str) -> int:
    try:
        return int(Path("/proc/sys", path).read_text())
    except (OSError, ValueError):
        return 1 << 31
