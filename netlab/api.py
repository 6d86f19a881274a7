"""What a Python program calls: building labs, asking them, running commands in them.

>>> import netlab
>>> lab = netlab.up("flannel-vxlan", nodes=1, pods_per_node=1, containers=1)
>>> lab.status().health.ok
True
>>> lab.diff().ok
True
>>> netlab.lab("flannel-vxlan").node("node-1").run("cat", "/proc/sys/net/ipv4/ip_forward").stdout
'1\\n'
>>> lab.down()
>>> netlab.labs()
[]

Work on a lab is done in a process that is forked from the caller into the lab's sandbox; only what
it returns, and what it tells a `progress`, comes back. Threads may work on labs at once. Not
supported, as with any fork of a program with threads: another thread that at that moment holds a
lock which the work needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from netlab import inside
from netlab.designing import design
from netlab.errors import BadInput, LabUnavailable, unknown
from netlab.inside import Applied
from netlab.kernel import lab as folders
from netlab.kernel import sandbox
from netlab.kernel.enter import Completed
from netlab.kernel.lab import KEEPER, LabFolder
from netlab.kernel.processes.waiting import Late
from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Diff
from netlab.plan.types import Namespace, Plan
from netlab.state import Design, LayoutFile, as_stored
from netlab.status import Status, describe
from netlab.topology.model import Cluster
from netlab.topology.resolved import Layout

if TYPE_CHECKING:
    from netlab.probe.result import Report

__all__ = ["Applied", "Completed", "Lab", "Late", "Status", "Target", "lab", "labs", "up"]
PLAN, LAYOUT = "plan.json", "layout.json"
Progress = Callable[[str, int, int], None]
T = TypeVar("T")


def up(
    topology: str | Path | Cluster,
    *,
    name: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Lab:
    """Build a lab, or make a running one of that name equal to the topology.

    `topology` is a name, the path of a file, or a Cluster. `options` are what `--set` takes, with
    `nodes` and `pods_per_node` among them: the parameters of the topology's function and fields of
    Cluster. `force` builds what the dataplane refuses. `name` is the lab's, by default the
    topology's. `progress` is called with words, and how much is done of how much (0: unknown).
    Raises BadInput, Unmet where the host lacks something, LabUnavailable where another command is
    at work on that lab or it runs another topology.

    With `with` the lab is taken down at its end, without it stays:

    >>> with netlab.up("flannel-host-gw", nodes=2) as lab:
    ...     lab.pod("pod-1-1").run("ip", "-br", "route", "get", "10.244.1.2").code
    0
    """
    return build(design(topology, options, force=force), name, progress)


def lab(name: str | None = None) -> Lab:
    """The running lab of that name, or the only one there is.

    Raises LabUnavailable; the folder of a lab whose keeper is gone is removed.

    >>> made = netlab.up("flannel-host-gw", name="mine", nodes=1)
    >>> netlab.lab("mine").layout == made.layout
    True
    >>> made.down()
    """
    return Lab(_alive(name))


def labs() -> list[str]:
    """The names of all labs of this user, running or not.

    >>> with netlab.up("flannel-host-gw", name="mine", nodes=1):
    ...     netlab.labs()
    ['mine']
    """
    return [folder.name for folder in folders.labs()]


def build(
    wanted: Design,
    name: str | None = None,
    progress: Progress | None = None,
    *,
    verify: bool = False,
    built: Callable[[Lab], None] | None = None,
) -> Lab:
    """As `up`, for what `design` made. Nobody else changes the lab until it is verified.

    `built` is called in between. What was found is `Lab.applied`, `Lab.late` and `Lab.report`.
    """
    from netlab.kernel import capabilities
    from netlab.kernel.processes import preflight

    needs = [capabilities.SANDBOX, *wanted.plan.requires]
    capabilities.require(needs, f"The topology {wanted.topology}")
    preflight(wanted.plan)
    folders.clear_stale()
    folder = LabFolder(name or wanted.topology)
    with folder.locked(create=True):
        make = _remake if folder.state == "running" else _make
        made = make(folder, wanted, progress)
        if built:
            built(made)
        if verify:
            made.report = made._verify(progress)
        elif any(space.daemons for space in wanted.plan.namespaces.values()):
            late = made._inside(lambda: inside.wait_for_daemons(folder, wanted.plan), progress)
            made.late = tuple(late)
    return made


def _make(folder: LabFolder, wanted: Design, progress: Progress | None) -> Lab:
    """Build in a new sandbox, which falls with everything in it unless the lab becomes whole."""
    try:
        fresh = sandbox.create(folder.folder)
        _store(folder, fresh.keeper, wanted)

        def whole() -> None:
            folder.mark_whole()
            fresh.whole()

        applied = sandbox.run_inside(
            fresh.keeper,
            lambda: inside.build(folder, wanted.plan, whole),
            keep=(fresh.gate,),
            relay=progress,
        )
        return Lab(folder, wanted, applied)
    except BaseException:
        folder.end()
        raise


def _remake(folder: LabFolder, wanted: Design, progress: Progress | None) -> Lab:
    """Make a running lab equal to another plan, or to its own, touching only what differs."""
    before = Lab(folder)
    if before.plan.topology != wanted.topology:
        raise LabUnavailable(
            f"The lab '{folder.name}' runs the topology {before.plan.topology}, not "
            f"{wanted.topology}",
            "take it down first or name another with -l",
        )
    applied = before._inside(lambda: inside.repair(folder, wanted.plan), progress)
    if before.plan != wanted.plan or before.layout != wanted.layout:
        _store(folder, before.keeper, wanted)
    return Lab(folder, wanted, applied)


def _store(folder: LabFolder, keeper: sandbox.Keeper, wanted: Design) -> None:
    """Write what other commands need to know of a lab."""
    from netlab.dataplane import reference

    folder.write(KEEPER, keeper)
    folder.write(PLAN, wanted.plan)
    folder.write(LAYOUT, LayoutFile(wanted.layout, reference(wanted.dataplane)))


def _alive(name: str | None) -> LabFolder:
    folder = folders.choose(name)
    if folder.state == "running":
        return folder
    removed, problems = folders.clear_stale()
    if folder.name in removed:
        raise LabUnavailable(
            f"The lab '{folder.name}' is stale: its keeper is gone, and all of the lab with it; "
            "its folder is removed."
        )
    if problems:
        raise problems[0]
    raise LabUnavailable(f"The lab '{folder.name}' is still being made by another command.")


class Lab:
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
        self._dataplane = wanted.dataplane if wanted else None
        self._load(wanted)

    def _load(self, wanted: Design | None = None) -> None:
        """Take what is stored of the lab now; another command may have changed it."""
        from netlab.dataplane import reference

        keeper = self.folder.keeper
        if keeper is None:
            raise LabUnavailable(f"The lab '{self.name}' was never whole.")
        self.keeper = keeper
        if wanted:
            self.plan: Plan = wanted.plan
            self.layout: Layout = wanted.layout
            return
        try:
            self.plan = self.folder.read(PLAN, Plan)
            stored = self.folder.read(LAYOUT, LayoutFile)
        except FileNotFoundError as error:
            raise self.folder.unusable(Path(error.filename).name) from None
        self.layout = stored.layout
        self._reference = stored.dataplane
        if self._dataplane and as_stored(reference(self._dataplane)) != stored.dataplane:
            self._dataplane = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def dataplane(self) -> Dataplane:
        """Its dataplane. Raises BadInput where that stood in a file that is gone."""
        from netlab.dataplane import resolve

        if self._dataplane is None:
            self._dataplane = resolve(self._reference)
        return self._dataplane

    @property
    def design(self) -> Design:
        return Design(self.layout, self.dataplane, self.plan)

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
        self, *, full: bool = False, sample: int | None = None, progress: Progress | None = None
    ) -> Report:
        """Probe every expectation with real packets; `ok` of what it returns is whether all held.

        `full` is every pair of pods, `sample` so many. Raises LabUnavailable while a command is
        changing the lab.
        """
        if full and sample:
            raise BadInput("--full and --sample exclude each other.")
        with self._unchanged():
            return self._verify(progress, full=full, sample=sample)

    def diff(self) -> Diff:
        """The difference between the kernel and the plan, object by object."""
        with self._unchanged():
            return self._inside(lambda: inside.diff(self.folder, self.plan))

    def repair(self, progress: Progress | None = None) -> Applied:
        """Make the lab equal to its plan again, touching only what differs."""
        with self.folder.locked():
            self._load()
            self.applied = self._inside(lambda: inside.repair(self.folder, self.plan), progress)
            return self.applied

    def status(self) -> Status:
        """Nodes, pods, addresses, daemons and health (None where the lab does not run)."""
        state = self.folder.state
        dataplane = self._dataplane.name if self._dataplane else str(self._reference["name"])
        known = self.name, state, self.layout, self.plan, dataplane
        if state != "running":
            return describe(*known)
        return describe(*known, *self._inside(lambda: inside.look(self.folder, self.plan)))

    def down(self) -> None:
        """Remove the lab: end its keeper, and the kernel frees everything of it."""
        with self.folder.locked():
            self.folder.end()

    def attach(self, *command: str) -> int:
        """Run a command in the sandbox, where `ip netns` shows all, with the caller's terminal."""
        folder = self.folder
        return self._inside(
            lambda: inside.execute(folder, None, None, command, catch=False, stdin=None)
        ).code

    def target(self, name: str) -> Target:
        """A pod, node, `external` or another namespace, by its name or one of its addresses."""
        if name in self.plan.namespaces:
            return Target(self, self.plan.namespaces[name])
        for space in self.plan.namespaces.values():
            if any(address.ip == name for address in space.addresses):
                return Target(self, space)
        raise unknown("target", name, self.plan.namespaces)

    def pod(self, name: str) -> Target:
        """A pod by its name."""
        return self._named("pod", name)

    def node(self, name: str) -> Target:
        """A node by its name."""
        return self._named("node", name)

    def _named(self, role: str, name: str) -> Target:
        known = {n: space for n, space in self.plan.namespaces.items() if space.role == role}
        if name not in known:
            raise unknown(role, name, known)
        return Target(self, known[name])

    @contextlib.contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Meanwhile no `up` or `down` touches the lab."""
        with self.folder.locked(shared=True):
            # Stored and alive as of now: a command may have changed it until the lock was ours.
            if self.folder.state != "running":
                raise LabUnavailable(f"The lab '{self.name}' is gone: its keeper ended.")
            self._load()
            yield

    def _verify(
        self, progress: Progress | None, *, full: bool = False, sample: int | None = None
    ) -> Report:
        folder, wanted = self.folder, self.design
        return self._inside(
            lambda: inside.verify(folder, wanted, full=full, sample=sample), progress
        )

    def _inside(self, work: Callable[[], T], progress: Progress | None = None) -> T:
        return sandbox.run_inside(self.keeper, work, relay=progress)


@dataclass(frozen=True, slots=True)
class Target:
    """Where in a lab a command can run: a pod, a node, the client outside, a switch."""

    lab: Lab
    space: Namespace

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
        log = self.lab.folder.log(self.name, process or known[0])
        return log.read_text(errors="replace") if log.exists() else ""

    def _run(
        self, command: Sequence[str], container: str | None, *, catch: bool, stdin: str | None
    ) -> Completed:
        known = [one.name for one in self.space.containers]
        if container is not None and container not in known:
            raise unknown(f"container of {self.name}", container, known)
        chosen = container or next(iter(known), None)
        folder, name = self.lab.folder, self.name
        return self.lab._inside(
            lambda: inside.execute(folder, name, chosen, command, catch=catch, stdin=stdin)
        )
