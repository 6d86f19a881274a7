"""A lab that is spread over several machines, with the methods of one that is here."""

from __future__ import annotations

import atexit
import dataclasses
import fcntl
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from netlab.errors import BadInput, LabUnavailable, NetlabError
from netlab.hosts import attached
from netlab.hosts import share as calls
from netlab.hosts.asking import ask, raise_all, reasons, start, telling, try_all
from netlab.hosts.connection import Connection, Pending, Unreachable
from netlab.hosts.protocol import Tell
from netlab.hosts.reached import Machines
from netlab.hosts.travelling import arrived
from netlab.inside import LISTENING, Applied
from netlab.kernel.enter import Completed
from netlab.kernel.lab import MACHINES, LabFolder
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.machines import Spread
from netlab.plan.spreading import spread
from netlab.probe.result import Report
from netlab.report.joined import join
from netlab.running import RED, Lab, Progress
from netlab.state import Design, Share
from netlab.status import Health, MachineStatus, Status, WireStatus
from netlab.stored import layout_file, stored

if TYPE_CHECKING:
    from netlab.captures import Capture
    from netlab.probe.engines.recording import Wanted

PROBING = "probing"  # a file that is locked meanwhile
LISTEN = 120.0  # seconds until every machine's daemons and containers are ready


class Known(msgspec.Struct, frozen=True):
    """What the controller stores of a lab's machines; `left` are those yet to be taken down."""

    inventory: str
    underlay_device: str | None
    spread: Spread
    left: tuple[str, ...] = ()


class SpreadLab(Lab):
    """A lab of which every machine has a share. Agents live as long as this does, or `close`."""

    def __init__(
        self,
        folder: LabFolder,
        wanted: Design | None = None,
        applied: Applied | None = None,
        reached: Machines | None = None,
    ) -> None:
        self._reached = reached
        if reached:
            atexit.register(self.close)
        super().__init__(folder, wanted, applied)

    def _load(self, wanted: Design | None = None) -> None:
        self.known = self.folder.read(MACHINES, Known)
        self._stored.load(self.folder, wanted)

    @property
    def spread(self) -> Spread:
        return self.known.spread

    def reach(self, progress: Tell | None = None) -> Machines:
        """The agents of the lab's machines, started when they are first wanted."""
        if self._reached is None:
            names = [machine.name for machine in self.spread.machines]
            self._reached = Machines(self.known.inventory, names)
            atexit.register(self.close)
            self._reached.ready(progress)
        return self._reached

    def all_machines(self, progress: Tell | None = None) -> Mapping[str, Connection]:
        """As `reach`. Raises Unmet where some machine cannot be used."""
        reached = self.reach(progress)
        reached.require_all()
        return reached.connections

    def close(self) -> None:
        """End the agents; the lab stays."""
        if self._reached:
            self._reached.close()
            self._reached = None
        atexit.unregister(self.close)

    def probe(
        self,
        progress: Progress | None,
        *,
        full: bool = False,
        sample: int | None = None,
        within: float = math.inf,
    ) -> Report:
        """As `verify`, for who holds the lab's lock: all listen, then all probe, then all stop.

        Two at once take turns: who listens for the one would be gone for the other.
        """
        if within != math.inf:
            raise BadInput("A lab on several machines is verified as a whole; leave `within` out.")
        with (self.folder.folder / PROBING).open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            return self._probe(progress, full, sample)

    def _probe(self, progress: Progress | None, full: bool, sample: int | None) -> Report:
        machines = self.all_machines(progress)
        given = calls.Probing(self.name, full, sample)
        listening = {name: threading.Event() for name in machines}

        def heard(name: str) -> Tell:
            relay = telling(name, progress)

            def tell(words: str, done: int, total: int) -> None:
                if words == LISTENING:
                    listening[name].set()
                elif relay:
                    relay(words, done, total)

            return tell

        pending = start(machines, calls.listen, lambda _name: given, heard)
        try:
            for name, one in pending.items():
                _await(one, listening[name])
            reports, problems = try_all(machines, calls.verify, lambda _name: given, progress)
        finally:
            for one in pending.values():
                one.cancel()
        raise_all({n: e for n, e in problems.items() if not isinstance(e, Unreachable)})
        if not reports:
            raise_all(problems)
        report = join(reports, self.spread)
        self.folder.mark(RED, on=not report.ok)
        return report

    def diff(self, *, all_settings: bool = False, wait: float = 0) -> Diff:
        """The difference between every machine's kernel and its share of the plan."""
        with self._unchanged(wait):
            given = calls.Comparing(self.name, all_settings)
            found = ask(self.all_machines(), calls.diff, lambda _name: given)
        joined = Diff()
        for name, travelled in found.items():
            one = arrived(travelled)
            joined.missing += [self._of(name, item) for item in one.missing]
            joined.unexpected += [self._of(name, item) for item in one.unexpected]
            joined.changed += [self._changed_on(name, change) for change in one.changed]
            joined.foreign += [self._of(name, item) for item in one.foreign]
            joined.not_compared += [
                item for item in one.not_compared if item not in joined.not_compared
            ]
        return joined

    def _of(self, machine: str, item: Item) -> Item:
        return Item(self._named_on(machine, item.namespace), item.object, item.owner)

    def _changed_on(self, machine: str, change: Change) -> Change:
        return Change(self._named_on(machine, change.namespace), change.want, change.have)

    def _named_on(self, machine: str, namespace: str) -> str:
        """A namespace's name; one that every machine may have, as a switch, with the machine's."""
        placed = namespace in self.spread.placement
        return namespace if placed else f"{namespace} on {machine}"

    def remake(
        self, progress: Progress | None, wanted: Design | None = None, *_given: Any, **_options: Any
    ) -> Applied:
        """As `repair`, for who holds the lab's lock: make every share equal to its plan again.

        Or to that of another design, for the same machines.
        """
        machines = self.all_machines(progress)
        if wanted is None:
            again = calls.Named(self.name)
            found = ask(machines, calls.repair, lambda _name: again, progress)
        else:
            file, whole, how = layout_file(wanted), wanted.plan, self.spread
            with self.folder.staged(stored(wanted)):
                found = ask(
                    machines,
                    calls.change,
                    lambda name: calls.Build(self.name, Share(name, how, whole), file),
                    progress,
                )
        self.applied = summed(list(found.values()))
        return self.applied

    def _as_spread(self, wanted: Design) -> Design:
        how = self.spread
        plan, _ = spread(wanted.plan, wanted.layout, how.machines, how.wire, how.why, how.lab)
        return dataclasses.replace(wanted, plan=plan)

    def _look(self) -> Status:
        """Every machine's processes. What is on one that cannot be reached counts as down."""
        if self.folder.state != "running":
            return self._with_machines(self._described(self.folder.state), {})
        reached, given = self.reach(), calls.Named(self.name)
        found, problems = try_all(reached.connections, calls.status, lambda _name: given)
        problems = {**reached.unreachable, **problems}
        containers = tuple(one for status in found.values() for one in status.containers)
        daemons = tuple(one for status in found.values() for one in status.daemons)
        return self._with_machines(self._described("running", daemons, containers), problems)

    def _with_machines(self, status: Status, problems: Mapping[str, NetlabError]) -> Status:
        spread, health = self.spread, status.health or Health()
        placed = [(node.name, spread.placement[node.name]) for node in self.layout.nodes]
        machines = tuple(
            MachineStatus(
                name=machine.name,
                device=machine.device,
                nodes=tuple(node for node, place in placed if place == machine.name),
                problem=str(problems.get(machine.name, "")),
            )
            for machine in spread.machines
        )
        return msgspec.structs.replace(
            status,
            machines=machines,
            wire=WireStatus(spread.wire, spread.why),
            health=msgspec.structs.replace(health, ok=health.ok and not problems),
        )

    def down(self, *, wait: float = 0) -> None:
        """Take every share down. One on a machine that cannot be reached stays to be done.

        Raises what is wrong there when all others are down.
        """
        with self.folder.locked(wait=wait):
            self._load()
            wanted = self.known.left or tuple(one.name for one in self.spread.machines)
            reached, given = self.reach(), calls.Named(self.name)
            _, problems = try_all(reached.connections, calls.down, lambda _name: given)
            problems = {**reached.unreachable, **problems}
            left = tuple(name for name in wanted if name in problems)
            if not left:
                self.folder.remove()
                self.close()
                return
            self.folder.write(MACHINES, msgspec.structs.replace(self.known, left=left))
            self.folder.mark("whole", on=False)
            self.close()
        raise _remains(self.name, {name: problems[name] for name in left})

    def execute(
        self,
        space: str | None,
        container: str | None,
        command: Sequence[str],
        *,
        catch: bool,
        stdin: str | None,
    ) -> Completed:
        """Run a command in a namespace, on the machine that has it."""
        if space is None:
            raise BadInput(
                f"The lab '{self.name}' is on several machines, and has no one sandbox",
                "name a node, a pod or another target",
            )
        name = self._machine_of(space)
        if catch and stdin is not None:
            words = calls.Command(self.name, space, container, tuple(command), stdin)
            return self._connection(name).call(calls.run, words, limit=None)
        options = ["-c", container] if container else []
        there = ["exec", "-l", self.name, *options, space, "--", *command]
        return (attached.catch if catch else attached.attach)(self._connection(name), there)

    def recording(self, wanted: Wanted, file: int | str | Path | None = None) -> Capture:
        raise BadInput(
            f"The lab '{self.name}' is on several machines, where netlab captures nothing",
            "`netlab exec TARGET -- tcpdump -i DEVICE` does, where that is installed",
        )

    def log(self, space: str, process: str) -> str:
        """What a daemon or container has printed, on its machine."""
        given = calls.Log(self.name, space, process)
        return self._connection(self._machine_of(space)).call(calls.log, given)

    def _machine_of(self, space: str) -> str:
        spread = self.spread
        return spread.placement.get(space, spread.machines[0].name)

    def _connection(self, machine: str) -> Connection:
        """The agent on one machine. Raises what is wrong with that."""
        reached = self.reach()
        if machine in reached.unreachable:
            raise reached.unreachable[machine]
        return reached.connections[machine]

    def run_inside(self, work: Callable[[], Any], progress: Progress | None = None) -> Any:
        raise LabUnavailable(f"The lab '{self.name}' has no sandbox on this machine.")


def _await(pending: Pending, listening: threading.Event) -> None:
    """Until a machine listens. Raises what it fails of, and where it takes too long."""
    deadline = time.monotonic() + LISTEN
    while not listening.wait(0.02):
        if pending.is_over or time.monotonic() > deadline:
            pending.result(0)


def summed(applied: Sequence[Applied]) -> Applied:
    """What all machines did; they did it at the same time."""
    return Applied(
        sum(one.changes for one in applied),
        sum(one.writes for one in applied),
        max((one.seconds for one in applied), default=0.0),
    )


def _remains(lab: str, problems: dict[str, NetlabError]) -> NetlabError:
    return NetlabError(
        f"What the lab '{lab}' has on {', '.join(problems)} remains ({reasons(problems)})",
        "run `netlab down` again when that is back",
    )
