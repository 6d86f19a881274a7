"""Labs on disk: one folder each under /run/netlab, with its design, its keeper's identity, a lock.

For a user who is not root the folders are under $XDG_RUNTIME_DIR/netlab. $NETLAB_STATE puts them
elsewhere. A folder whose keeper is gone is stale; it is removed when a command comes across it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet, shown, unknown
from netlab.kernel import private
from netlab.kernel.sandbox import LAB, Keeper, destroy, keepers, lab_of, rootless
from netlab.plan.names import netns
from netlab.state import decode, encode

T = TypeVar("T")
KEEPER = "keeper.json"
MACHINES = "machines.json"  # of a lab that runs on other machines, and has no keeper here
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TRIES = 20  # to lock a new folder, which another command may take for one left behind
_SPARE = 1 << 18  # bytes for the files about processes: twice those of 1,000 pods
_SOON = 0.01  # seconds between two tries


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
    """The folder of all labs, which is this user's alone if it is there. Raises Unmet."""
    folder = root()
    with contextlib.suppress(FileNotFoundError), _usable(FileNotFoundError):
        private.check(folder)
    return folder


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, by whatever links they lead there, or one path at least."""
    if one == other:
        return True
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False


class InUse(LabUnavailable):
    """Another command holds the lock of a lab."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The lab '{name}' is in use by another netlab command",
            "wait for it to end, as --wait SECONDS does",
        )


class LabFolder:
    """One lab's folder. Reading is free; who changes a lab holds its lock."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"The lab name {shown(name)} must be letters, digits, '.', '_' or '-', at most 63."
            )
        self.name = name
        self.folder = _ours() / name
        with contextlib.suppress(FileNotFoundError), _usable(FileNotFoundError):
            os.close(private.open_folder(self.folder))

    def exists(self) -> bool:
        return os.path.isdir(self.folder)  # unlike Path.is_dir, also where one may not look

    @property
    def keeper(self) -> Keeper | None:
        """The lab's keeper, found by what it is where its file does not tell; None if it ended."""
        known = None
        with contextlib.suppress(OSError, LabUnavailable):
            known = self.read(KEEPER, Keeper)
        folder = lab_of(known.pid) if known and known.alive else None
        if folder and (_same(folder, self.folder) or not folder.exists()):  # it was moved
            return known
        return next((keeper for folder, keeper in keepers() if _same(folder, self.folder)), None)

    @property
    def state(self) -> Literal["running", "partial", "stale"]:
        """`running`, `partial` while or after an `up` that was not whole, or `stale`."""
        if self.keeper is None and not self.elsewhere:
            return "stale"
        return "running" if self.has("whole") else "partial"

    @property
    def elsewhere(self) -> bool:
        """Whether the lab runs on other machines: what it holds there only they can tell."""
        return self.has(MACHINES)

    def was_made(self) -> bool:
        """Whether it had a keeper, which may have ended since."""
        return os.path.exists(self.folder / KEEPER)

    def runs(self) -> bool:
        return self.state == "running"

    def read(self, file: str, kind: type[T]) -> T:
        """A file's value. Raises FileNotFoundError, and LabUnavailable for anything else."""
        try:
            return decode(private.contents(self.folder / file), kind)
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
        with _usable():
            private.stage(self.folder / file, encode(value))
            private.commit(self.folder / file)

    @contextlib.contextmanager
    def staged(self, files: Mapping[str, Any]) -> Iterator[None]:
        """Replace files after what is done in the block, for which it is known that there is room.

        There is also room for what the block itself writes about processes. Raises Unmet before
        the block for a folder that is full or read-only.
        """
        paths = {self.folder / file: encode(value) for file, value in files.items()}
        spare = self.folder / "spare"
        try:
            with _usable():
                for path, document in paths.items():
                    private.stage(path, document, sync=True)
                private.stage(spare, bytes(max([_SPARE, *map(len, paths.values())])))
                private.unstage(spare)
            yield
            with _usable():
                for path in paths:
                    private.commit(path)
        except BaseException:
            with contextlib.suppress(OSError):
                for path in (*paths, spare):
                    private.unstage(path)
            raise

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
        self.mark("whole", on=True)

    def mark(self, name: str, *, on: bool) -> None:
        """Have an empty file of that name, or have it not. Raises Unmet."""
        with _usable():
            if on:
                (self.folder / name).touch()
            else:
                (self.folder / name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        return os.path.exists(self.folder / name)

    @contextlib.contextmanager
    def locked(
        self, *, create: bool = False, shared: bool = False, wait: float = 0
    ) -> Iterator[None]:
        """Hold the lab for a change, or `shared` with others for a look that needs it unchanged.

        Raises InUse when another command holds it for longer than `wait` seconds, LabUnavailable
        when it is not there, and Unmet when it cannot be made.
        """
        fd = self._lock(create, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait)
        try:
            yield
        finally:
            os.close(fd)

    def _lock(self, create: bool, kind: int, wait: float) -> int:
        deadline = time.monotonic() + wait
        tries = _TRIES if create else 1
        while True:
            if create:
                self._make()
            if (fd := self._try(kind)) is not None:
                return fd
            if not create and not self.exists():
                raise missing(self.name)
            tries -= 1
            if tries <= 0 and time.monotonic() >= deadline:
                raise InUse(self.name)
            time.sleep(_SOON)

    def _try(self, kind: int) -> int | None:
        """Lock the folder; None where another has it, or took it away."""
        try:
            with _usable(FileNotFoundError):
                fd = private.open_folder(self.folder)
        except FileNotFoundError:
            return None
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(self.folder)):
                return fd
        os.close(fd)
        return None

    def _make(self) -> None:
        """Make the folder, for nobody else to look into. Raises Unmet."""
        folder = root()
        with _usable():
            folder.mkdir(mode=private.PRIVATE, parents=True, exist_ok=True)
            _ours()
            if not os.environ.get("NETLAB_STATE"):  # one that the user named stays as it is
                folder.chmod(private.PRIVATE)
        try:
            with _usable(FileExistsError):
                self.folder.mkdir(mode=private.PRIVATE)
        except FileExistsError:
            pass  # whether it is a folder shows when it is opened
        except Unmet:
            remove_if_empty()
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
        remove_if_empty()


def remove_if_empty() -> None:
    """Remove the folder of all labs, unless the user named it: then it may be there for more."""
    if not os.environ.get("NETLAB_STATE"):
        with contextlib.suppress(OSError):
            root().rmdir()


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
        with _usable(FileNotFoundError), os.scandir(_ours()) as entries:
            names = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False))
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
            if not (lab.runs() or lab.elsewhere):
                with lab.locked():
                    if not (lab.runs() or lab.elsewhere):
                        lab.end()
                        removed.append(lab.name)
        except LabUnavailable:
            continue
        except Unmet as problem:
            problems.append(problem)
    return removed, problems


def end_orphans() -> list[str]:
    """End the labs whose folder somebody removed while they ran; returns their names."""
    known = [lab.keeper for lab in labs()]
    ended = []
    for folder, keeper in keepers():
        gone = _same(folder.parent, root()) and not folder.exists()
        if gone and keeper not in known:
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
