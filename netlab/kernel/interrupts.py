"""Ctrl-C where work is done by another process: it is for that one, and is never lost.

A terminal sends SIGINT to all processes of its group. While the other process is being made nobody
can handle it: Python's own hooks at a fork swallow a KeyboardInterrupt, and what is pending for one
process a forked one does not get. So meanwhile it is blocked, and then seen to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
_SIGINT = frozenset({signal.SIGINT})


def _sees_to_signals() -> bool:
    """Only a main thread does."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def held() -> Iterator[Callable[[], None]]:
    """SIGINT waits for the end of the block; a process forked there has it by what is yielded."""
    if not _sees_to_signals():
        yield lambda: None
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGINT)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    try:
        yield release
    finally:
        release()


def fork() -> int:
    """As os.fork; raises KeyboardInterrupt in the caller for a SIGINT that came meanwhile."""
    with held() as release:
        pid = os.fork()
        if pid == 0:
            release()
    return pid


class Interrupt:
    """Of one piece of work: SIGINT is held in all processes that are to do with it."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release, self._here = release, _sees_to_signals()

    def is_the_others(self) -> None:
        """In the caller, once the other process is there: raises KeyboardInterrupt for what came
        before, else it ignores SIGINT from now on.
        """
        if not self._here:
            return
        early = signal.SIGINT in signal.sigpending()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._release()
        if early:
            raise KeyboardInterrupt

    def pass_on(self, pid: int) -> None:
        """In a process between both: what came before its own child was there is for that one."""
        if not self._here:
            return
        if signal.SIGINT in signal.sigpending():
            os.kill(pid, signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def first(self, work: Callable[[], T]) -> Callable[[], T]:
        """In the process that works: that sees to signals from the beginning of its work."""

        def seeing() -> T:
            self._release()
            return work()

        return seeing


@contextlib.contextmanager
def to_another() -> Iterator[Interrupt]:
    """SIGINT is for a process that is forked in the block; afterwards all is as before."""
    handler = signal.getsignal(signal.SIGINT)
    with held() as release:
        try:
            yield Interrupt(release)
        finally:
            if _sees_to_signals():
                signal.signal(signal.SIGINT, handler)
