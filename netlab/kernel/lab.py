"""Labs on disk: one folder each under /run/netlab, with its design, its keeper's identity, a lock.

For a user who is not root the folders are under $XDG_RUNTIME_DIR/netlab. $NETLAB_STATE puts them
elsewhere. A folder whose keeper is gone is stale; it is removed when a command comes across it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet, unknown
from netlab.kernel.sandbox import LAB, Keeper, destroy, keepers, lab_of, rootless
from netlab.plan.names import netns
from netlab.state import decode, encode

T = TypeVar("T")
KEEPER = "keeper.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PRIVATE = 0o700  # nobody else reads a plan, or holds the lock of a lab
_TRIES = 20  # to lock a new folder, which another command may take for one left behind
_LARGEST = 1 << 28  # bytes of a file; the plan of a lab as large as a host can hold is a tenth


def root() -> Path:
    """The folder of all labs of this user."""
    if given := os.environ.get("NETLAB_STATE"):
        return Path(given).absolute()
    if not rootless():
        return Path("/run/netlab")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "netlab"
    return Path(f"/tmp/netlab-{os.geteuid()}")


def _ours() -> Path:
    """The folder of all labs, which is this user's if it is there.

    Another's could lead a command into another's files, as one that somebody left in /tmp.
    Raises Unmet.
    """
    folder = root()
    with contextlib.suppress(FileNotFoundError), _usable(FileNotFoundError):
        # Of a link both must be ours: the link, and where it leads.
        if {os.lstat(folder).st_uid, os.stat(folder).st_uid} != {os.geteuid()}:
            raise PermissionError(errno.EPERM, "it belongs to another user")
    return folder


def _same(one: Path | None, other: Path) -> bool:
    """Whether two paths are one folder, by whatever links they lead there, or one path at least."""
    if one is None or one == other:
        return one is not None
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False


class LabFolder:
    """One lab's folder. Reading is free; who changes a lab holds its lock."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"The lab name '{name}' must be letters, digits, '.', '_' or '-', at most 63."
            )
        self.name = name
        self.folder = _ours() / name

    def exists(self) -> bool:
        return os.path.isdir(self.folder)  # unlike Path.is_dir, also where one may not look

    @property
    def keeper(self) -> Keeper | None:
        """The lab's keeper, found by what it is where its file does not tell; None if it ended."""
        known = None
        with contextlib.suppress(OSError, LabUnavailable):
            known = self.read(KEEPER, Keeper)
        if known and known.alive and _same(lab_of(known.pid), self.folder):
            return known
        return next((keeper for folder, keeper in keepers() if _same(folder, self.folder)), None)

    @property
    def state(self) -> Literal["running", "partial", "stale"]:
        """`running`, `partial` while or after an `up` that was not whole, or `stale`."""
        if self.keeper is None:
            return "stale"
        return "running" if os.path.exists(self.folder / "whole") else "partial"

    def was_made(self) -> bool:
        """Whether it had a keeper, which may have ended since."""
        return os.path.exists(self.folder / KEEPER)

    def runs(self) -> bool:
        return self.state == "running"

    def read(self, file: str, kind: type[T]) -> T:
        """A file's value. Raises FileNotFoundError, and LabUnavailable for anything else."""
        try:
            return decode(_contents(self.folder / file), kind)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, RecursionError):
            raise self.unusable(file) from None

    def unusable(self, file: str) -> LabUnavailable:
        """The error for a file that is gone or spoilt."""
        return LabUnavailable(
            f"The file {self.folder / file} is missing or damaged",
            f"remove the lab with `netlab down -l {self.name}`",
        )

    def write(self, file: str, value: Any) -> None:
        """Replace a file at once, so that a reader never sees half of it. Raises Unmet."""
        fresh = self.folder / f".{file}"
        document = encode(value)
        with _usable():
            fresh.write_bytes(document)
            fresh.replace(self.folder / file)

    def log(self, namespace: str, process: str) -> Path:
        """Where a container with a command of its own, or a daemon, prints to."""
        return self.folder / "logs" / f"{netns(namespace)}.{process}.log"

    def make_logs(self) -> None:
        """Make the folder of the logs. Raises Unmet."""
        with _usable():
            (self.folder / "logs").mkdir(exist_ok=True)

    def daemon(self, namespace: str, daemon: str) -> Path:
        """A daemon's private folder, as it is called inside the sandbox."""
        return Path(LAB, "daemons", namespace, daemon)

    def mark_whole(self) -> None:
        with _usable():
            (self.folder / "whole").touch()

    @contextlib.contextmanager
    def locked(self, *, create: bool = False, shared: bool = False) -> Iterator[None]:
        """Hold the lab for a change, or `shared` with others for a look that needs it unchanged.

        Raises LabUnavailable when another command holds it, and Unmet when it cannot be made.
        """
        fd = self._lock(create, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(fd)

    def _lock(self, create: bool, kind: int) -> int:
        for _ in range(_TRIES if create else 1):
            if create:
                self._make()
            try:
                with _usable(FileNotFoundError):
                    fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # another command took a folder without a lab away
            if self._take(fd, kind):
                return fd
            os.close(fd)
            if create:
                time.sleep(0.002)
        if not self.exists():
            raise missing(self.name)
        raise LabUnavailable(
            f"The lab '{self.name}' is in use by another netlab command", "wait for it to end"
        )

    def _take(self, fd: int, kind: int) -> bool:
        """Lock the open folder; false where another has it, or it is not the lab's any more."""
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(fd), os.stat(self.folder))
        except (BlockingIOError, FileNotFoundError):
            return False

    def _make(self) -> None:
        """Make the folder, for nobody else to look into. Raises Unmet."""
        folder = root()
        with _usable():
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        with _usable():
            if _ours().stat().st_mode & ~_PRIVATE & 0o777:
                folder.chmod(_PRIVATE)
        try:
            with _usable(FileExistsError):
                self.folder.mkdir(mode=_PRIVATE)
        except FileExistsError:
            pass  # whether it is a folder shows when it is opened
        except Unmet:
            _remove_if_empty(folder)
            raise

    def end(self) -> None:
        """End the keeper, and everything of the lab with it; then remove the folder.

        Raises Unmet where either is not allowed.
        """
        with _usable():
            if keeper := self.keeper:
                destroy(keeper)
        self.remove()

    def remove(self) -> None:
        """Remove the folder, and that of all labs after the last. Raises Unmet."""
        with _usable(), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)
        _remove_if_empty(root())


def _contents(path: Path) -> bytes:
    """What a regular file of sensible size holds; anything else is no file of a lab's.

    Raises OSError, and ValueError for one that is none: a named pipe would be waited for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as stream:
        known = os.fstat(fd)
        if not stat.S_ISREG(known.st_mode) or known.st_size > _LARGEST:
            raise ValueError(f"{path} is no file of a lab")
        return stream.read()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


@contextlib.contextmanager
def _usable(*expected: type[OSError]) -> Iterator[None]:
    """Around work on the folder of all labs: it must be ours, writable and with room.

    Raises Unmet for all but the errors that are `expected`.
    """
    try:
        yield
    except expected:
        raise
    except OSError as error:
        raise Unmet(
            f"The folder of all labs, {root()}, cannot be used ({error.strerror or error})",
            "set NETLAB_STATE to a folder that is yours and has room",
        ) from None


def labs() -> list[LabFolder]:
    """All labs of this user. Raises Unmet."""
    try:
        with _usable(FileNotFoundError):
            names = sorted(entry.name for entry in _ours().iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    return [LabFolder(name) for name in names if _NAME.fullmatch(name)]


def clear_stale() -> tuple[list[str], list[NetlabError]]:
    """Remove the labs that are not whole, unless a command is at work on them.

    Returns the names of those removed, and what is wrong with those that cannot be. A keeper can
    still be on its way out: with many processes below it that takes a while.
    """
    removed: list[str] = []
    problems: list[NetlabError] = []
    for lab in labs():
        try:
            if not lab.runs():
                with lab.locked():
                    if not lab.runs():
                        lab.end()
                        removed.append(lab.name)
        except LabUnavailable:
            continue
        except Unmet as problem:
            problems.append(problem)
    return removed, problems


def end_orphans() -> list[str]:
    """End the labs whose folder somebody removed while they ran; returns their names."""
    ended = []
    for folder, keeper in keepers():
        if _same(folder.parent, root()) and not folder.exists():
            destroy(keeper)
            ended.append(folder.name)
    return ended


def missing(name: str) -> LabUnavailable:
    error = unknown("lab", name, [lab.name for lab in labs()])
    return LabUnavailable(error.what, error.remedy)


def choose(name: str | None) -> LabFolder:
    """The lab of that name, or the only one there is. Raises LabUnavailable."""
    if name is not None:
        lab = LabFolder(name)
        if not lab.exists():
            raise missing(name)
        return lab
    running = labs()
    if not running:
        raise LabUnavailable("No lab is running", "start one with `netlab up TOPOLOGY`")
    if len(running) > 1:
        names = ", ".join(lab.name for lab in running)
        raise LabUnavailable(f"Several labs are running ({names})", "say which with -l NAME")
    return running[0]
