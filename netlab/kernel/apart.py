"""Work in a process of its own, while this one goes on with something else."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from netlab.kernel import answers, interrupts
from netlab.kernel.syscalls import die_with_parent

T = TypeVar("T")


class Apart(Generic[T]):
    """A piece of work begun in a forked process. What it tells (`answers.tell`) nobody hears.

    If the process ends without an answer, whoever killed it, the work is done here and then. Of
    pipes it has its own and those to `keep`.
    """

    def __init__(self, work: Callable[[], T], keep: Collection[int] = ()) -> None:
        self._work = work
        self._answer, sending = os.pipe()
        parent = os.getpid()
        self._pid = interrupts.fork()
        if self._pid == 0:
            try:
                die_with_parent(parent)
                _close_pipes({sending, *keep})
                answers.answer(sending, work)
            finally:
                os._exit(0)
        os.close(sending)

    def result(self) -> T:
        """Wait for the answer; raises what the work raises."""
        try:
            outcome = answers.receive(self._answer, _ignore)
        finally:
            os.close(self._answer)
            os.waitpid(self._pid, 0)
        if outcome is None:
            return self._work()
        if outcome.error:
            raise outcome.error
        found: T = outcome.value
        return found


def _close_pipes(own: Collection[int]) -> None:
    """Close all pipes but the standard streams and the process's own.

    One to a third process would stay open, which may be waiting for its end.
    """
    for name in os.listdir("/proc/self/fd"):
        if (fd := int(name)) > 2 and fd not in own:
            with contextlib.suppress(OSError):  # the listing's own
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.close(fd)


def _ignore(*_words: Any) -> None:
    """Nobody listens."""
