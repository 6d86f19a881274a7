"""Work that is spread over processes, one for each processor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from netlab.kernel import interrupts
from netlab.kernel.syscalls import die_with_parent


def spread(work: Callable[[int, int], None]) -> None:
    """Call `work(k, n)` in n processes, k from 0 to n - 1, each to do every n-th piece from k on.

    They are forked, and share with the caller what is in shared memory. What one that fails leaves
    undone is for the caller to see there.
    """
    count = len(os.sched_getaffinity(0))
    caller = os.getpid()
    others = [_forked(caller, lambda k=k: work(k, count)) for k in range(1, count)]  # type: ignore[misc]
    try:
        work(0, count)
    finally:
        for pid in others:
            os.waitpid(pid, 0)


def _forked(caller: int, work: Callable[[], None]) -> int:
    pid = interrupts.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            die_with_parent(caller)
            work()
        os._exit(0)
    return pid
