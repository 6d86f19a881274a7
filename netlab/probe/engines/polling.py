"""Waiting for many descriptors at once, each until it is settled or the time is over.

A machine that is busy with other things answers late, but goes on answering: so the time is over
when nothing has come for so long.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable

# Seconds to wait for what should not come, when all else is there: many times as long as the
# slowest of that took, but at least and at most so long.
UNEXPECTED = (0.05, 0.3)
_TIMES = 20


def quiet_enough(slowest: float) -> float:
    """After how many seconds nothing unexpected will come; `slowest` 0: nothing came at all."""
    least, most = UNEXPECTED
    return min(max(least, _TIMES * slowest), most) if slowest else most


class Patience:
    """So many seconds from now, and from each time that something came."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.came()

    def came(self) -> None:
        self.over = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        return self.over - time.monotonic()


def until(numbers: Iterable[int], settled: Callable[[int], bool], timeout: float) -> None:
    """Call `settled` for each descriptor that can be read, until all are or nothing comes."""
    left = set(numbers)
    patience = Patience(timeout)
    with select.epoll() as poll:
        for number in left:
            poll.register(number, select.EPOLLIN)
        while left and (seconds := patience.left) > 0:
            for number, _ in poll.poll(seconds):
                if settled(number):
                    poll.unregister(number)
                    left.remove(number)
                    patience.came()
