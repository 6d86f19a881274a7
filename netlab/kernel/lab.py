"""Labs on disk: one folder each under /run/netlab, with the plan, the keeper's identity and a lock.

For a user who is not root the folders are under $XDG_RUNTIME_DIR/netlab. $NETLAB_STATE puts them
elsewhere. A folder whose keeper is gone is stale; it is removed when a command comes across it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netlab.errors import BadInput, LabUnavailable, unknown
from netlab.kernel.sandbox import Keeper, destroy, rootless

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def root() -> Path:
    """The folder of all labs of this user."""
    if given := os.environ.get("NETLAB_STATE"):
        return Path(given).absolute()
    if not rootless():
        return Path("/run/netlab")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "netlab"
    return Path(f"/tmp/netlab-{os.geteuid()}")


class Lab:
    """One lab's folder. Reading is free; who changes a lab holds its lock."""

    def __init__(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BadInput(
                f"The lab name '{name}' must be letters, digits, '.', '_' or '-', at most 63."
            )
        self.name = name
        self.folder = root() / name

    def exists(self) -> bool:
        return self.folder.is_dir()

    @property
    def keeper(self) -> Keeper | None:
        try:
            known = self.read("keeper.json")
        except FileNotFoundError:
            return None
        return Keeper(known["pid"], known["start"])

    @property
    def state(self) -> str:
        """`running`, `partial` while or after an `up` that was not whole, or `stale`."""
        keeper = self.keeper
        if keeper is None or not keeper.alive:
            return "stale"
        return "running" if (self.folder / "whole").exists() else "partial"

    def read(self, file: str) -> Any:
        return json.loads((self.folder / file).read_text())

    def write(self, file: str, value: Any) -> None:
        """Replace a file at once, so that a reader never sees half of it."""
        fresh = self.folder / f".{file}"
        fresh.write_text(json.dumps(value))
        fresh.replace(self.folder / file)

    def mark_whole(self) -> None:
        (self.folder / "whole").touch()

    @contextlib.contextmanager
    def locked(self, *, create: bool = False) -> Iterator[None]:
        """Hold the lab for a change. Raises LabUnavailable when another command holds it."""
        fd = self._lock(create)
        try:
            yield
        finally:
            os.close(fd)

    def _lock(self, create: bool) -> int:
        if create:
            _private_folder(root())
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o755)
        try:
            fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise missing(self.name) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(self.folder)):
                return fd
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(fd)
        raise LabUnavailable(
            f"The lab '{self.name}' is in use by another netlab command; wait for it to end."
        )

    def end(self) -> None:
        """End the keeper, and everything of the lab with it; then remove the folder."""
        if keeper := self.keeper:
            destroy(keeper)
        self.remove()

    def remove(self) -> None:
        """Remove the folder, and that of all labs after the last."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            root().rmdir()


def _private_folder(folder: Path) -> None:
    """Make the folder of all labs; refuse one of another user, as /tmp could offer."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise BadInput(f"The folder {folder} belongs to another user; set XDG_RUNTIME_DIR.")


def labs() -> list[Lab]:
    try:
        names = sorted(entry.name for entry in root().iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
    return [Lab(name) for name in names if _NAME.fullmatch(name)]


def clear_stale() -> list[str]:
    """Remove the labs that are not whole, unless a command is at work on them; their names.

    A keeper can still be on its way out: with many processes below it that takes a while.
    """
    removed = []
    for lab in labs():
        if lab.state != "running":
            with contextlib.suppress(LabUnavailable), lab.locked():
                if lab.state != "running":
                    lab.end()
                    removed.append(lab.name)
    return removed


def missing(name: str) -> LabUnavailable:
    known = [lab.name for lab in labs()]
    return LabUnavailable(str(unknown("lab", name, known)))


def choose(name: str | None) -> Lab:
    """The lab of that name, or the only one there is. Raises LabUnavailable."""
    if name is not None:
        lab = Lab(name)
        if not lab.exists():
            raise missing(name)
        return lab
    running = labs()
    if not running:
        raise LabUnavailable("No lab is running; start one with `netlab up TOPOLOGY`.")
    if len(running) > 1:
        names = ", ".join(lab.name for lab in running)
        raise LabUnavailable(f"Several labs are running ({names}); say which with -l NAME.")
    return running[0]
