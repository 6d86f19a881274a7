"""An agent on a machine as the controller holds it: calls, their words on the way, answers."""

from __future__ import annotations

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import tempfile
import threading
from typing import Any, TypeVar, cast

import msgspec

from netlab.errors import Unmet
from netlab.hosts.protocol import (
    BEAT,
    CANCEL,
    Call,
    Hello,
    Lacks,
    Reply,
    Request,
    Tell,
    line,
    raised,
    raw,
    value_of,
)
from netlab.hosts.ssh import Way, cause

Given = TypeVar("Given")
Found = TypeVar("Found")
HELLO = 60.0  # seconds for an agent to speak: connecting, sudo, starting Python
LIMIT = 600.0  # seconds for a call
_FAREWELL = 1.0  # seconds for an agent to end by itself
# Run there by `python3 -I -S -c`: no file of netlab needs to be there for it to answer.
_BOOT = """
import sys
sys.path.insert(0, {folder!r})
try:
    from netlab.hosts.agent import main
except Exception as error:
    import json, os, platform
    print(json.dumps({{"lacks": repr(error), "python": sys.version_info[:2],
        "architecture": os.uname().machine, "libc": " ".join(platform.libc_ver()).strip(),
        "sudo": "SUDO_UID" in os.environ}}), flush=True)
else:
    main()
"""


class Unreachable(Unmet):
    """A machine that cannot be used, or no more."""


class Pending:
    """A call that was sent. Its value is to be fetched by `result`."""

    def __init__(
        self, connection: Connection, number: int, call: Call[Any, Any], tell: Tell | None
    ):
        self._connection, self._number = connection, number
        self.call, self.tell = call, tell
        self._outcome: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()

    def settle(self, outcome: Reply | Exception) -> None:
        self._outcome.put(outcome)

    def result(self, limit: float | None = LIMIT) -> Any:
        """Wait for the value, at most so many seconds. Raises what the call raised, Unreachable."""
        machine = self._connection.name
        try:
            outcome = self._outcome.get(timeout=limit)
        except queue.Empty:
            self.cancel()
            what = f"{machine}: no answer in {limit:g} seconds to '{self.call.__name__}'"
            raise Unreachable(what, "try again") from None
        except BaseException:  # Ctrl-C: nobody waits for it any more
            self.cancel()
            raise
        if isinstance(outcome, Exception):
            raise outcome
        if outcome.error:
            raise raised(outcome.error, machine)
        assert outcome.value is not msgspec.UNSET
        return value_of(self.call, outcome.value)

    @property
    def is_over(self) -> bool:
        """Whether `result` has something to return or raise at once."""
        return not self._outcome.empty()

    def cancel(self) -> None:
        """Have it ended there. Its outcome, should there be one, is dropped."""
        self._connection.forget(self._number)


class Connection:
    """An agent on a machine, being started. `digest` names the netlab that it is to be."""

    def __init__(self, way: Way, folder: str, digest: str) -> None:
        self.way, self.name = way, way.host.name
        self._pending: dict[int, Pending] = {}
        self._next = 0
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._closed = threading.Event()
        self._greeting: queue.SimpleQueue[Hello | Lacks | Exception] = queue.SimpleQueue()
        self._greeted: Hello | Lacks | Exception | None = None
        self._problems = tempfile.TemporaryFile()  # noqa: SIM115
        self.folder = f"{folder}/{digest}"  # of its netlab, there
        boot = _BOOT.format(folder=self.folder)
        shell = way.as_root(way.python, "-I", "-S", "-c", boot)
        try:
            # Ctrl-C is for this process, which then ends the agent.
            self._process = subprocess.Popen(
                way.command(shell),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._problems,
                start_new_session=True,
            )
        except OSError as error:
            program = shlex.quote(way.command(shell)[0])
            raise Unmet(f"{program} cannot be started: {error.strerror}", "install ssh") from None
        self._why: Unreachable | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._beat, daemon=True).start()
        if way.password:
            self._send(way.password.encode() + b"\n")

    def greeting(self, limit: float = HELLO) -> Hello | Lacks:
        """What it says first. Raises Unreachable, with the cause in words."""
        if self._greeted is None:
            try:
                self._greeted = self._greeting.get(timeout=limit)
            except queue.Empty:
                self._greeted = self._gone(f"it says nothing in {limit:g} seconds", "try again")
        if isinstance(self._greeted, Exception):
            raise self._greeted
        return self._greeted

    @property
    def hello(self) -> Hello:
        """What the agent says of itself and its machine. Raises Unreachable."""
        greeting = self.greeting()
        if isinstance(greeting, Lacks):
            raise self._gone(f"netlab cannot be loaded there: {greeting.lacks}", "try again")
        return greeting

    def call(
        self,
        call: Call[Given, Found],
        given: Given,
        tell: Tell | None = None,
        limit: float | None = LIMIT,
    ) -> Found:
        """Have it done there: `call` is one of `netlab.hosts.calls`. Raises as that does.

        `limit` None is for what the user runs, which takes as long as it takes.
        """
        return cast(Found, self.start(call, given, tell).result(limit))

    def start(self, call: Call[Given, Any], given: Given, tell: Tell | None = None) -> Pending:
        """Have it begun there. `tell` is called in a thread of the connection's."""
        with self._lock:
            self._next += 1
            pending = Pending(self, self._next, call, tell)
            if self._closed.is_set():
                pending.settle(self._lost())
            else:
                self._pending[self._next] = pending
                number = self._next
        if not self._closed.is_set():
            self._send(line(Request(number, call.__name__, raw(given))))
        return pending

    def forget(self, number: int) -> None:
        """Have a call ended, if it is not."""
        with self._lock:
            known = self._pending.pop(number, None)
        if known:
            self._send(line(Request(number, CANCEL)))

    def hang_up(self) -> None:
        """Have the agent end, and with it what it is doing; the lab stays."""
        self._closed.set()
        with contextlib.suppress(OSError):
            cast(Any, self._process.stdin).close()

    def close(self) -> None:
        """As `hang_up`, and wait for the end."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(_FAREWELL)
        self._problems.close()

    def _send(self, data: bytes) -> None:
        """Write whole lines; a lost connection is told by the thread that reads."""
        stream = cast(Any, self._process.stdin)
        with self._writing, contextlib.suppress(OSError, ValueError):
            stream.write(data)
            stream.flush()

    def _beat(self) -> None:
        while not self._closed.wait(BEAT):
            self._send(b"\n")

    def _listen(self) -> None:
        stream = cast(Any, self._process.stdout)
        greeted = False
        for text in stream:
            if not greeted:
                if found := _greeting(text):
                    greeted = True
                    self._greeting.put(found)
                continue
            with contextlib.suppress(ValueError):  # what somebody's library prints
                self._take(msgspec.json.decode(text, type=Reply))
        stream.close()
        self._process.wait()
        self._closed.set()
        lost = self._lost()
        if not greeted:
            self._greeting.put(lost)
        with self._lock:
            waiting, self._pending = list(self._pending.values()), {}
        for pending in waiting:
            pending.settle(lost)

    def _take(self, reply: Reply) -> None:
        with self._lock:
            pending = self._pending.get(reply.id)
            if pending and reply.tell is None:
                del self._pending[reply.id]
        if pending is None:
            return
        if reply.tell is None:
            pending.settle(reply)
        elif pending.tell:
            pending.tell(*reply.tell)

    def _lost(self) -> Unreachable:
        if self._why is None:
            said = os.pread(self._problems.fileno(), 1 << 16, 0).decode(errors="replace")
            self._why = self._gone(*cause(said, self._process.returncode))
        return self._why

    def _gone(self, why: str, remedy: str) -> Unreachable:
        return Unreachable(f"The machine {self.name} cannot be used: {why}", remedy, self.name)


def _greeting(text: bytes) -> Hello | Lacks | None:
    """A line as the agent's first; None for what a login script printed before."""
    with contextlib.suppress(ValueError):
        return msgspec.json.decode(text, type=Hello)
    with contextlib.suppress(ValueError):
        return msgspec.json.decode(text, type=Lacks)
    return None
