"""The processes of a running lab: a pod's containers and a node's daemons, behind one face."""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence

from netlab.errors import NetlabError, Unmet, shown
from netlab.kernel import limits, namespaces
from netlab.kernel.lab import LabFolder
from netlab.kernel.private import contents
from netlab.kernel.processes import ready
from netlab.kernel.processes.containers import Containers, Known
from netlab.kernel.processes.daemons import Daemons, State, filled, program_path
from netlab.plan import etc
from netlab.plan.probing.queries import DaemonWords
from netlab.plan.processes import Container, Daemon
from netlab.plan.types import Plan

Process = Container | Daemon
NOT_THERE = "it does not run"


class Processes:
    """Starts, ends and looks at them; to be used inside the lab's sandbox."""

    def __init__(self, folder: LabFolder) -> None:
        self._folder = folder
        self._containers = Containers(folder)
        self._daemons = Daemons(folder)
        self._worker: threading.Thread | None = None
        self._wanted: queue.SimpleQueue[Sequence[tuple[str, Process]] | None] = queue.SimpleQueue()
        self._problems: list[str] = []
        self._failure: NetlabError | None = None

    def warm_up(self) -> None:
        """Start what containers are forked from, so that it is ready by the time it is needed."""
        self._containers.warm_up()

    def close(self) -> None:
        """End what was warmed up for nothing."""
        self._containers.close()

    def begin(self, wanted: Sequence[tuple[str, Process]]) -> None:
        """Start processes, each given with its namespace, while the caller does something else.

        A container whose command is None is started as it is; what runs a program is to be begun
        when its network is there. More may be begun before all are finished. Raises Unmet when
        there is no room for logs.
        """
        if wanted:
            if any(process.command for _, process in wanted):
                self._folder.make_logs()
            if self._worker is None:
                self._wanted = queue.SimpleQueue()
                self._worker = threading.Thread(target=self._start, daemon=True)
                self._worker.start()
            self._wanted.put(wanted)

    def finish(self) -> list[str]:
        """Wait for what `begin` began; returns what failed, in words. Raises Unmet for a limit."""
        if self._worker:
            self._wanted.put(None)
            self._worker.join()
            self._worker = None
        problems, self._problems = self._problems, []
        if self._failure:
            raise self._failure
        return problems

    def _start(self) -> None:
        daemons: list[tuple[str, Daemon]] = []

        def containers() -> Iterator[list[tuple[str, Container]]]:
            for wanted in iter(self._wanted.get, None):
                daemons.extend((name, item) for name, item in wanted if isinstance(item, Daemon))
                yield [(name, item) for name, item in wanted if isinstance(item, Container)]

        try:
            self._problems += self._containers.start(containers())
            if daemons:
                self._problems += self._daemons.start(daemons)
        except NetlabError as error:
            self._failure = error
        except Exception as error:  # a thread's own would be printed, and the lab taken for whole
            self._problems.append(f"{type(error).__name__}: {error}")
        self._failure = next(filter(None, map(limits.reached, self._problems)), self._failure)

    def reload(self, wanted: Sequence[tuple[str, Daemon]]) -> list[str]:
        """Have running daemons read anew what changed; returns what failed, in words."""
        return self._daemons.reload(wanted)

    def stop(self, namespace: str, name: str | None = None) -> None:
        """End a namespace's processes, or one of them; returns when their sockets are free."""
        self._containers.stop(namespace, name)
        self._daemons.stop(namespace, name)

    def running(self, namespace: str) -> list[Process]:
        """The processes that work, in the namespace that has that name now."""
        return [*self._containers.running(namespace), *self._daemons.running(namespace)]

    def container(self, namespace: str, name: str) -> Known | None:
        """A container that lives; `pid` is its process id in the sandbox."""
        return self._containers.get(namespace, name)

    def namespaces(self) -> dict[tuple[str, str], dict[str, int]]:
        """The inodes of the net, pid, mnt and uts namespaces of every container that lives."""
        return self._containers.namespaces()

    def states(self) -> Mapping[tuple[str, str], State]:
        """What the supervisor knows of each daemon, by namespace and name."""
        return self._daemons.states()

    def last_words(self, namespace: str, process: Process) -> str:
        """The last line that a process printed itself, for who asks why it does not run."""
        with contextlib.suppress(OSError, ValueError):
            lines = contents(self._folder.log(namespace, process.name)).decode(errors="replace")
            own = [line for line in lines.splitlines() if line and not line.startswith("netlab: ")]
            return own[-1] if own else ""
        return ""

    def ask(self, namespace: str, daemon: str, command: Sequence[str]) -> DaemonWords:
        """Run a command that asks a daemon; what it prints."""
        folder = self._folder.daemon(namespace, daemon)
        with namespaces.inside(namespace):
            return ready.asked([filled(word, folder) for word in command], folder)

    def unready(self, namespace: str, process: Process) -> str:
        """What a process that works still lacks to be ready, in words; empty when it is ready."""
        if process.ready is None:
            return ""
        if isinstance(process, Daemon):
            folder = self._folder.daemon(namespace, process.name)
            return ready.of_daemon(namespace, process.ready, folder)
        container = self._containers.get(namespace, process.name)
        return ready.of_container(namespace, process.ready, container) if container else NOT_THERE


def preflight(plan: Plan) -> None:
    """Raise Unmet for a program, of a container or daemon, that this machine does not have."""
    for space in plan.namespaces.values():
        for container in space.containers:
            path = etc.environment(container)["PATH"]
            if container.command and not shutil.which(container.command[0], path=path):
                raise Unmet(
                    f"The program {shown(container.command[0])} of container {container.name} in "
                    f"{space.name} is not on this machine, in none of {path}",
                    "install it, give its whole path or name another",
                    container,
                )
        for daemon in space.daemons:
            words = dict(daemon.needs)
            program = daemon.command[0]
            if "{folder}" not in program:
                words.setdefault(program, "install it or name another")
            for name, remedy in words.items():
                if not shutil.which(name, path=program_path()):
                    raise Unmet(
                        f"The program {shown(name)} of daemon {daemon.name} in {space.name} is "
                        "not on this machine",
                        remedy,
                        daemon,
                    )
