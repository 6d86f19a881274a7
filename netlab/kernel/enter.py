"""Running a command inside a target: a pod's container, or a namespace with no container."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from netlab.errors import BadInput, shown
from netlab.kernel import namespaces
from netlab.kernel import syscalls as sys_
from netlab.plan.names import host_name


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `code` is its exit code, for a signal 128 and its number, as shells say.

    Where its output was not caught, it went to the caller's terminal, and is empty here.
    """

    code: int
    stdout: str = ""
    stderr: str = ""


class NotFound(BadInput):
    """There is no such program where a command is to be run."""


def run(
    space: str | None,
    process: int | None,
    command: Sequence[str],
    variables: Mapping[str, str] = os.environ,
    *,
    catch: bool = True,
    stdin: str | None = None,
    limit: float | None = None,
) -> Completed:
    """Inside the sandbox: run a command in a target, and wait for it.

    `space` is the target's namespace (None: the sandbox itself), `process` that of the container to
    enter, if it has one. `variables` are its environment, `stdin` None is the caller's own, and
    `limit` are seconds after which it is killed. Raises NotFound where there is no such program,
    and TimeoutError.
    """
    if not shutil.which(command[0], path=variables.get("PATH", os.defpath)):
        raise NotFound(f"There is no program {shown(command[0])} on this machine.")
    streams: dict[int, int] = {}
    if stdin is not None:
        streams[0] = os.memfd_create("stdin")
        os.pwrite(streams[0], stdin.encode(), 0)
    if catch:
        streams |= {1: os.memfd_create("stdout"), 2: os.memfd_create("stderr")}
    pid = os.fork()
    if pid == 0:
        for number, fd in streams.items():
            os.dup2(fd, number)
        _become(space, process, command, variables)
    if late := limit is not None and not _ends(pid, limit):
        os.kill(pid, signal.SIGKILL)
    code = exit_code(wait(pid))
    texts = [_text(streams[number]) if catch else "" for number in (1, 2)]
    for fd in streams.values():
        os.close(fd)
    if late:
        raise TimeoutError
    return Completed(code, *texts)


def _ends(pid: int, seconds: float) -> bool:
    """Whether a child ends in time."""
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace")


def wait(pid: int) -> int:
    """Wait for a child while the terminal's Ctrl-C is the child's to handle."""
    if threading.current_thread() is not threading.main_thread():
        return os.waitpid(pid, 0)[1]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return os.waitpid(pid, 0)[1]
    finally:
        signal.signal(signal.SIGINT, before)


def exit_code(status: int) -> int:
    """The exit code of a wait status; for a signal as a shell reports it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(
    space: str | None, process: int | None, command: Sequence[str], variables: Mapping[str, str]
) -> NoReturn:
    """In a forked process: enter the target and be the command."""
    try:
        if process is not None:
            _enter_container(process)
        elif space is not None:
            _enter_namespace(space)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvpe(command[0], list(command), dict(variables))
    except OSError as error:
        print(f"netlab: cannot run {command[0]}: {error.strerror}.", file=sys.stderr, flush=True)
    finally:
        os._exit(126)


def _enter_container(process: int) -> None:
    flags = sys_.CLONE_NEWNS | sys_.CLONE_NEWNET | sys_.CLONE_NEWPID | sys_.CLONE_NEWUTS
    sys_.setns(os.pidfd_open(process), flags)
    os.chdir("/")
    # Only a child is in the PID namespace just entered.
    pid = os.fork()
    if pid:
        os._exit(exit_code(wait(pid)))
    sys_.die_with_parent(0)  # a parent outside one's own PID namespace shows as 0


def _enter_namespace(space: str) -> None:
    """As `ip netns exec`: a /sys that shows the namespace's devices, and the target's name."""
    fd = namespaces.open_namespace(space)
    sys_.setns(fd, sys_.CLONE_NEWNET)
    sys_.unshare(sys_.CLONE_NEWNS | sys_.CLONE_NEWUTS)
    sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
    sys_.set_hostname(host_name(space))
    with contextlib.suppress(OSError):
        sys_.mount("sysfs", "/sys", "sysfs")
