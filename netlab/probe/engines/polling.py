"""Waiting for many descriptors at once, each until it is settled or the time is over."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable


def until(numbers: Iterable[int], settled: Callable[[int], bool], timeout: float) -> None:
    """Call `settled` for each descriptor that can be read, until all are or the time is over."""
    left = set(numbers)
    deadline = time.monotonic() + timeout
    with select.epoll() as poll:
        for number in left:
            poll.register(number, select.EPOLLIN)
        while left and (seconds := deadline - time.monotonic()) > 0:
            for number, _ in poll.poll(seconds):
                if settled(number):
                    poll.unregister(number)
                    left.remove(number)
