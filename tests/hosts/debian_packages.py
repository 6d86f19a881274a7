"""Debian's packages, unpacked into a cache: never installed, so that the machine stays as it is."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


class CommandError(RuntimeError):
    """A packaging command failed; says which and why."""


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "netlab-tests"


def output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def program(name: str) -> str:
    """A system program, also where PATH has no sbin (a user who is not root, on Debian)."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise CommandError(f"{name} is not installed: `sudo ./bootstrap tests` installs it")
    return path


def unpack(
    cache: Path, packages: Callable[[], list[str]], finish: Callable[[Path], None] = lambda _: None
) -> Path:
    """The cache folder; where it is not there, these packages are unpacked into it and finished."""
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        # Unpacked beside the cache and renamed at the end: a broken run leaves no half of it.
        with tempfile.TemporaryDirectory(dir=cache.parent) as temporary:
            folder = Path(temporary)
            try:
                output("apt-get", "download", "-q", *packages(), cwd=folder)
            except CommandError:  # the package lists are absent or too old
                output("apt-get", "update", "-q")
                output("apt-get", "download", "-q", *packages(), cwd=folder)
            root = folder / "root"
            for package in folder.glob("*.deb"):
                output("dpkg-deb", "-x", str(package), str(root))
            finish(root)
            try:
                root.rename(cache)
            except OSError:
                if not cache.exists():  # else another run was faster
                    raise
    return cache
