"""Changing a running lab and looking at what `diff` and `up` make of it, all in its sandbox.

Run as a script, `python -m tests.kernel.drift LAB [NAME …]` tries changes of the catalogue on a
running dual-stack lab and prints what is not as it should be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import netlab
from netlab import inside
from netlab.api import Lab
from netlab.errors import NetlabError
from netlab.kernel import namespaces
from netlab.kernel.processes import Processes
from netlab.plan.diff import Diff
from tests.kernel.catalogue import CHANGES, Change


class Cycle(NamedTuple):
    """What was said of changes before and after one repair; `words` are the lines of a diff."""

    refused: str
    found: tuple[str, ...]
    left: tuple[str, ...]
    seconds: float

    def problem(self, changes: Iterable[Change]) -> str:
        """What is not as it should be; empty where each change was named, and none is left."""
        if self.refused:
            return f"the change itself failed: {self.refused}"
        if self.left:
            return f"not repaired: {self.left}"
        lines = "\n".join(self.found)
        if unnamed := [change.words for change in changes if change.words not in lines]:
            return f"{unnamed} is not in: {lines or 'nothing differs'}"
        return ""


def cycle(lab: Lab, changes: Sequence[Change]) -> Cycle:
    """Make changes, look, repair, look again."""

    def work() -> Cycle:
        processes = Processes(lab.folder)
        engine = inside._engine(lab.folder, lab.plan)  # as the commands have it
        started = time.monotonic()
        refused = "; ".join(filter(None, (_make(change, processes) for change in changes)))
        found: tuple[str, ...] = ()
        left: tuple[str, ...] = ()
        try:  # what it returns is what `diff` says; it ends when that says that nothing differs
            first, _ = engine.converge()
            found = _lines(first)
        except NetlabError as error:
            left = (str(error),)
        return Cycle(refused, found, left, time.monotonic() - started)

    return lab.run_inside(work)


def _make(change: Change, processes: Processes) -> str:
    command = change.command
    if "$PID" in command:
        known = processes.container("pod-1-1", "container-1")
        command = command.replace("$PID", str(known.pid) if known else "0")
    if any(name in command for name in ("$PORT", "$POD", "$OTHER")):
        command = f"{_PORTS}; {command}"
    words = ["sh", "-ec", command.replace("$TURN", f"{sys.executable} -m tests.kernel.turn")]
    if change.where:
        words = ["nsenter", f"--net={namespaces.path(change.where)}", *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, env=_environment())
    return done.stderr.strip() or f"code {done.returncode}" if done.returncode else ""


_PORTS = (
    "PORTS=$(ip -br link show master cni0 | cut -d@ -f1); PORT=${PORTS%%\n*}; OTHER=${PORTS##*\n};"
    " POD=$(bridge fdb show dev $PORT | grep -m1 permanent | cut -d' ' -f1)"
)


def _environment() -> dict[str, str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])}


def _lines(difference: Diff) -> tuple[str, ...]:
    found = [*difference.missing, *difference.unexpected, *difference.changed]
    return tuple(map(str, found))


def main(name: str, *wanted: str) -> None:
    lab = netlab.lab(name)
    bad = 0
    for label, change in CHANGES.items():
        if wanted and not any(word in label for word in wanted):
            continue
        seen = cycle(lab, [change])
        if problem := seen.problem([change]):
            bad += 1
            print(f"{label}: {problem[:600]}")
        elif wanted:
            print(f"{label}: {seen.found} in {seen.seconds:.2f} s")
    print(f"{bad} of {len(CHANGES)} are not as they should be")


if __name__ == "__main__":
    main(*sys.argv[1:])
