"""netlab put on machines that do not have this one: by Ansible, with a playbook of one task."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from netlab.errors import Unmet
from netlab.hosts import package, playing
from netlab.hosts.inventory import ansible, environment, require_runner
from netlab.hosts.playing import Event, Play
from netlab.hosts.protocol import Lacks
from netlab.hosts.ssh import Way, cause

Tell = Callable[[str, int, int], None]
FOLDER = "/var/lib/netlab"  # the inventory's `netlab_folder` names another
_PACKAGE = Path(__file__).parents[1]


def folder_of(way: Way) -> str:
    return way.host.text("netlab_folder") or FOLDER


def prepare(machines: Iterable[tuple[Way, Lacks]], tell: Tell | None = None) -> dict[str, Unmet]:
    """Put netlab on machines; returns those that did not get it, and why.

    Raises Unmet where Ansible is not installed.
    """
    require_runner()
    failed: dict[str, Unmet] = {}
    inventory: dict[str, dict[str, Any]] = {}
    # The process that plays removes it too, should this one be killed.
    with tempfile.TemporaryDirectory(prefix="netlab-", ignore_cleanup_errors=True) as folder:
        for way, lacks in machines:
            try:
                file = package.write(Path(folder), lacks.python, lacks.architecture, lacks.libc)
            except Unmet as error:
                failed[way.host.name] = Unmet(f"{way.host.name}: {error.what}", error.remedy)
                continue
            inventory[way.host.name] = {
                **way.host.variables,
                **way.shared,
                "ansible_become": lacks.sudo,
                "netlab_package": str(file),
                "netlab_folder": folder_of(way),
            }
        return failed | play("prepare", inventory, folder, tell) if inventory else failed


def playbook(name: str) -> Path:
    """One of the playbooks that come with netlab."""
    shipped = _PACKAGE / "_playbooks"
    folder = shipped if shipped.is_dir() else _PACKAGE.parent / "playbooks"
    return folder / f"{name}.yml"


def play(
    name: str, inventory: Mapping[str, dict[str, Any]], folder: str, tell: Tell | None = None
) -> dict[str, Unmet]:
    """Play one of netlab's playbooks on machines; returns those on which it failed, and why.

    What Ansible needs to have in files is put into `folder`, which is removed.
    """
    variables = {key: value for key, value in environment().items() if key[:8] == "ANSIBLE_"}
    program = Path(*ansible("ansible-playbook"))
    variables["PATH"] = f"{program.parent}:{os.environ.get('PATH', os.defpath)}"
    order = Play(folder, str(playbook(name)), dict(inventory), variables)
    # Ctrl-C is for this process; the end of its input tells that one.
    with subprocess.Popen(
        [sys.executable, playing.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
            failed, ended = _heard(process.stdout, len(inventory), tell)
        finally:
            process.stdin.close()
            process.wait()
        said = process.stderr.read().decode(errors="replace").strip()
    if ended not in ("successful", "failed") or (ended == "failed" and not failed):
        reason = said.splitlines()[-1] if said else f"the run is {ended or 'over'}"
        raise Unmet(f"Ansible could not play {name}.yml: {reason}", "see that it works by itself")
    return failed


def _heard(lines: Iterable[bytes], total: int, tell: Tell | None) -> tuple[dict[str, Unmet], str]:
    """Hand on what becomes of the machines; returns those that failed, and how it ended."""
    failed: dict[str, Unmet] = {}
    done = 0
    for text in lines:
        event = msgspec.json.decode(text, type=Event)
        if event.what == "end":
            return failed, event.words
        if event.what != "start":
            done += 1
        if event.what in ("failed", "unreachable"):
            why, remedy = cause(event.words)
            what = f"The machine {event.machine} cannot be prepared: {why}"
            failed[event.machine] = Unmet(what, remedy, event.machine)
        elif tell:
            tell(f"{event.machine}: {event.words}", done, total)
    return failed, ""
