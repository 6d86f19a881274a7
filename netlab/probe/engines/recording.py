"""A recording of many devices, in one process: until it is told to end, or has what was wanted.

Who started it says what to do by messages on a socket, each one of the words below, some with a
descriptor of a file; and is told (`answers.tell`) READY, DONE for each CLEAR and SAVE, and SEEN.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from netlab.errors import LabUnavailable, NetlabError
from netlab.kernel.answers import tell
from netlab.probe.engines.capture import timing
from netlab.probe.engines.libpcap import Filter
from netlab.probe.engines.pcapng import Frame
from netlab.probe.engines.recorder import Recorder
from netlab.probe.engines.sinks import Head, Ordered, Ring, Sink, Stream
from netlab.probe.engines.sockets import Unavailable, await_closing

CLEAR, SAVE, STREAM, STOP = b"clear", b"save", b"stream", b"stop"
READY, DONE, SEEN = "ready", "done", "seen"
_HOLD = 50_000_000  # nanoseconds until a frame is written, in which older ones may be read


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to record, and how long: until so many packets, or seconds; 0 is without an end.

    `devices` are those of each namespace, none standing for all. `into` is where frames go: a
    stream for which there will be a file, the caller's eyes, a ring of so many bytes, or nowhere
    but the count.
    """

    devices: Mapping[str, Sequence[str]]
    filtered: Filter
    into: Literal["file", "eyes", "ring", "nowhere"]
    ring: int = 0
    count: int = 0
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording has, or had: frames by their devices, and those lost by namespaces."""

    devices: Mapping[str, int]
    lost_in: Mapping[str, int]
    reader_left: bool = False

    @property
    def packets(self) -> int:
        return sum(self.devices.values())

    @property
    def lost(self) -> int:
        return sum(self.lost_in.values())


def record(wanted: Wanted, control: int, caller: int, program: str) -> Recorded:
    """Record until STOP, or the process of the descriptor `caller` is gone, or `wanted` is met.

    `program` is who a file says has written it.
    """
    gc.disable()  # nothing here has cycles, and what the caller left is not to be freed
    try:
        with (
            timing(next(iter(wanted.devices))),
            contextlib.closing(Recorder(wanted.devices, wanted.filtered)) as recorder,
            socket.socket(fileno=control) as commands,
        ):
            return _Recording(wanted, recorder, commands, caller, program).run()
    except Unavailable as error:
        raise LabUnavailable(f"What passes cannot be recorded: {error}.") from None
    finally:
        await_closing()


class _Recording:
    def __init__(
        self, wanted: Wanted, recorder: Recorder, commands: socket.socket, caller: int, program: str
    ) -> None:
        self.wanted, self.recorder = wanted, recorder
        self.commands, self.caller = commands, caller
        self.head = Head(program, wanted.filtered.expression, recorder.devices)
        self.over = False
        self.sink: Sink = Ordered(_HOLD, wanted.count, self._show)
        if wanted.into == "ring":
            self.sink = Ring(wanted.ring)

    def run(self) -> Recorded:
        tell(READY, [str(device) for device in self.recorder.devices])
        try:
            if self.wanted.into == "file":
                self._obey()  # what it is
            deadline = time.monotonic() + self.wanted.seconds if self.wanted.seconds else None
            with select.epoll() as poll:
                self._register(poll)
                while not (self.over or self.sink.full):
                    self._turn(poll, deadline)
            self.sink.add(self.recorder.read_all())
            self.sink.end(self.recorder.lost)
        except BrokenPipeError:
            return self._recorded(reader_left=True)
        except OSError as error:
            words = error.strerror or str(error)
            raise NetlabError(f"The capture ended, as it cannot be written ({words}).") from None
        return self._recorded()

    def _register(self, poll: select.epoll) -> None:
        for number in (*self.recorder.sockets, self.commands.fileno(), self.caller):
            poll.register(number, select.EPOLLIN)
        if isinstance(self.sink, Stream):
            with contextlib.suppress(PermissionError):  # a file: it has no reader that leaves
                poll.register(self.sink.number, 0)

    def _turn(self, poll: select.epoll, deadline: float | None) -> None:
        waits = [_HOLD / 1e9] if self.sink.holds else []
        waits += [max(deadline - time.monotonic(), 0)] if deadline else []
        events = poll.poll(min(waits, default=None))
        now = time.time_ns()
        for number, _ in events:
            if number in self.recorder.sockets:
                self.sink.add(self.recorder.read(number))
            elif number == self.commands.fileno():
                self._obey()
            elif number == self.caller:
                self.over = True
            else:
                raise BrokenPipeError
        self.sink.pass_on(self.recorder.read_until(now), now)
        if deadline and time.monotonic() >= deadline:
            self.over = True

    def _obey(self) -> None:
        word, files, _, _ = socket.recv_fds(self.commands, 16, 1)
        if word == STREAM:
            self.sink = Stream(_HOLD, self.wanted.count, files[0], self.head)
        elif word == CLEAR and isinstance(self.sink, Ring):
            self.recorder.forget()
            self.sink.clear()
            tell(DONE, "")
        elif word == SAVE and isinstance(self.sink, Ring):
            tell(DONE, self._save(self.sink, files[0]))
        else:  # STOP, or nobody is there any more to say it
            self.over = True

    def _save(self, ring: Ring, file: int) -> str:
        """Write what the ring has; returns why it could not be written, if so."""
        ring.add(self.recorder.read_all())
        try:
            ring.save(file, self.head, self.recorder.lost)
        except OSError as error:
            return error.strerror or str(error)
        finally:
            os.close(file)
        return ""

    def _show(self, frames: Sequence[Frame]) -> None:
        if self.wanted.into == "eyes":
            tell(SEEN, [(self.recorder.devices[frame.device], frame) for frame in frames])

    def _recorded(self, *, reader_left: bool = False) -> Recorded:
        devices = self.recorder.devices
        counts = {str(devices[number]): count for number, count in self.sink.counts.items()}
        return Recorded(counts, self.recorder.lost, reader_left)
