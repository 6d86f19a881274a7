"""The sandbox of a lab: made around a keeper, entered by commands, gone with the keeper.

The keeper is process 1 of new PID, mount, network, UTS and IPC namespaces (and, for a user who is
not root, of a new user namespace). Nothing of the host's network, mounts or settings changes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from netlab.errors import LabUnavailable, NetlabError, Unmet
from netlab.kernel import answers, interrupts, limits, namespaces
from netlab.kernel import keeper as keeper_program
from netlab.kernel import syscalls as sys_
from netlab.kernel.interrupts import Interrupt

T = TypeVar("T")
FORKING = threading.Lock()

_NAMESPACES = (
    sys_.CLONE_NEWNS | sys_.CLONE_NEWNET | sys_.CLONE_NEWPID | sys_.CLONE_NEWUTS | sys_.CLONE_NEWIPC
)
# The lab's folder under a short name: a Unix socket's path, as of a daemon, holds 107 bytes.
LAB = "/run/lab"
_FAREWELL = 1.0  # seconds that a keeper may take to end after its processes
_SAFE = sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC


@dataclass(frozen=True, slots=True)
class Keeper:
    """A keeper's identity: its process id on the host, and its start in clock ticks after boot."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        return start_of(self.pid) == self.start


@dataclass(slots=True)
class Sandbox:
    """A new sandbox. It falls unless `gate` is told that the lab is whole before it is closed."""

    keeper: Keeper
    gate: int

    def whole(self) -> None:
        os.write(self.gate, keeper_program.WHOLE)


def keepers() -> Iterator[tuple[Path, Keeper]]:
    """Every keeper of this user, known by what it is and not by a file, with its lab's folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        folder, start = lab_of(pid), start_of(pid)
        if folder is not None and start is not None:
            yield folder, Keeper(pid, start)


def lab_of(pid: int) -> Path | None:
    """The folder of the lab whose keeper a process is; None for any other process.

    A keeper runs the keeper's program, is process 1 of a PID namespace below, and this user's by
    all of its ids: a program that is setuid has another's as well.
    """
    entry = Path(f"/proc/{pid}")
    program = Path(keeper_program.__file__)
    try:
        words = (entry / "cmdline").read_bytes().decode().split("\0")
        if len(words) < 6 or Path(words[3]).parts[-3:] != program.parts[-3:]:
            return None
        status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
    except (OSError, ValueError):
        return None
    ours = set(map(int, status["Uid"].split())) == {os.geteuid()}
    first = status["NSpid"].split()[1:][-1:] == ["1"]
    return Path(words[5]) if ours and first else None


def rootless() -> bool:
    return os.geteuid() != 0


def start_of(pid: int, *, without: str = "ZX") -> int | None:
    """When a process started, in clock ticks after boot; None when it is gone.

    `without` are states, as in /proc/PID/stat, in which it counts as gone: a zombie does.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in without else int(fields[19])


def create(state: Path) -> Sandbox:
    """Start a keeper in a new sandbox, in which the lab's folder `state` stays visible.

    Raises Unmet when the kernel or its settings do not allow it.
    """
    with FORKING, limits.named(), interrupts.held() as release:
        gate_out, gate = os.pipe()
        report_out, report = os.pipe()
        forked = os.fork()
        if forked == 0:
            os.close(gate)
            os.close(report_out)
            _become_keeper(state, gate_out, report, release)
        os.close(gate_out)
        os.close(report)
    with os.fdopen(report_out) as lines:
        answer = lines.read().split("\n", 1)
    os.waitpid(forked, 0)
    pid = int(answer[0]) if answer[0].isdigit() else 0
    problem = answer[1] if pid and len(answer) > 1 else answer[0] if not pid else ""
    start = start_of(pid) if pid else None
    if problem or start is None:
        os.close(gate)
        if found := limits.reached(problem):
            raise found
        raise Unmet(f"No sandbox can be made here ({problem or 'its keeper died'})", remedy())
    return Sandbox(Keeper(pid, start), gate)


def remedy() -> str:
    """What a user can do where no sandbox can be made."""
    if rootless():
        return (
            "allow user namespaces (sysctl user.max_user_namespaces, "
            "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) "
            "or use sudo"
        )
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    if not any(line.split()[1] == "/" for line in mounts):
        return "give the root folder of this chroot a mount of its own (mount --bind DIR DIR)"
    return "run it with CAP_SYS_ADMIN, as a full root has it"


def _become_keeper(state: Path, gate: int, report: int, release: Callable[[], None]) -> NoReturn:
    """In a forked process: make the namespaces, fork process 1 and have it become the keeper."""
    try:
        os.setsid()
        release()  # no terminal's signal comes any more
        unshare(_NAMESPACES)
        pid = os.fork()
        if pid:
            os.write(report, f"{pid}\n".encode())
            os._exit(0)
        _furnish(state)
        os.set_inheritable(gate, True)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.chdir("/")
        # The folder is not for the keeper: it tells whose keeper this is, should the folder go.
        program = [sys.executable, "-I", "-S", keeper_program.__file__, str(gate), str(state)]
        os.execv(sys.executable, program)
    except OSError as error:
        os.write(report, (error.strerror or str(error)).encode())
    finally:
        os._exit(1)


def unshare(namespaces: int) -> None:
    """Step into new namespaces; a user who is not root is root in one of users first."""
    if not rootless():
        sys_.unshare(namespaces)
        return
    uid, gid = os.geteuid(), os.getegid()
    sys_.unshare(sys_.CLONE_NEWUSER | namespaces)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def _furnish(state: Path) -> None:
    """Private mounts: a /proc of the sandbox's processes, and a /run with nothing but netns.

    A private /run, as a user who is not root could not make /run/netns, and for root so that the
    host's names do not show inside.
    """
    sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
    _leave_chroot_behind()
    sys_.mount("proc", "/proc", "proc", _SAFE)
    # The host's would show the host's devices, and let them be changed.
    sys_.mount("sysfs", "/sys", "sysfs", _SAFE)
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY)
    sys_.mount("netlab", "/run", "tmpfs", _SAFE, "mode=755")
    os.mkdir(namespaces.FOLDER, 0o755)
    sys_.mount("netlab", namespaces.FOLDER, "tmpfs", _SAFE, "mode=755")
    if not state.exists():
        state.mkdir(parents=True)
        sys_.mount(f"/proc/self/fd/{folder}", str(state), flags=sys_.MS_BIND)
    os.close(folder)
    os.symlink(state, LAB)
    sys_.set_hostname("netlab")


def _leave_chroot_behind() -> None:
    """In a chroot, make its root the root of the sandbox's mount namespace.

    Who enters a mount namespace, by setns or nsenter, gets the root of that namespace and not of
    the process that made it: in a chroot that would be the files of the host around it.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    facts = os.open("/proc/self/fdinfo", os.O_RDONLY | os.O_DIRECTORY)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    sys_.setns(own, sys_.CLONE_NEWNS)  # now "/" is the root of the namespace
    outer = os.open("/", os.O_PATH | os.O_DIRECTORY)
    if _mount_id(facts, root) != _mount_id(facts, outer):
        sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
        os.fchdir(root)
        sys_.pivot_root(".", ".")  # the old root then lies on the new one
        sys_.unmount(".")
        os.chdir("/")
    for fd in (own, facts, root, outer):
        os.close(fd)


def _mount_id(facts: int, fd: int) -> str:
    """The mount that a descriptor is in, from this process's /proc/self/fdinfo."""
    with open(os.open(str(fd), os.O_RDONLY, dir_fd=facts)) as lines:
        return next(line for line in lines if line.startswith("mnt_id:"))


def run_inside(
    keeper: Keeper,
    work: Callable[[], T],
    *,
    keep: tuple[int, ...] = (),
    relay: Callable[..., None] | None = None,
) -> T:
    """Run `work` in a process inside the sandbox; returns what it returns, raises what it raises.

    The process is in the sandbox's PID namespace, so it ends with the keeper, and it ends with the
    caller too. `keep` are descriptors that only that process may have afterwards. What `work` tells
    (`answers.tell`) is handed to `relay` here, while it runs. Both are forked from the caller, so
    the result must be something that can be pickled.
    Raises LabUnavailable when the lab goes away meanwhile.
    """
    flush()
    caller = os.getpid()
    with interrupts.to_another() as interrupt:
        # No other process may get the pipe's end, or it would hold it open.
        with FORKING, limits.named():
            receiving, sending = os.pipe()
            pid = os.fork()
            if pid == 0:
                step_in(keeper, work, sending, interrupt, caller)
            for fd in (sending, *keep):
                os.close(fd)
        try:
            interrupt.is_the_others()
            outcome = answers.receive(receiving, relay or _ignore)
        except BaseException:  # an interrupt, or of `relay`: nobody waits for the work any more
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            os.close(receiving)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if outcome is None:
        raise ended(keeper, code, fresh=bool(keep))
    if outcome.error:
        raise limits.reached(outcome.error) or outcome.error
    result: T = outcome.value
    return result


def ended(keeper: Keeper, code: int, *, fresh: bool) -> NetlabError:
    """Why a process inside ended without an answer; a code above 128 is of a signal, as shells say.

    With the keeper the kernel kills all processes of the lab, and ends the keeper last; but that of
    a lab not yet whole ends after them.
    """
    number = -code if code < 0 else code - 128
    if number != signal.SIGKILL:
        how = f"by signal {number}" if number > 0 else f"with code {code}"
        failure = NetlabError(f"The command's process in the lab ended {how}", "try again")
        return limits.of_memory() or failure
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(keeper.pid)
        select.select([pidfd], [], [], _FAREWELL if keeper.alive else 0)
        os.close(pidfd)
    if not keeper.alive and not fresh:
        return LabUnavailable("The lab went away during the command: its keeper is gone.")
    return Unmet(
        "The command's process in the lab was killed, as the kernel does for want of memory",
        "free some, and try again",
    )


def _ignore(*_words: Any) -> None:
    """Nobody listens."""


def step_in(
    keeper: Keeper,
    work: Callable[[], T],
    sending: int,
    interrupt: Interrupt | None = None,
    caller: int | None = None,
) -> NoReturn:
    """The middle process: enters everything, forks into the PID namespace, and waits for it.

    It ends with the thread of its `caller` that forked it, or, where there is none, with the work.
    """
    try:
        if caller is not None:
            sys_.die_with_parent(caller)
        namespaces.remember_machine()
        _enter(keeper)
        pid = os.fork()
        if pid == 0:
            sys_.die_with_parent(0)  # a parent outside one's own PID namespace shows as 0
            answers.answer(sending, interrupt.first(work) if interrupt else work)
            flush()
            os._exit(0)
        os.close(sending)
        if interrupt:
            interrupt.pass_on(pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    except LabUnavailable as error:
        answers.refuse(sending, error)
    except OSError as error:
        answers.refuse(sending, limits.reached(error) or error)
    finally:
        os._exit(0)


def _enter(keeper: Keeper) -> None:
    try:
        pidfd = os.pidfd_open(keeper.pid)
        if not keeper.alive:
            raise ProcessLookupError
        user = sys_.CLONE_NEWUSER if rootless() else 0
        sys_.setns(pidfd, _NAMESPACES | user)
        os.close(pidfd)
    except PermissionError:
        if os.stat(f"/proc/{keeper.pid}").st_uid != os.geteuid():
            raise LabUnavailable("The lab cannot be entered: it is another user's.") from None
        raise LabUnavailable("The lab cannot be entered", remedy()) from None
    except ProcessLookupError:
        raise LabUnavailable("The lab is gone: its keeper ended.") from None
    os.chdir("/")


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def destroy(keeper: Keeper) -> None:
    """End the keeper, and with it everything of the lab; returns when it is gone."""
    try:
        pidfd = os.pidfd_open(keeper.pid)
    except ProcessLookupError:
        return
    try:
        if keeper.alive and lab_of(keeper.pid) is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [])
    finally:
        os.close(pidfd)
