"""Containers of a running lab: starting them through the zygote, finding and ending them.

Which process is which container is kept in the lab's folder, as (process id in the sandbox, start
time); the kernel says whether it is still that process and in that namespace.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netlab.kernel import limits, namespaces
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes import zygote
from netlab.kernel.sandbox import start_of
from netlab.plan import etc
from netlab.plan.names import netns
from netlab.plan.processes import Container

FILE = "containers.json"
_KINDS = ("net", "pid", "mnt", "uts")
_END_SECONDS = 2.0


class Known(msgspec.Struct, frozen=True):
    """A container that was started; `start` None: it was gone before one could look."""

    pid: int
    start: int | None
    spec: Container

    @property
    def alive(self) -> bool:
        return self.start is not None and start_of(self.pid) == self.start

    @property
    def runs(self) -> bool:
        """Whether it can serve; one that was stopped by a signal is there, but serves nobody."""
        return self.alive and start_of(self.pid, without="ZXTt") is not None


class _Answers:
    """What came of the containers that a zygote was asked for, by their numbers.

    Of each the process and its start, or an error. They are read while more is asked for.
    """

    def __init__(self, zygote: subprocess.Popen[bytes]) -> None:
        self.processes: dict[int, tuple[int, int | None]] = {}
        self.errors: dict[int, str] = {}
        self._zygote = zygote
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, orders: list[dict[str, Any]]) -> None:
        assert self._zygote.stdin
        with contextlib.suppress(BrokenPipeError):  # that it ended shows in `close`
            self._zygote.stdin.write(marshal.dumps(orders))
            self._zygote.stdin.flush()

    def _read(self) -> None:
        """Until the zygote and every container have closed it: all are made, or cannot be."""
        assert self._zygote.stdout
        for line in self._zygote.stdout:
            what, number, words = line.decode(errors="replace").rstrip("\n").split(" ", 2)
            if what == "pid":
                self.processes[int(number)] = int(words), start_of(int(words))
            else:
                self.errors[int(number)] = words

    def close(self) -> str:
        """Wait for all; returns in words what has happened to those of whom nothing is known."""
        assert self._zygote.stdin
        assert self._zygote.stderr
        with self._zygote:
            with contextlib.suppress(BrokenPipeError):
                self._zygote.stdin.close()
            self._reader.join()
            last = self._zygote.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"it ended while it was made{last and f' ({last})'}"


class Containers:
    """The containers of one lab, seen from inside its sandbox."""

    def __init__(self, folder: LabFolder) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Known]] = {}  # namespace, then container
        with contextlib.suppress(FileNotFoundError):
            self._known = folder.read(FILE, dict[str, dict[str, Known]])
        self._process: subprocess.Popen[bytes] | None = None

    def warm_up(self) -> None:
        """Start the zygote, so that it is ready by the time it is needed."""
        if self._process is None:
            with limits.named():
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", zygote.__file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd="/",
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is for the command, which ends this one
                )

    def start(self, parts: Iterable[Sequence[tuple[str, Container]]]) -> list[str]:
        """Start containers, each given with its namespace; returns what failed, in words.

        They are started while more of them are still to come. What is known of others is left alone
        until all have come.
        """
        wanted: list[tuple[str, Container]] = []
        answers: _Answers | None = None
        for part in filter(None, parts):
            answers = answers or self._ask()
            wanted += part
            answers.ask([self._order(*one) for one in part])
        if answers is None:
            return []
        ended = answers.close()
        problems = []
        for number, (namespace, container) in enumerate(wanted):
            pid, start = answers.processes.get(number, (0, None))
            if number in answers.errors:
                problems.append(f"{namespace}: {container}: {answers.errors[number]}")
            elif not pid or (start is None and not container.command):
                problems.append(f"{namespace}: {container}: {ended}")
            else:
                self._known.setdefault(namespace, {})[container.name] = Known(pid, start, container)
        self._folder.write(FILE, self._known)
        return problems

    def _ask(self) -> _Answers:
        """The zygote, which is asked once for all."""
        self.warm_up()
        process, self._process = self._process, None
        assert process
        return _Answers(process)

    def _order(self, space: str, container: Container) -> dict[str, Any]:
        """What the zygote has to know of a container."""
        order: dict[str, Any] = {
            "namespace": netns(space),
            "name": container.name,
            "hostname": container.hostname,
            "command": container.command,
            "port": container.port,
            "local_port": container.local_port,
            "pod": container.pod,
            "files": etc.files(container),
        }
        if container.command:
            order["environment"] = etc.environment(container)
            order["log"] = str(self._folder.log(space, container.name))
        return order

    def close(self) -> None:
        """End a zygote that was warmed up for nothing."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self, namespace: str, name: str | None = None) -> None:
        """End a namespace's containers, or one of them; returns when their sockets are free."""
        entries = self._known.get(namespace, {})
        ended = [key for key in entries if name in (None, key)]
        pids = [entry.pid for key in ended if (entry := entries.pop(key)).alive]
        if name is not None and not ended:
            pids = _forgotten(namespace, name)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _END_SECONDS
        while any(start_of(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.001)
        if ended:
            self._folder.write(FILE, self._known)

    def running(self, namespace: str) -> list[Container]:
        """The containers that live, in the namespace that has that name now."""
        entries = self._known.get(namespace)
        if not entries:
            return []
        try:
            inode = os.stat(namespaces.path(namespace)).st_ino
        except FileNotFoundError:
            return []
        result = []
        for entry in entries.values():
            with contextlib.suppress(OSError):
                if entry.runs and os.stat(f"/proc/{entry.pid}/ns/net").st_ino == inode:
                    result.append(entry.spec)
        return result

    def get(self, namespace: str, name: str) -> Known | None:
        """A container that lives; `pid` is its process id in the sandbox."""
        entry = self._known.get(namespace, {}).get(name)
        return entry if entry and entry.runs else None

    def namespaces(self) -> dict[tuple[str, str], dict[str, int]]:
        """The inodes of the net, pid, mnt and uts namespaces of every container that lives."""
        result = {}
        for namespace, entries in self._known.items():
            for name, entry in entries.items():
                with contextlib.suppress(OSError):
                    result[namespace, name] = {
                        kind: os.stat(f"/proc/{entry.pid}/ns/{kind}").st_ino for kind in _KINDS
                    }
        return result


def _environment() -> dict[str, str]:
    """The zygote's variables, which show in its containers as theirs: none of the caller's.

    But for the one by which an interpreter may have to find its own library.
    """
    given = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    own = {"PATH": etc.PATH, "HOME": "/root"}
    return own | {name: text for name, text in given.items() if text}


def _forgotten(namespace: str, name: str) -> list[int]:
    """Processes in a namespace that have a container's name, where the lab's file lost them."""
    try:
        inode = os.stat(namespaces.path(namespace)).st_ino
    except FileNotFoundError:
        return []
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == name[:15] and (
                (folder / "ns/net").stat().st_ino == inode
            ):
                found.append(int(folder.name))
    return found


def server_source() -> str:
    """The source of the default container's server, for scripts that stand alone."""
    return Path(zygote.__file__).with_name("server.py").read_text(encoding="utf-8")
