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


class Interrupt:
    """Of one piece of work: SIGINT is blocked in all processes that are to do with it.

    `here` is whether the caller sees to signals: only a main thread does.
    """

    def __init__(self, here: bool) -> None:
        self.here = here
        if here:
            self._handler = signal.getsignal(signal.SIGINT)
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGINT)

    def is_the_others(self) -> None:
        """In the caller, once the other process is there: raises KeyboardInterrupt for what came
        before, else it ignores SIGINT from now on.
        """
        if not self.here:
            return
        early = signal.SIGINT in signal.sigpending()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        if early:
            raise KeyboardInterrupt

    def pass_on(self, pid: int) -> None:
        """In a process between both: what came before its own child was there is for that one."""
        if not self.here:
            return
        if signal.SIGINT in signal.sigpending():
            os.kill(pid, signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def first(self, work: Callable[[], T]) -> Callable[[], T]:
        """In the process that works: that sees to signals from the beginning of its work."""

        def seeing() -> T:
            if self.here:
                signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            return work()

        return seeing

    def over(self) -> None:
        """In the caller, whatever became of it: all is as before."""
        if self.here:
            signal.signal(signal.SIGINT, self._handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


@contextlib.contextmanager
def held() -> Iterator[Callable[[], None]]:
    """SIGINT waits for the end of the block; a process forked there has it by what is yielded."""
    if threading.current_thread() is not threading.main_thread():
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


@contextlib.contextmanager
def to_another() -> Iterator[Interrupt]:
    """SIGINT is for a process that is forked in the block."""
    interrupt = Interrupt(threading.current_thread() is threading.main_thread())
    try:
        yield interrupt
    finally:
        interrupt.over()
