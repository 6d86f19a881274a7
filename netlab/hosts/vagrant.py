"""`--inventory vagrant`: the running machines of the Vagrantfile here.

What Vagrant says of ssh is not parsed but given to ssh as it stands: a key's path may be quoted,
and there may be several.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from netlab.errors import BadInput, Unmet
from netlab.hosts.inventory import Host

WORD = "vagrant"  # in place of an inventory
_LIMIT = 120  # seconds: it starts Ruby, and asks the hypervisor


def read(folder: Path) -> tuple[Host, ...]:
    """The machines, in the Vagrantfile's order. What ssh needs is written into `folder`.

    Raises Unmet without Vagrant, BadInput where there is no Vagrantfile or nothing runs.
    """
    names = running(_said("status", "--machine-readable"))
    if not names:
        raise BadInput("No machine of the Vagrantfile here is running", "start them: vagrant up")
    config = folder / "ssh-config"
    config.touch(mode=0o600)
    config.write_text(_said("ssh-config", *names))
    return tuple(Host(name, {"ansible_ssh_common_args": f"-F {config}"}) for name in names)


def running(status: str) -> list[str]:
    """The names of running machines in what `vagrant status --machine-readable` prints.

    Its lines are time, machine, kind, data; commas in data are written otherwise.
    """
    rows = [line.split(",") for line in status.splitlines()]
    return [row[1] for row in rows if row[2:4] == ["state", "running"]]


def _said(*arguments: str) -> str:
    """What a command of Vagrant's prints."""
    if not shutil.which(WORD):
        raise Unmet("The program 'vagrant' is not installed", "install it or name an inventory")
    command = shlex.join([WORD, *arguments])
    try:
        done = subprocess.run(
            [WORD, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise Unmet(f"`{command}` is not done after {_LIMIT} seconds", "try again") from None
    if done.returncode == 0:
        return done.stdout
    said = f"{done.stdout} {done.stderr}"
    if "Vagrantfile" in said and "vagrant init" in said:
        raise BadInput(
            "There is no Vagrantfile here", "change to its folder or name another inventory"
        )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    raise BadInput(f"`{command}` failed: {' '.join(lines[:3]) or 'it says nothing of why'}")
