"""Run on a machine, out of a file that holds netlab: puts it there, and loads kernel modules.

python3 netlab-….pyz FOLDER [MODULE]…

The standard library is all that it may use. Its words on standard error, with exit code 1, are for
the controller to show.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_TRIES = 5
# How the command is started there by hand, and by `netlab exec` with a terminal.
COMMAND = """#!/bin/sh
folder=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
exec {python} -I -S -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); import netlab.cli; \\
netlab.cli.main()' "$folder" "$@"
"""


def main(archive: str, folder: str, *modules: str) -> None:
    for module in modules:  # one that is not there is built in, or lacks, as the agent will tell
        with contextlib.suppress(OSError):
            subprocess.run(["modprobe", "-q", module], capture_output=True)
    with zipfile.ZipFile(archive) as packed:
        digest = packed.read("DIGEST").decode()
        fresh = Path(folder, f"{digest}.new-{os.getpid()}")
        try:
            fresh.mkdir(parents=True, mode=0o755)
            _unpack(packed, fresh)
            _take_place(fresh, fresh.with_name(digest))
            _point_to(Path(folder), digest)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = f"no space is left in {folder}" if full else str(error)
            sys.exit(f"netlab cannot be put there: {reason}")


def _unpack(packed: zipfile.ZipFile, fresh: Path) -> None:
    for name in packed.namelist():
        if name.startswith("lib/"):
            target = fresh / name.removeprefix("lib/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(name) as source, target.open("wb") as to:
                shutil.copyfileobj(source, to)
    command = fresh / "bin" / "netlab"
    command.parent.mkdir(exist_ok=True)
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)


def _take_place(fresh: Path, place: Path) -> None:
    """What is there already could not be loaded; but another controller may be at it too."""
    for _ in range(_TRIES):
        shutil.rmtree(place, ignore_errors=True)
        try:
            fresh.rename(place)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    shutil.rmtree(fresh)


def _point_to(folder: Path, digest: str) -> None:
    """`current` is a link to what was put there last."""
    link = folder / f"current.new-{os.getpid()}"
    link.symlink_to(digest)
    link.rename(folder / "current")


if __name__ == "__main__":
    main(sys.argv[0], *sys.argv[1:])
