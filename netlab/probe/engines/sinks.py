"""Where captured frames go: a pcapng file as they come, a ring in memory, or who looks at them."""

from __future__ import annotations

import os
import select
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from netlab.probe.engines import pcapng
from netlab.probe.engines.pcapng import Frame
from netlab.probe.engines.recorder import Device

_TIME = attrgetter("time")
# Bytes that a frame takes beside its own, as the ring counts them: those of Python's objects.
_OBJECTS = 250


@dataclass(frozen=True, slots=True)
class Head:
    """What a file tells before its first frame; `devices` grow while a capture runs."""

    program: str
    expression: str
    devices: Sequence[Device]

    def section(self, comment: str = "") -> bytes:
        return pcapng.section(self.program, comment)

    def interfaces(self, first: int = 0) -> bytes:
        return b"".join(
            pcapng.interface(str(device), device.link, self.expression)
            for device in self.devices[first:]
        )

    def statistics(self, lost: Mapping[str, int]) -> bytes:
        """What devices lost: those of one namespace together, for which its first one tells."""
        blocks, told = [], set()
        for number, device in enumerate(self.devices):
            first = device.namespace not in told
            told.add(device.namespace)
            count = lost.get(device.namespace, 0) if first else 0
            remark = f"of all captured devices of {device.namespace} together" if count else ""
            blocks.append(pcapng.statistics(number, time.time_ns(), count, remark))
        return b"".join(blocks)


class Sink(ABC):
    """Takes frames; `counts` are those that went through it, by their devices' numbers."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    @property
    def holds(self) -> bool:
        """Whether it waits for the time to pass frames on."""
        return False

    @property
    def full(self) -> bool:
        """Whether it has as many as were wanted."""
        return False

    @abstractmethod
    def add(self, frames: Iterable[Frame]) -> None:
        """Take frames, those of one socket in their order."""

    def pass_on(self, read: int, now: int) -> None:  # noqa: B027
        """Let go what need not be held any more: all sockets are read until `read`, in nanoseconds
        since 1970 as `now` is."""

    def end(self, lost: Mapping[str, int]) -> None:  # noqa: B027
        """Let go all, and tell how many were lost."""


class Ordered(Sink):
    """Holds frames for some nanoseconds, in which those that are older may come from elsewhere;
    then gives them to `give`, until so many have passed (0: all)."""

    def __init__(self, hold: int, count: int, give: Callable[[Sequence[Frame]], None]) -> None:
        super().__init__()
        self._hold, self._count, self._give = hold, count, give
        self._held: list[Frame] = []

    @property
    def holds(self) -> bool:
        return bool(self._held)

    @property
    def full(self) -> bool:
        return 0 < self._count <= self.counts.total()

    def add(self, frames: Iterable[Frame]) -> None:
        self._held += frames

    def pass_on(self, read: int, now: int) -> None:
        if not self._held:
            return
        self._held.sort(key=_TIME)  # is stable, so those of one time stay in their socket's order
        # Those of a time to come are from before the clock was set back.
        newest = read - self._hold if self._held[0].time <= now else self._held[-1].time
        self._pass(bisect_right(self._held, newest, key=_TIME))

    def end(self, lost: Mapping[str, int]) -> None:
        self._held.sort(key=_TIME)
        self._pass(len(self._held))

    def _pass(self, number: int) -> None:
        room = self._count - self.counts.total() if self._count else number
        passing, self._held = self._held[: min(number, room)], self._held[number:]
        if passing:
            self.counts.update(frame.device for frame in passing)
            self._give(passing)


class Stream(Ordered):
    """Writes a file as frames come; `number` is its descriptor, from now on this one's."""

    def __init__(self, hold: int, count: int, number: int, head: Head) -> None:
        super().__init__(hold, count, self._write)
        self.number, self._head = number, head
        self._told = len(head.devices)
        _write(number, head.section() + head.interfaces())

    def end(self, lost: Mapping[str, int]) -> None:
        super().end(lost)
        _write(self.number, self._head.statistics(lost))
        os.close(self.number)

    def _write(self, frames: Sequence[Frame]) -> None:
        new, self._told = self._head.interfaces(self._told), len(self._head.devices)
        _write(self.number, new + b"".join(map(pcapng.packet, frames)))


class Ring(Sink):
    """Keeps the newest frames, as many as so many bytes of memory hold."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._frames: deque[Frame] = deque()
        self.clear()

    def add(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.counts[frame.device] += 1
            self._frames.append(frame)
            self._used += len(frame.data) + _OBJECTS
        while self._used > self._size:
            self._used -= len(self._frames.popleft().data) + _OBJECTS
            self._forgotten += 1

    def clear(self) -> None:
        self._used = self._forgotten = 0
        self._frames.clear()
        self.counts.clear()

    def save(self, number: int, head: Head, lost: Mapping[str, int]) -> None:
        """Write all that is held, in the order of time. Raises OSError."""
        comment = ""
        if self._forgotten:
            comment = f"{self._forgotten} older packets were forgotten: the ring was full"
        frames = sorted(self._frames, key=_TIME)
        _write(number, head.section(comment) + head.interfaces())
        _write(number, b"".join(map(pcapng.packet, frames)))
        _write(number, head.statistics(lost))


def _write(number: int, data: bytes) -> None:
    """Write all of it, also to who takes but some at a time. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(number, left) :]
        except BlockingIOError:
            select.select([], [number], [])
