"""The process on a machine that does what the controller asks, for as long as that is there.

It is started over ssh, reads requests from standard input and answers on standard output, and ends
at the end of its input, or when nothing came for a while: a cut link tells nobody anything. What is
being done then ends with it; labs stay, as their keepers are no children of it.

Every request is a forked process in a session of its own, which hands its lines to this one. So
nothing that a request does, or that a library keeps, is there for the next.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import platform
import select
import signal
import termios
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from netlab import __version__
from netlab.errors import BadInput
from netlab.hosts.protocol import (
    CANCEL,
    SILENCE,
    Call,
    Failure,
    Hello,
    Reply,
    Request,
    failure,
    given_of,
    line,
    raw,
)
from netlab.kernel.syscalls import die_with_parent

_CHUNK = 1 << 18
Calls = Mapping[str, Call[Any, Any]]


def main(known: Calls | None = None, silence: float = SILENCE) -> NoReturn:
    """Serve on the standard streams. Whatever else prints there, prints to standard error."""
    replies = os.dup(1)
    os.dup2(2, 1)
    Agent(0, replies, known, silence).serve()


class Agent:
    """Serves requests that come in at one descriptor, and answers at another."""

    def __init__(self, requests: int, replies: int, known: Calls | None, silence: float) -> None:
        self._requests, self._replies = requests, replies
        self._known = known
        self._silence = silence
        self._waiting = 0
        self._buffer = b""
        self._work: dict[int, _Work] = {}  # by the descriptor at which its lines come

    def serve(self) -> NoReturn:
        """Until the input ends, or is silent."""
        # Rings also while this waits to be rid of an answer that nobody takes.
        signal.signal(signal.SIGALRM, self._ring)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        try:
            self._wind()
            self._send(line(_hello()))
            if self._known is None:
                from netlab.hosts.calls import calls

                self._known = calls()
            while True:
                ends = {work.ended: work for work in self._work.values()}
                ready, _, _ = select.select([self._requests, *self._work, *ends], [], [])
                for fd in ready:
                    if fd == self._requests:
                        self._read()
                    elif fd in self._work:
                        self._hand_on(self._work[fd])
                    elif fd in ends and ends[fd].fd in self._work:
                        self._finish(ends[fd])
        except BrokenPipeError:
            self._end()
        except BaseException:
            traceback.print_exc()
            self._end()

    def _wind(self, waiting: int = 0) -> None:
        """The alarm rings this long after the last line; `waiting` bytes are not read yet."""
        self._waiting = waiting
        signal.setitimer(signal.ITIMER_REAL, self._silence)

    def _ring(self, *_: Any) -> None:
        """End, unless lines came that this process has had no time to read."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._requests, termios.FIONREAD, waiting)
        if waiting[0] <= self._waiting:
            self._end()
        self._wind(waiting[0])

    def _end(self, *_: Any) -> NoReturn:
        for work in self._work.values():
            with contextlib.suppress(OSError):  # a signal may find it half ended
                work.kill()
        os._exit(0)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._replies, view) :]

    def _read(self) -> None:
        """Take what came, and begin what it asks for."""
        data = os.read(self._requests, _CHUNK)
        if not data:
            self._end()
        self._wind()
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n") if b"\n" in data else [self._buffer]
        for text in lines:
            # The first line may be a password that sudo did not ask for.
            with contextlib.suppress(ValueError):
                if text:
                    self._do(msgspec.json.decode(text, type=Request))

    def _do(self, request: Request) -> None:
        if request.call == CANCEL:
            for work in [one for one in self._work.values() if one.id == request.id]:
                self._forget(work)
            return
        assert self._known is not None
        call = self._known.get(request.call)
        if call is None:
            error = failure(BadInput(f"An agent of netlab has no call {request.call!r}."))
            self._send(line(Reply(request.id, error=error)))
            return
        others = [fd for work in self._work.values() for fd in (work.fd, work.ended)]
        work = _Work(request, call, (self._requests, self._replies, *others))
        self._work[work.fd] = work

    def _hand_on(self, work: _Work) -> bool:
        """Send on what a request's process says, in whole lines. Returns whether that was any."""
        try:
            data = os.read(work.fd, _CHUNK)
        except BlockingIOError:
            return False
        work.said += data
        whole, newline, rest = work.said.rpartition(b"\n")
        if newline:
            self._send(whole + newline)
            work.said = rest
        return bool(data)

    def _finish(self, work: _Work) -> None:
        """Send on the rest of what an ended process said; what it started may hold its pipe."""
        while self._hand_on(work):
            pass
        code = self._forget(work)
        if code:  # it said nothing of an answer
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            lost = Failure("Unmet", f"The process at work on this machine ended {how}", "try again")
            self._send(line(Reply(work.id, error=lost)))

    def _forget(self, work: _Work) -> int:
        del self._work[work.fd]
        return work.kill()


class _Work:
    """A request being done: `fd` is where its lines come, `ended` tells that it is over."""

    def __init__(self, request: Request, call: Call[Any, Any], others: tuple[int, ...]) -> None:
        self.id = request.id
        self.said = b""
        self.fd, sending = os.pipe()
        agent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent(agent)
                _alone(self.fd, *others)
                _answer(sending, request, call)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(sending)
        os.set_blocking(self.fd, False)
        self.ended = os.pidfd_open(self.pid)

    def kill(self) -> int:
        """End it, if it is not over, and what it started in its session; returns its exit code."""
        if not select.select([self.ended], [], [], 0)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        os.close(self.ended)
        return code


def _alone(*fds: int) -> None:
    """Make this process one that shares nothing with the agent."""
    os.setsid()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fd in fds:
        os.close(fd)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)


def _answer(sending: int, request: Request, call: Call[Any, Any]) -> None:
    """Do the call, and write its words and its answer."""
    with os.fdopen(sending, "wb") as stream:

        def tell(words: str, done: int, total: int) -> None:
            stream.write(line(Reply(request.id, tell=(words, done, total))))
            stream.flush()

        try:
            reply = Reply(request.id, value=raw(call(given_of(call, request.given), tell)))
        except BaseException as error:
            told = failure(error)
            if told.kind == "bug":
                told = msgspec.structs.replace(told, remedy=traceback.format_exc())
            reply = Reply(request.id, error=told)
        stream.write(line(reply))


def _hello() -> Hello:
    uname = os.uname()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    network, state = os.stat("/proc/self/ns/net").st_ino, os.environ.get("NETLAB_STATE", "")
    return Hello(
        digest=Path(__file__).parents[2].name,
        version=__version__,
        python=platform.python_version(),
        kernel=uname.release,
        architecture=uname.machine,
        clock=time.time(),
        root=os.geteuid() == 0,
        identity=f"{boot} {network} {state}",
    )
