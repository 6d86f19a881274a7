"""The host as a lab must leave it: everything of its network, settings, mounts and processes.

Compared exactly: it is the tests' own host (tests/kernel/place.py), which nobody else changes.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import subprocess
import time
from pathlib import Path

from tests.kernel.place import mount_point

COMMANDS = (
    ("ip", "-d", "-j", "link"),
    ("ip", "-j", "address"),
    ("ip", "-j", "route", "show", "table", "all"),
    ("ip", "-6", "-j", "route", "show", "table", "all"),
    ("ip", "-j", "rule"),
    ("ip", "-6", "-j", "rule"),
    ("ip", "-j", "neigh", "show", "nud", "permanent"),
    ("bridge", "-j", "fdb"),
    ("tc", "-j", "qdisc"),
    ("nft", "list", "ruleset"),
)
# Clocks and counters that change by themselves, with or without a lab.
PASSING = re.compile(r'"(expires|valid_life_time|preferred_life_time)":\d+,?|\bcounter [^;]*')
COUNTERS = {"nf_conntrack_count"}


def snapshot() -> dict[str, str]:
    """The links, addresses, routes, rules, rulesets and sysctls of where we are; the mounts."""
    result = {}
    for command in COMMANDS:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result[" ".join(command)] = PASSING.sub("", output)
    result["sysctl net"] = "\n".join(f"{path} {value}" for path, value in settings().items())
    result["mounts"] = Path("/proc/self/mountinfo").read_text()
    result["netns names"] = json.dumps(_names(Path("/run/netns")))
    result["hostname"] = os.uname().nodename
    return result


def settings() -> dict[Path, str]:
    """The network's sysctls, as they are where we are."""
    found = {}
    for folder, _, names in os.walk("/proc/sys/net"):
        for path in (Path(folder, name) for name in sorted(names) if name not in COUNTERS):
            try:
                found[path] = path.read_text().strip()
            except OSError:  # some settings can only be written, or need a device
                continue
    return found


def changes(before: dict[str, str]) -> list[str]:
    """What is no longer as a snapshot has it: the lines that went, and those that came."""
    now = snapshot()
    before = before | {"mounts": _without_lost(before["mounts"], now["mounts"])}
    return [
        f"{what}: {line}"
        for what in before
        for line in difflib.ndiff(*(re.split(r"\n|(?<=\}),", s[what]) for s in (before, now)))
        if line[0] in "+-"
    ]


def _without_lost(before: str, now: str) -> str:
    """Without the mounts that the kernel took away as somebody removed what they were mounted on.

    The machine's mounts show on the tests' host as well, and the files below them are the same.
    """
    there = set(now.splitlines())
    return "".join(
        line
        for line in before.splitlines(keepends=True)
        if line.rstrip("\n") in there or os.path.lexists(mount_point(line))
    )


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def processes(state: Path) -> list[int]:
    """The processes that were started, by whatever chain, with this state folder.

    Containers do not have its variable; they are found below a keeper, which ends with them.
    """
    mark = f"NETLAB_STATE={state}".encode()
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def assert_nothing_left(state: Path, within: float = 5.0) -> None:
    """No process of a lab in this state folder, and no folder, after a moment for the kernel."""
    deadline = time.monotonic() + within
    while processes(state) and time.monotonic() < deadline:
        time.sleep(0.01)
    left = processes(state)
    assert not left, f"these processes are left: {left}"
    assert not state.exists() or list(state.iterdir()) == []
