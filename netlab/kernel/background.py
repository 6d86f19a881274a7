"""A process inside a sandbox that works while its caller goes on with other things."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from netlab.kernel import answers, interrupts, limits
from netlab.kernel.answers import Outcome
from netlab.kernel.sandbox import FORKING, Keeper, ended, flush, step_in

T = TypeVar("T")
# What a terminal or whoever ends the caller sends to its whole group is for the caller to handle.
_OF_THE_CALLER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Background(Generic[T]):
    """Does `work` in a process inside the sandbox, forked from the caller.

    It ends with the keeper, but not by itself with the caller: the work has to look for that. Of
    the caller's descriptors it has those of `keep` alone, so that it holds nothing open, and its
    standard streams are empty. What the work tells (`answers.tell`) is read by `next`.
    """

    def __init__(self, keeper: Keeper, work: Callable[[], T], keep: Iterable[int]) -> None:
        flush()
        self._keeper = keeper
        self._outcome: Outcome | None = None
        self._ended = False
        with FORKING, limits.named(), interrupts.held() as release:
            receiving, sending = os.pipe()
            self._pid = os.fork()
            if self._pid == 0:
                with contextlib.suppress(OSError):
                    for number in _OF_THE_CALLER:
                        signal.signal(number, signal.SIG_IGN)
                    release()
                    _let_go({sending, *keep})
                    step_in(keeper, work, sending)
                os._exit(1)
            os.close(sending)
        self._stream = os.fdopen(receiving, "rb")

    def next(self) -> tuple[Any, ...] | None:
        """Wait for the next words that the work tells; None when it has ended."""
        if self._ended:
            return None
        message = answers.next_message(self._stream)
        if message is not None and not isinstance(message, Outcome):
            return message
        self._ended, self._outcome = True, message
        self._stream.close()
        self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return None

    def result(self) -> T:
        """Wait for the end of the work; what it returns, or raises."""
        while self.next() is not None:
            pass
        if self._outcome is None:
            raise ended(self._keeper, self._code, fresh=False)
        if self._outcome.error:
            raise limits.reached(self._outcome.error) or self._outcome.error
        result: T = self._outcome.value
        return result


def _let_go(keep: set[int]) -> None:
    """Leave nothing in this process's descriptors but those to keep.

    Their numbers stay taken: an object of the caller's that is freed here closes its number.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in keep and number != null:
            with contextlib.suppress(OSError):  # that of the listing itself is gone
                os.fstat(number)
                os.dup2(null, number, inheritable=number <= 2)
