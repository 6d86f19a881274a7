"""A running lab as a program holds it, and the places in it where commands can run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from netlab import inside
from netlab.capturing import Capturing
from netlab.changing import Changing
from netlab.errors import BadInput, LabUnavailable, shown, unknown
from netlab.inside import Applied
from netlab.kernel import sandbox
from netlab.kernel.enter import Completed
from netlab.kernel.lab import KEEPER, InUse, LabFolder
from netlab.kernel.private import contents
from netlab.kernel.processes.waiting import Late
from netlab.plan.diff import Diff
from netlab.plan.types import Namespace, Plan
from netlab.reaching import Reaching
from netlab.state import Design, Share
from netlab.status import State, Status, describe
from netlab.stored import SHARE, Stored, stored
from netlab.topology.resolved import Layout

if TYPE_CHECKING:
    from netlab.plan.dataplane import Dataplane
    from netlab.probe.result import Report

RED = "red"  # there is a file of that name after a verification with failed checks
DRIFT = "drift"  # and of this one after a comparison of all settings that found a difference
Progress = Callable[[str, int, int], None]
T = TypeVar("T")


def store(
    folder: LabFolder, keeper: sandbox.Keeper, wanted: Design, share: Share | None = None
) -> None:
    """Write what other commands need to know of a lab."""
    folder.write(KEEPER, keeper)
    for file, value in stored(wanted, share).items():
        folder.write(file, value)


class Lab(Changing, Capturing):
    """A running lab. `applied` is what its last `up` or `repair` in this program took.

    >>> with netlab.up("flannel-vxlan", nodes=2) as lab:
    ...     _ = lab.node("node-1").run("ip", "link", "delete", "flannel.1")
    ...     lab.diff().ok, lab.verify().ok
    ...     lab.repair().changes > 1
    ...     lab.verify().ok
    (False, False)
    True
    True
    """

    def __init__(
        self, folder: LabFolder, wanted: Design | None = None, applied: Applied | None = None
    ) -> None:
        self.folder = folder
        self.applied = applied
        self.report: Report | None = None
        self.late: tuple[Late, ...] = ()
        self.share: Share | None = None
        self._stored = Stored(wanted)
        self._load(wanted)

    def _gone(self) -> LabUnavailable:
        return LabUnavailable(f"The lab '{self.name}' is gone: its keeper ended.")

    def _load(self, wanted: Design | None = None) -> None:
        """Take what is stored of the lab now; another command may have changed it."""
        keeper = self.folder.keeper
        if keeper is None:
            never = LabUnavailable(f"The lab '{self.name}' was never whole.")
            raise self._gone() if self.folder.was_made() else never
        self.keeper = keeper
        self.share = self.folder.read(SHARE, Share) if self.folder.has(SHARE) else None
        self._stored.load(self.folder, wanted)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def plan(self) -> Plan:
        return self._stored.plan

    @property
    def layout(self) -> Layout:
        return self._stored.layout

    @property
    def dataplane(self) -> Dataplane:
        """Its dataplane. Raises BadInput where that stood in a file that is gone."""
        return self._stored.dataplane

    @property
    def design(self) -> Design:
        return self._stored.whole

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.folder.exists():
            self.down()

    def __repr__(self) -> str:
        return f"<Lab {self.name}: {len(self.layout.nodes)} nodes, {len(self.layout.pods)} pods>"

    def verify(
        self,
        *,
        full: bool = False,
        sample: int | None = None,
        progress: Progress | None = None,
        wait: float = 0,
        within: float = math.inf,
    ) -> Report:
        """Probe every expectation with real packets; `ok` of what it returns is whether all held.

        `full` is every pair of pods, `sample` so many. After `within` seconds no other kind of
        packet is begun with, and `skipped` has what was not asked. Raises LabUnavailable while a
        command is changing the lab, after `wait` seconds.
        """
        if full and sample:
            raise BadInput("--full and --sample exclude each other.")
        with self._unchanged(wait):
            return self.probe(progress, full=full, sample=sample, within=within)

    def diff(self, *, all_settings: bool = False, wait: float = 0) -> Diff:
        """The difference between the kernel and the plan, object by object; `wait` as `verify`.

        `all_settings`: all of pods in large labs too.
        """
        with self._unchanged(wait):
            found = self.run_inside(
                lambda: inside.diff(self.folder, self.plan, all_settings=all_settings)
            )
            if all_settings and not found.ok:
                self.folder.mark(DRIFT, on=True)
            return found

    def repair(self, progress: Progress | None = None, *, wait: float = 0) -> Applied:
        """Make the lab equal to its plan again, touching only what differs; `wait` as `verify`."""
        with self.folder.locked(wait=wait):
            self._load()
            return self.remake(progress)

    def remake(
        self,
        progress: Progress | None,
        wanted: Design | None = None,
        anew: Sequence[str] = (),
        share: Share | None = None,
    ) -> Applied:
        """As `repair`, for who holds the lab's lock: make it equal to another plan, or to its own.

        What cannot be stored is not begun. The namespaces `anew` are made anew. Also in large labs
        all settings of pods are looked at where that may find something: after a verification with
        failed checks, or a comparison of all that found a difference.
        """
        now = (self.plan, self.layout, self.share)
        if wanted and now == (wanted.plan, wanted.layout, share):
            wanted = None
        plan, folder = wanted.plan if wanted else self.plan, self.folder
        every = folder.has(RED) or folder.has(DRIFT)
        services = self.layout.services, (wanted or self).layout.services
        with folder.staged(stored(wanted, share) if wanted else {}):
            self.applied = self.run_inside(
                lambda: inside.repair(folder, plan, anew, services, all_settings=every), progress
            )
        folder.mark(DRIFT, on=False)
        return self.applied

    def status(self, *, wait: float = 0) -> Status:
        """Nodes, pods, addresses, daemons and health: None where the lab does not run.

        What is not there may be what another command is about to take away, so it is looked for
        again when none is at work. One that still is after `wait` seconds: the lab is partial.
        """
        found = self._look()
        if found.health is None or found.health.ok:
            return found
        try:
            with self._unchanged(wait):
                return self._look()
        except InUse:
            return self._described("partial")

    def _look(self) -> Status:
        if self.folder.state != "running":
            return self._described(self.folder.state)
        daemons, down = self.run_inside(lambda: inside.look(self.folder, self.plan))
        return self._described("running", daemons, down)

    def _described(self, state: State, *found: Any) -> Status:
        carrier, lab = "", (self.name, state, self.layout, self.plan)
        with contextlib.suppress(BadInput):
            carrier = self.dataplane.carrier()
        return describe(*lab, *self._stored.names, *found, carrier=carrier)

    def down(self, *, wait: float = 0) -> None:
        """Remove the lab: end its keeper, and the kernel frees everything; `wait` as `verify`."""
        with self.folder.locked(wait=wait):
            self.folder.end()

    def attach(self, *command: str) -> int:
        """Run a command in the sandbox, where `ip netns` shows all, with the caller's terminal."""
        return self.execute(None, None, command, catch=False, stdin=None).code

    def execute(
        self,
        space: str | None,
        container: str | None,
        command: Sequence[str],
        *,
        catch: bool,
        stdin: str | None,
    ) -> Completed:
        """Run a command in a namespace, or in a container of it; without either in the sandbox."""
        folder = self.folder
        return self.run_inside(
            lambda: inside.execute(folder, space, container, command, catch=catch, stdin=stdin)
        )

    def log(self, space: str, process: str) -> str:
        """What a process with a log has printed. Raises BadInput."""
        log = self.folder.log(space, process)
        try:
            return contents(log).decode(errors="replace")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            raise BadInput(f"The log {log} is no file that can be read.") from None

    def target(self, name: str) -> Target:
        """A pod, node, `external` or another namespace, by its name or one of its addresses.

        A pod is `web-0`, or `prod/web-0`: that is needed where several have the name.
        """
        if name in self.plan.namespaces:
            return Target(self, self.plan.namespaces[name])
        if pods := self._pods(name):
            return Target(self, self.plan.namespaces[_only(name, pods)])
        for space in self.plan.namespaces.values():
            if any(address.ip == name for address in space.addresses):
                return Target(self, space)
        raise unknown("target", name, self.plan.namespaces)

    def pod(self, name: str) -> Target:
        """A pod by its name, as `target` takes it."""
        pods = self._pods(name)
        return self._named("pod", _only(name, pods) if pods else name)

    def node(self, name: str) -> Target:
        """A node by its name."""
        return self._named("node", name)

    def _pods(self, name: str) -> list[str]:
        """The pods, as the lab calls them, that `NAME` or `NAMESPACE/NAME` can mean."""
        return [
            pod.name
            for pod in self.layout.pods
            if name in (pod.own_name, f"{pod.namespace}/{pod.own_name}")
        ]

    def _named(self, role: str, name: str) -> Target:
        known = {n: space for n, space in self.plan.namespaces.items() if space.role == role}
        if name not in known:
            raise unknown(role, name, known)
        return Target(self, known[name])

    @contextlib.contextmanager
    def _unchanged(self, wait: float) -> Iterator[None]:
        """Meanwhile no `up` or `down` touches the lab."""
        with self.folder.locked(shared=True, wait=wait):
            # Stored and alive as of now: a command may have changed it until the lock was ours.
            if self.folder.state != "running":
                raise self._gone()
            self._load()
            yield

    def probe(
        self,
        progress: Progress | None,
        *,
        full: bool = False,
        sample: int | None = None,
        within: float = math.inf,
    ) -> Report:
        """As `verify`, for who holds the lab's lock."""
        folder, wanted, share = self.folder, self.design, self.share
        report = self.run_inside(
            lambda: inside.verify(
                folder, wanted, full=full, sample=sample, share=share, within=within
            ),
            progress,
        )
        folder.mark(RED, on=not report.ok)
        return report

    def listen(
        self, stop: int, progress: Progress, *, full: bool, sample: int | None, wait: float
    ) -> None:
        """Answer what the other machines of the lab ask this one, until `stop` can be read."""
        with self._unchanged(wait):
            folder, wanted, share = self.folder, self.design, self.share
            if share is None:
                raise LabUnavailable(f"The lab '{self.name}' is on this machine alone.")
            self.run_inside(
                lambda: inside.listen(folder, wanted, share, stop, full=full, sample=sample),
                progress,
            )

    @property
    def checks_failed(self) -> bool:
        """Whether checks failed in the last verification."""
        return self.folder.has(RED)

    def run_inside(self, work: Callable[[], T], progress: Progress | None = None) -> T:
        """Do work in a process inside the sandbox; returns what it returns."""
        return sandbox.run_inside(self.keeper, work, relay=progress)


def _only(name: str, pods: Sequence[str]) -> str:
    """The one of the pods that there is. Raises BadInput."""
    if len(pods) > 1:
        raise BadInput(f"Several pods are named {shown(name)}", f"say which: {', '.join(pods)}")
    return pods[0]


@dataclass(frozen=True, slots=True, repr=False)
class Target(Reaching):
    """Where in a lab a command can run: a pod, a node, the client outside, a switch."""

    lab: Lab
    space: Namespace

    def __repr__(self) -> str:
        return f"<{self.name} of {self.lab.name}>"

    @property
    def name(self) -> str:
        return self.space.name

    def run(self, *command: str, container: str | None = None, stdin: str | None = "") -> Completed:
        """Run a command there, as root, and wait for it; of a pod in its first container.

        `stdin` is what it reads; None is the caller's own standard input. Raises BadInput for a
        program or container that there is not, LabUnavailable for a container that does not run.
        """
        return self._run(command, container, catch=True, stdin=stdin)

    def attach(self, *command: str, container: str | None = None) -> int:
        """Run a command there with the caller's terminal; returns its exit code."""
        return self._run(command, container, catch=False, stdin=None).code

    def logs(self, process: str | None = None) -> str:
        """What a daemon, or a container with a command of its own, has printed.

        Without a name: that of the only one there is. Raises BadInput for any other.
        """
        kind = "container" if self.space.containers else "daemon"
        known = [daemon.name for daemon in self.space.daemons]
        known += [one.name for one in self.space.containers if one.command]
        if process is None and len(known) != 1:
            if not known:
                raise BadInput(f"{self.name} has no {kind} that could have printed anything.")
            raise BadInput(f"{self.name} has several {kind}s", f"say which: {', '.join(known)}")
        if process is not None and process not in known:
            raise unknown(f"{kind} of {self.name}", process, known)
        return self.lab.log(self.name, process or known[0])

    def _run(
        self, command: Sequence[str], container: str | None, *, catch: bool, stdin: str | None
    ) -> Completed:
        known = [one.name for one in self.space.containers]
        if container is not None and container not in known:
            raise unknown(f"container of {self.name}", container, known)
        chosen = container or next(iter(known), None)
        return self.lab.execute(self.name, chosen, command, catch=catch, stdin=stdin)
