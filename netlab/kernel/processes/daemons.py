"""Daemons of a running lab's nodes: started by the supervisor, and looked at through it.

What each daemon is (its value in the plan) is kept in the lab's folder; which process it is now is
the supervisor's to say, and whether that can work is the kernel's.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from netlab.errors import NetlabError
from netlab.kernel import namespaces
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes import supervisor
from netlab.kernel.sandbox import start_of
from netlab.plan.names import netns
from netlab.plan.processes import Daemon, File

FILE = "daemons.json"
_PATIENCE = 10.0  # seconds for an answer: ending a daemon takes the supervisor two


class State(msgspec.Struct, frozen=True):
    """A daemon as the supervisor knows it; `pid` is in the sandbox, 0 while it does not run."""

    namespace: str
    name: str
    pid: int = 0
    restarts: int = 0

    @property
    def runs(self) -> bool:
        """Whether it can work: there, not stopped by a signal, in the namespace of that name."""
        if not self.pid or start_of(self.pid, without="ZXTt") is None:
            return False
        try:
            own = os.stat(f"/proc/{self.pid}/ns/net").st_ino
            return own == os.stat(namespaces.path(self.namespace)).st_ino
        except OSError:
            return False

    @property
    def age(self) -> float:
        """For how many seconds it is there, also when a signal stopped it; 0 while it is not."""
        start = start_of(self.pid) if self.pid else None
        if start is None:
            return 0.0
        return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")


class Daemons:
    """The daemons of one lab, seen from inside its sandbox."""

    def __init__(self, folder: LabFolder) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Daemon]] = {}  # namespace, then daemon
        with contextlib.suppress(FileNotFoundError):
            self._known = folder.read(FILE, dict[str, dict[str, Daemon]])

    def start(self, wanted: Sequence[tuple[str, Daemon]]) -> list[str]:
        """Start daemons, each given with its namespace; returns what failed, in words."""
        problems = []
        orders = []
        for namespace, daemon in wanted:
            try:
                orders.append(self._prepare(namespace, daemon))
                self._known.setdefault(namespace, {})[daemon.name] = daemon
            except OSError as error:
                problems.append(f"{namespace}: {daemon}: {error.strerror or error}")
        self._folder.write(FILE, self._known)
        for order, problem in zip(orders, self._order("start", orders), strict=True):
            if problem:
                problems.append(f"{order['namespace']}: daemon {order['name']}: {problem}")
        return problems

    def _prepare(self, namespace: str, daemon: Daemon) -> dict[str, Any]:
        """Write a daemon's files into its private folder, which is made anew."""
        folder = self._folder.daemon(namespace, daemon.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        folder.chmod(0o700)
        for file in daemon.files:
            _put(file, folder)
        ready_file = daemon.ready.file if daemon.ready else ""
        return {
            "namespace": namespace,
            "netns": netns(namespace),
            "name": daemon.name,
            "command": [filled(word, folder) for word in daemon.command],
            "folder": str(folder),
            "log": str(self._folder.log(namespace, daemon.name)),
            "ready_file": str(inside(folder, ready_file)) if ready_file else "",
            "backoff": daemon.backoff,
        }

    def reload(self, wanted: Sequence[tuple[str, Daemon]]) -> list[str]:
        """Have daemons go on as they are to be; returns what failed, in words.

        What is known of them is stored last: whoever is killed before leaves them to the next.
        """
        problems = []
        told = []
        for namespace, daemon in wanted:
            before = self._known[namespace][daemon.name]
            folder = self._folder.daemon(namespace, daemon.name)
            changed = [file for file in daemon.files if file not in before.files]
            try:
                for file in changed:
                    _put(file, folder)
            except OSError as error:
                problems.append(f"{namespace}: {daemon}: {error.strerror or error}")
                continue
            if changed:
                told.append((namespace, daemon.name))
            self._known[namespace][daemon.name] = daemon
        if told:
            self._order("reload", told)
        self._folder.write(FILE, self._known)
        return problems

    def stop(self, namespace: str, name: str | None = None) -> None:
        """End a namespace's daemons, or one of them, and remove their folders."""
        known = self._known.get(namespace, {})
        ended = [key for key in known if name in (None, key)]
        if not ended:
            return
        self._order("stop", [(namespace, key) for key in ended], awake=False)
        for key in ended:
            del known[key]
            shutil.rmtree(self._folder.daemon(namespace, key), ignore_errors=True)
        self._folder.write(FILE, self._known)

    def states(self) -> Mapping[tuple[str, str], State]:
        """Every daemon that the supervisor has; none where it is gone."""
        if not any(self._known.values()):
            return {}
        found = msgspec.convert(self._order("list", [], awake=False), list[State])
        return {(state.namespace, state.name): state for state in found}

    def running(self, namespace: str) -> list[Daemon]:
        """The daemons that work, in the namespace that has that name now."""
        known = self._known.get(namespace)
        if not known:
            return []
        states = self.states()
        return [
            daemon
            for name, daemon in known.items()
            if (state := states.get((namespace, name))) and state.runs
        ]

    def _order(self, what: str, daemons: Iterable[Any], *, awake: bool = True) -> list[Any]:
        """Have the supervisor do something; it is started for it, if `awake`."""
        request = json.dumps({"do": what, "daemons": list(daemons)}).encode() + b"\n"
        try:
            sock = _connect() or (_start_supervisor() if awake else None)
            if sock is None:
                return []
            with sock, sock.makefile("rwb") as stream:
                stream.write(request)
                stream.flush()
                return json.loads(stream.readline()) or []
        except (OSError, ValueError) as error:
            raise NetlabError(
                f"The supervisor of the lab's daemons does not answer ({error})",
                "start it again with `netlab up`",
            ) from None


def _connect() -> socket.socket | None:
    """A connection to the supervisor; None where there is none that works."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(_PATIENCE)
    try:
        sock.connect(supervisor.ADDRESS)
    except ConnectionRefusedError:
        sock.close()
        return None
    if start_of(_peer(sock), without="ZXTt") is None:  # it is there, but a signal stopped it
        sock.close()
        return None
    return sock


def _peer(sock: socket.socket) -> int:
    form = "=iII"
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form))
    return int(struct.unpack(form, raw)[0])


def _start_supervisor() -> socket.socket | None:
    """Start one in the place of one that does not work; its daemons end with that."""
    old = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with old, contextlib.suppress(ConnectionRefusedError):
        old.connect(supervisor.ADDRESS)
        pidfd = os.pidfd_open(_peer(old))
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], _PATIENCE)
        os.close(pidfd)
    subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # which it would otherwise keep open for whoever waits there
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=os.environ | {"PATH": program_path()},
        check=False,
    )
    return _connect()


def program_path() -> str:
    """Where daemons' programs are looked for: on PATH, then where bootstrap unpacks Debian's."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), f"{sys.prefix}/debian/usr/sbin"))


def filled(text: str, folder: Path) -> str:
    """A word or a file's content, with the daemon's private folder and netlab's libraries in it."""
    return text.replace("{folder}", str(folder)).replace("{packages}", packages())


@functools.cache
def packages() -> str:
    """The folder in which a library is that daemons take; the others of netlab are mostly there."""
    found = importlib.util.find_spec("dnslib")
    return str(Path(found.origin).parents[1]) if found and found.origin else ""


def inside(folder: Path, path: str) -> Path:
    """A path in a daemon's private folder; raises OSError for one that leaves it."""
    result = Path(os.path.normpath(folder / filled(path, folder)))
    if folder not in result.parents:
        raise OSError(0, f"the file {path} is not in its private folder")
    return result


def _put(file: File, folder: Path) -> None:
    """Write a daemon's file, in one piece for whoever reads it meanwhile. Raises OSError."""
    path = inside(folder, file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(filled(file.content, folder))
    fresh.chmod(file.mode)
    fresh.replace(path)
