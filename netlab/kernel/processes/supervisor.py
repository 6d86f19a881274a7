"""The supervisor: the process below which a lab's daemons run, and which starts them again.

One for each lab, in its sandbox, so that it ends with the keeper; its daemons end with it. It
listens on an abstract socket of the sandbox's own network namespace: a request is one line of JSON
on a connection, and so is the answer. Run as a program, with the standard library alone, so that it
stays small; see `daemons.py` for who asks it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

ADDRESS = "\0netlab-supervisor"
LONGEST_DELAY = 30.0  # seconds before a daemon that keeps ending is started again
SETTLED = 10.0  # seconds after which a daemon that ends is no longer one that keeps ending
GRACE = 2.0  # seconds between the request to end and the end
MARK = "NETLAB_DAEMON"  # in the environment of a daemon, and of whatever it starts

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
libc = ctypes.CDLL(None, use_errno=True)


class Daemon:
    """One daemon: how to start it, and the process it is now (`pid` 0: none)."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.namespace: str = order["namespace"]
        self.netns: str = order["netns"]
        self.name: str = order["name"]
        self.command: list[str] = order["command"]
        self.folder: str = order["folder"]
        self.log: str = order["log"]
        self.stale: str = order["ready_file"]
        self.first_delay: float = order["backoff"]
        self.delay = self.first_delay
        self.pid = 0
        self.pidfd = -1
        self.restarts = 0
        self.started = 0.0
        self.due: float | None = None

    @property
    def mark(self) -> bytes:
        return f"{MARK}={self.namespace}/{self.name}".encode()

    def start(self) -> None:
        """Start its program. Raises OSError where it cannot be started."""
        if self.stale:  # of the process before: this one is not ready yet
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.stale)
        outcome, failure = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.become(parent, failure)
        os.close(failure)
        with os.fdopen(outcome) as lines:
            problem = lines.read()
        if problem:
            os.waitpid(pid, 0)
            raise OSError(0, problem)
        self.pid, self.pidfd = pid, os.pidfd_open(pid)
        self.started, self.due = time.monotonic(), None

    def become(self, parent: int, failure: int) -> NoReturn:
        """In the forked process: be the daemon, in its node's network namespace."""
        try:
            os.setsid()
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            node = os.open(f"/run/netns/{self.netns}", os.O_RDONLY)
            call("setns", node, CLONE_NEWNET)
            os.close(node)
            null = os.open(os.devnull, os.O_RDONLY)
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for fd, number in ((null, 0), (log, 1), (log, 2)):
                os.dup2(fd, number)
            os.chdir(self.folder)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.environ[MARK] = f"{self.namespace}/{self.name}"
            os.execvp(self.command[0], self.command)
        except OSError as error:
            os.write(failure, f"{error.filename or self.command[0]}: {error.strerror}".encode())
        finally:
            os._exit(1)

    def ended(self) -> None:
        """After its process ended: clear up what that left, and say when it starts again."""
        status = os.waitpid(self.pid, 0)[1]
        lived = time.monotonic() - self.started
        self.forget()
        kill_all({self.mark})
        if lived >= SETTLED:
            self.delay = self.first_delay
        code = os.waitstatus_to_exitcode(status)
        how = f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"
        self.start_later(f"{how} after {lived:.1f} s")

    def start_again(self) -> None:
        self.restarts += 1
        try:
            self.start()
        except OSError as error:
            self.start_later(f"cannot be started ({error.strerror})")

    def start_later(self, why: str) -> None:
        self.say(f"{self.name} {why}; it is started again in {self.delay:g} s")
        self.due = time.monotonic() + self.delay
        self.delay = min(2 * self.delay, LONGEST_DELAY)

    def say(self, words: str) -> None:
        """Write into its log, as what it prints itself is there."""
        with contextlib.suppress(OSError), open(self.log, "a") as log:
            log.write(f"netlab: {words}\n")

    def forget(self) -> None:
        os.close(self.pidfd)
        self.pid, self.pidfd = 0, -1


class Supervisor:
    """The daemons by namespace and name, and the socket on which requests come."""

    def __init__(self, listener: socket.socket) -> None:
        self.daemons: dict[tuple[str, str], Daemon] = {}
        self.listener = listener

    def run(self) -> NoReturn:
        while True:
            poll = select.poll()
            poll.register(self.listener, select.POLLIN)
            alive = {daemon.pidfd: daemon for daemon in self.daemons.values() if daemon.pid}
            for fd in alive:
                poll.register(fd, select.POLLIN)
            due = [daemon.due for daemon in self.daemons.values() if daemon.due is not None]
            wait = max(min(due) - time.monotonic(), 0) * 1000 + 1 if due else None
            ready = {fd for fd, _ in poll.poll(wait)}
            for fd in ready & alive.keys():
                alive[fd].ended()
            if self.listener.fileno() in ready:
                with contextlib.suppress(OSError, ValueError):
                    self.serve()
            for daemon in list(self.daemons.values()):
                if daemon.due is not None and daemon.due <= time.monotonic():
                    daemon.start_again()

    def serve(self) -> None:
        """Read one request and answer it. Who asks and does not say what is not waited for."""
        connection, _ = self.listener.accept()
        connection.settimeout(GRACE)
        with connection, connection.makefile("rwb") as stream:
            request = json.loads(stream.readline())
            answer: Any = None
            if request["do"] == "start":
                answer = [self.start(order) for order in request["daemons"]]
            elif request["do"] == "stop":
                self.stop([tuple(key) for key in request["daemons"]])
            elif request["do"] == "reload":
                self.reload([tuple(key) for key in request["daemons"]])
            else:
                answer = [state(daemon) for daemon in self.daemons.values()]
            stream.write(json.dumps(answer).encode() + b"\n")

    def start(self, order: dict[str, Any]) -> str:
        """Start a daemon, in the place of one of that name; returns what is wrong, in words."""
        daemon = Daemon(order)
        key = daemon.namespace, daemon.name
        self.stop([key])
        try:
            daemon.start()
        except OSError as error:
            return error.strerror or str(error)
        self.daemons[key] = daemon
        return ""

    def reload(self, keys: list[tuple[str, str]]) -> None:
        """Tell daemons that their files changed; one that does not run finds out when it starts."""
        for key in keys:
            if (daemon := self.daemons.get(key)) and daemon.pid:
                signal.pidfd_send_signal(daemon.pidfd, signal.SIGHUP)

    def stop(self, keys: list[tuple[str, str]]) -> None:
        """End daemons for good: they are asked to, and after a while no longer asked."""
        ending = [self.daemons.pop(key) for key in keys if key in self.daemons]
        alive = [daemon for daemon in ending if daemon.pid]
        for daemon in alive:
            for number in (signal.SIGTERM, signal.SIGCONT):  # it may be stopped
                signal.pidfd_send_signal(daemon.pidfd, number)
        deadline = time.monotonic() + GRACE
        for daemon in alive:
            wait = max(deadline - time.monotonic(), 0)
            if not select.select([daemon.pidfd], [], [], wait)[0]:
                signal.pidfd_send_signal(daemon.pidfd, signal.SIGKILL)
            os.waitpid(daemon.pid, 0)
            daemon.forget()
        if ending:
            kill_all({daemon.mark for daemon in ending})


def state(daemon: Daemon) -> dict[str, Any]:
    return {
        "namespace": daemon.namespace,
        "name": daemon.name,
        "pid": daemon.pid,
        "restarts": daemon.restarts,
    }


def kill_all(marks: set[bytes] | None) -> None:
    """End what daemons started and left behind; None: what daemons of any name did."""
    ending = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and int(entry) != os.getpid() and marked(int(entry), marks):
                ending.append(os.pidfd_open(int(entry)))
                signal.pidfd_send_signal(ending[-1], signal.SIGKILL)
    for pidfd in ending:  # until their ports are free
        select.select([pidfd], [], [], GRACE)
        os.close(pidfd)


def marked(pid: int, marks: set[bytes] | None) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        words = [word for word in file.read().split(b"\0") if word.startswith(MARK.encode())]
    return bool(words) and (marks is None or words[0] in marks)


def call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def main() -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(ADDRESS)
    except OSError:  # another one has just been started
        return
    listening, told = os.pipe()
    if os.fork():  # what started this goes on when it listens, and is not its parent
        os.close(told)
        os.read(listening, 1)
        os._exit(0)
    os.close(listening)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kill_all(None)
    listener.listen(64)
    os.close(told)
    Supervisor(listener).run()


if __name__ == "__main__":
    main()
