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
import threading
import time
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
_END_SECONDS = 2.0


class Containers:
    """The containers of one lab, seen from inside its sandbox."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._known: dict[str, dict[str, Any]] = {}  # namespace, then container
        with contextlib.suppress(FileNotFoundError):
            self._known = lab.read(_FILE)
            if not _is_sound(self._known):
                raise lab.unusable(_FILE)
        self._process: subprocess.Popen[str] | None = None
        self._worker: threading.Thread | None = None
        self._problems: list[str] = []

    def warm_up(self) -> None:
        """Start the zygote, so that it is ready by the time it is needed."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", zygote.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the command, which ends this one
            )

    def begin(self, wanted: Sequence[tuple[str, Daemon]]) -> None:
        """Start containers, each given with its namespace, while the caller does something else."""
        if wanted:
            if any(daemon.command for _, daemon in wanted):
                self._make_logs()
            self.warm_up()
            self._worker = threading.Thread(target=self._start, args=(list(wanted),))
            self._worker.start()

    def finish(self) -> list[str]:
        """Wait for what `begin` began; returns what failed, in words."""
        if self._worker:
            self._worker.join()
            self._worker = None
            self._lab.write(_FILE, self._known)
        problems, self._problems = self._problems, []
        return problems

    def _make_logs(self) -> None:
        logs = self._lab.folder / "logs"
        try:
            logs.mkdir(exist_ok=True)
        except OSError as error:
            raise Unmet(
                f"The folder {logs} cannot be made ({error.strerror}); free some room."
            ) from None

    def _start(self, wanted: list[tuple[str, Daemon]]) -> None:
        process, self._process = self._process, None
        assert process is not None
        logs = self._lab.folder / "logs"
        orders = [
            asdict(daemon) | {"namespace": space, "log": str(logs / f"{space}.{daemon.name}.log")}
            for space, daemon in wanted
        ]
        # All at once: one by one, each would wait for its turn in this busy process.
        output, _ = process.communicate("".join(json.dumps(order) + "\n" for order in orders))
        answers = [json.loads(line) for line in output.splitlines()]
        answers += [{"error": "the zygote ended"}] * (len(wanted) - len(answers))
        for (namespace, daemon), answer in zip(wanted, answers, strict=True):
            if "pid" in answer:
                self._remember(namespace, daemon, answer["pid"])
            else:
                self._problems.append(f"{namespace}: {daemon}: {answer['error']}")

    def close(self) -> None:
        """End a zygote that was warmed up for nothing."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _remember(self, namespace: str, daemon: Daemon, pid: int) -> None:
        entry = {"pid": pid, "start": start_of(pid), "spec": asdict(daemon)}
        self._known.setdefault(namespace, {})[daemon.name] = entry

    def stop(self, namespace: str, name: str | None = None) -> None:
        """End a namespace's containers, or one of them; returns when their sockets are free."""
        entries = self._known.get(namespace, {})
        ended = [key for key in entries if name in (None, key)]
        pids = [entry["pid"] for key in ended if _alive(entry := entries.pop(key))]
        if name is not None and not ended:
            pids = _forgotten(namespace, name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _END_SECONDS
        while any(start_of(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.001)
        if ended:
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
                if _runs(entry) and os.stat(f"/proc/{entry['pid']}/ns/net").st_ino == inode:
                    command = entry["spec"]["command"]
                    spec = entry["spec"] | {"command": tuple(command) if command else None}
                    result.append(Daemon(**spec))
        return result

    def pid(self, namespace: str, name: str) -> int | None:
        """The process id, in the sandbox, of a container that lives."""
        entry = self._known.get(namespace, {}).get(name)
        return entry["pid"] if entry and _runs(entry) else None

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


def _is_sound(known: dict[str, Any]) -> bool:
    return all(
        isinstance(entries, dict)
        and all(
            isinstance(entry, dict) and {"pid", "start", "spec"} <= set(entry)
            for entry in entries.values()
        )
        for entries in known.values()
    )


def _alive(entry: dict[str, Any]) -> bool:
    return entry["start"] is not None and start_of(entry["pid"]) == entry["start"]


def _runs(entry: dict[str, Any]) -> bool:
    """One that was stopped by a signal is there, but serves nobody."""
    return _alive(entry) and start_of(entry["pid"], without="ZXTt") is not None


def _forgotten(namespace: str, name: str) -> list[int]:
    """Processes in a namespace that have a container's name, where the lab's file lost them."""
    inode = os.stat(namespaces.path(namespace)).st_ino
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name[:15] and (
                (folder / "ns/net").stat().st_ino == inode
            ):
                found.append(int(folder.name))
    return found


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
