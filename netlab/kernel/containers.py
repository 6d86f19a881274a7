"""Containers of a running lab: starting them through the zygote, finding and ending them.

Which process is which container is kept in the lab's folder, as (process id in the sandbox, start
time); the kernel says whether it is still that process and in that namespace.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlab.errors import Unmet
from netlab.kernel import namespaces, zygote
from netlab.kernel.lab import Lab
from netlab.kernel.sandbox import start_of
from netlab.plan.types import Daemon, Plan

_FILE = "containers.json"
_KINDS = ("net", "pid", "mnt", "uts")


class Containers:
    """The containers of one lab, seen from inside its sandbox."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._known: dict[str, dict[str, Any]] = {}  # namespace, then container
        with contextlib.suppress(FileNotFoundError):
            self._known = lab.read(_FILE)
        self._process: subprocess.Popen[str] | None = None

    def warm_up(self) -> None:
        """Start the zygote, so that it is ready by the time it is needed."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", zygote.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
            )

    def start(self, wanted: Sequence[tuple[str, Daemon]]) -> list[str]:
        """Start containers, each given with its namespace; returns what failed, in words."""
        if not wanted:
            return []
        self.warm_up()
        process, self._process = self._process, None
        assert process and process.stdin and process.stdout
        logs = self._lab.folder / "logs"
        if any(daemon.command for _, daemon in wanted):
            logs.mkdir(exist_ok=True)
        problems = []
        # One line, one answer: the pipe never fills, whatever the number of containers.
        for namespace, daemon in wanted:
            order = asdict(daemon) | {
                "namespace": namespace,
                "log": str(logs / f"{namespace}.{daemon.name}.log"),
            }
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline() or '{"error": "the zygote ended"}')
            if "pid" in answer:
                self._remember(namespace, daemon, answer["pid"])
            else:
                problems.append(f"{namespace}: {daemon}: {answer['error']}")
        process.stdin.close()
        process.wait()
        self._lab.write(_FILE, self._known)
        return problems

    def close(self) -> None:
        """End a zygote that was warmed up for nothing."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _remember(self, namespace: str, daemon: Daemon, pid: int) -> None:
        entry = {"pid": pid, "start": start_of(pid), "spec": asdict(daemon)}
        self._known.setdefault(namespace, {})[daemon.name] = entry

    def stop(self, namespace: str, name: str | None = None) -> None:
        """End a namespace's containers, or one of them."""
        entries = self._known.get(namespace, {})
        for key in [name] if name else list(entries):
            entry = entries.pop(key, None)
            if entry and _alive(entry):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(entry["pid"], signal.SIGKILL)
        self._lab.write(_FILE, self._known)

    def running(self, namespace: str) -> list[Daemon]:
        """The containers that live, in the namespace that has that name now."""
        try:
            inode = os.stat(namespaces.path(namespace)).st_ino
        except FileNotFoundError:
            return []
        result = []
        for entry in self._known.get(namespace, {}).values():
            with contextlib.suppress(OSError):
                if _alive(entry) and os.stat(f"/proc/{entry['pid']}/ns/net").st_ino == inode:
                    command = entry["spec"]["command"]
                    spec = entry["spec"] | {"command": tuple(command) if command else None}
                    result.append(Daemon(**spec))
        return result

    def pid(self, namespace: str, name: str) -> int | None:
        """The process id, in the sandbox, of a container that lives."""
        entry = self._known.get(namespace, {}).get(name)
        return entry["pid"] if entry and _alive(entry) else None

    def namespaces(self) -> dict[tuple[str, str], dict[str, int]]:
        """The inodes of the net, pid, mnt and uts namespaces of every container that lives."""
        result = {}
        for namespace, entries in self._known.items():
            for name, entry in entries.items():
                with contextlib.suppress(OSError):
                    result[namespace, name] = {
                        kind: os.stat(f"/proc/{entry['pid']}/ns/{kind}").st_ino for kind in _KINDS
                    }
        return result


def _alive(entry: dict[str, Any]) -> bool:
    return entry["start"] is not None and start_of(entry["pid"]) == entry["start"]


def preflight(plan: Plan) -> None:
    """Raise Unmet for a container's program that this machine does not have."""
    for space in plan.namespaces.values():
        for daemon in space.daemons:
            if daemon.command and not shutil.which(daemon.command[0]):
                raise Unmet(
                    f"The program '{daemon.command[0]}' of container {daemon.name} in {space.name} "
                    "is not on this machine; install it or name another."
                )


def server_source() -> str:
    """The source of the default container's server, for scripts that stand alone."""
    return Path(zygote.__file__).with_name("server.py").read_text()
