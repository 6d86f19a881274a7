"""What is done inside a lab's sandbox: each function runs in a process that was forked into it.

They return plain values, and tell (`answers.tell`) what is going on as (words, done, total); total
is 0 where nobody knows how much there is.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netlab.errors import LabUnavailable
from netlab.kernel import enter, held
from netlab.kernel.answers import tell
from netlab.kernel.apart import Apart
from netlab.kernel.enter import Completed
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes import NOT_THERE, Processes
from netlab.kernel.processes.waiting import Late, awaited, wait
from netlab.plan import etc
from netlab.plan.baseline import Baselines
from netlab.plan.diff import Diff
from netlab.plan.processes import Container, Daemon
from netlab.plan.types import Namespace, Plan
from netlab.state import Design, Share, encode
from netlab.status import ContainerStatus, DaemonStatus

if TYPE_CHECKING:
    from netlab.kernel.apply import Engine
    from netlab.probe.result import Check, Report
    from netlab.topology.resolved import ServiceSpec

    Services = Sequence[ServiceSpec]

BASELINES = "baselines.json"
LISTENING = "listening"  # is told when the other machines can call


@dataclass(frozen=True, slots=True)
class Applied:
    """What making a lab equal to its plan took: objects that differed, writes, seconds."""

    changes: int
    writes: int
    seconds: float


def build(folder: LabFolder, plan: Plan, whole: Callable[[], None]) -> Applied:
    """Make everything in a new sandbox; `whole` is called when it is there."""
    started = time.perf_counter()
    engine = _engine(folder, plan)
    engine.containers.warm_up()
    changes = engine.build()
    folder.write(BASELINES, engine.baselines)
    seconds = time.perf_counter() - started
    whole()
    return Applied(changes, changes, seconds)


def repair(
    folder: LabFolder,
    plan: Plan,
    anew: Sequence[str] = (),
    services: tuple[Services, Services] = ((), ()),
    *,
    all_settings: bool = False,
) -> Applied:
    """Make a lab equal to a plan, touching only what differs, and the namespaces `anew` anew.

    Where that was something, flows of UDP are forgotten whose endpoint is none any more, of the
    `services` that there were and that there are.
    """
    started = time.perf_counter()
    held.clear(plan.namespaces)
    engine = _engine(folder, plan)
    before = encode(engine.baselines)
    engine.forget(anew)
    difference, writes = engine.converge(all_settings=all_settings)
    if encode(engine.baselines) != before:
        folder.write(BASELINES, engine.baselines)
    changes = len(difference) - len(difference.awaited)
    if changes and any(services):
        from netlab.kernel import conntrack

        nodes = [name for name, space in plan.namespaces.items() if space.role == "node"]
        writes += conntrack.delete_stale(nodes, *services)
    return Applied(changes, writes, time.perf_counter() - started)


def wait_until_ready(folder: LabFolder, plan: Plan) -> list[Late]:
    """Wait until daemons and containers are ready and have done their part; returns those late."""
    if not awaited(plan):
        return []
    tell("waiting for daemons and containers", 0, 0)
    engine = _engine(folder, plan)
    return wait(plan, engine.containers, engine.awaited)


def verify(
    folder: LabFolder,
    design: Design,
    *,
    full: bool,
    sample: int | None,
    share: Share | None = None,
    within: float = math.inf,
) -> Report:
    """Wait for daemons and containers, then probe every expectation.

    Of a lab on several machines `design` has this one's part, and all of them probe at one time,
    between `listen` and its end: what is asked from here is checked (`report.joined` joins them).
    `within` as in `probe.verify`.
    """
    from netlab.loading import guarded
    from netlab.plan.probing.sample import Sample
    from netlab.probe.verify import verify as probe

    late = wait_until_ready(folder, design.plan)
    engine = _engine(folder, design.plan)
    held.clear(design.plan.namespaces)
    compared = Apart(lambda: _difference(engine))  # while this process waits for replies
    report = guarded(
        design.dataplane,
        design.proxy,
        lambda: probe(
            design.layout,
            design.dataplane,
            share.whole if share else design.plan,
            proxy=design.proxy,
            containers=engine.containers.namespaces(),
            drift=lambda every: _difference(engine, every) if every else compared.result(),
            sample=Sample(full=full, pairs=sample),
            progress=lambda words: tell(f"probing: {words}", 0, 0),
            spread=share.spread if share else None,
            machine=share.machine if share else "",
            ask=engine.containers.ask,
            within=within,
        ),
    )
    return replace(report, checks=(*map(_late, late), *report.checks))


def listen(
    folder: LabFolder,
    design: Design,
    share: Share,
    stop: int,
    *,
    full: bool,
    sample: int | None,
) -> None:
    """Answer what the other machines of a lab ask this one by TCP and UDP, until told to stop.

    Daemons and containers are awaited first, so that no machine probes before all are ready. Then
    it tells LISTENING, and goes on until there is something to read from `stop`, or its process is
    ended.
    """
    from netlab.loading import guarded
    from netlab.plan.probing.actions import Call
    from netlab.plan.probing.lab import Lab
    from netlab.plan.probing.sample import Sample
    from netlab.probe.engines.calls import for_others, listen_for_others
    from netlab.probe.verify import questions

    wait_until_ready(folder, design.plan)
    dataplane = design.dataplane
    lab = Lab(
        design.layout, dataplane, share.whole, share.spread, share.machine, proxy=design.proxy
    )
    sample_ = Sample(full=full, pairs=sample)
    probes, _ = guarded(dataplane, design.proxy, lambda: questions(lab, dataplane, sample_))
    calls = (probe.action for probe in probes if isinstance(probe.action, Call))
    services = for_others(calls, lab.here)
    listen_for_others(services, stop, lambda count: tell(LISTENING, count, count))


def _late(late: Late) -> Check:
    from netlab.probe.result import Check

    expected = f"ready within {late.seconds:g} s"
    return Check("state", late.namespace, late.process, expected, late.lacks, False)


def diff(folder: LabFolder, plan: Plan, *, all_settings: bool = False) -> Diff:
    """The difference between kernel and plan."""
    return _difference(_engine(folder, plan), all_settings)


def _difference(engine: Engine, all_settings: bool = False) -> Diff:
    """The difference but for what another verification holds meanwhile."""
    held.clear(engine.plan.namespaces)
    before = held.moment()
    found = engine.difference(all_settings=all_settings)
    return held.without_held(found, before, held.moment())


def observed(folder: LabFolder, plan: Plan, names: Sequence[str]) -> dict[str, Namespace]:
    """What some namespaces hold now, as the plan's own values; settings are taken as planned."""
    from netlab.kernel.observe import observe

    part = Plan(plan.topology, (), {name: plan.namespaces[name] for name in names})
    return observe(part, Processes(folder), None, others=False)


def daemon_names(folder: LabFolder) -> dict[int, str]:
    """What runs as each process id of a daemon, as `flanneld of node-1`."""
    states = Processes(folder).states()
    return {state.pid: f"{state.name} of {state.namespace}" for state in states.values()}


def look(
    folder: LabFolder, plan: Plan
) -> tuple[tuple[DaemonStatus, ...], tuple[ContainerStatus, ...]]:
    """How the daemons and containers are."""
    processes = Processes(folder)
    daemons: list[DaemonStatus] = []
    containers: list[ContainerStatus] = []
    for name, space in plan.namespaces.items():
        running = processes.running(name) if space.daemons or space.containers else []
        containers += [
            _container(processes, name, one, runs=one in running) for one in space.containers
        ]
        daemons += [
            _daemon(processes, name, daemon, runs=daemon in running) for daemon in space.daemons
        ]
    return tuple(daemons), tuple(containers)


def _container(
    processes: Processes, name: str, container: Container, *, runs: bool
) -> ContainerStatus:
    lacks = processes.unready(name, container) if runs else NOT_THERE
    return ContainerStatus(name, container.name, runs, not lacks, lacks)


def _daemon(processes: Processes, name: str, daemon: Daemon, *, runs: bool) -> DaemonStatus:
    state = processes.states().get((name, daemon.name))
    lacks = processes.unready(name, daemon) if runs else NOT_THERE
    return DaemonStatus(
        node=name,
        name=daemon.name,
        running=runs,
        ready=not lacks,
        restarts=state.restarts if state else 0,
        pid=state.pid if state and runs else None,
        lacks=lacks,
    )


def execute(
    folder: LabFolder,
    space: str | None,
    container: str | None,
    command: Sequence[str],
    *,
    catch: bool,
    stdin: str | None,
) -> Completed:
    """Run a command in a namespace, or in a container of it."""
    processes = Processes(folder)
    if space is None or container is None:
        return enter.run(space, None, command, catch=catch, stdin=stdin)
    known = processes.container(space, container)
    if known is None:
        raise LabUnavailable(
            f"The container {container} of {space} is not running", "`netlab up` starts it again"
        )
    variables = etc.environment(known.spec)
    if not catch and os.isatty(0) and "TERM" in os.environ:  # as runtimes do it for a terminal
        variables.setdefault("TERM", os.environ["TERM"])
    return enter.run(space, known.pid, command, variables, catch=catch, stdin=stdin)


def _engine(folder: LabFolder, plan: Plan) -> Engine:
    from netlab.kernel.apply import Engine

    def stored() -> Baselines:
        try:
            return folder.read(BASELINES, Baselines)
        except FileNotFoundError:  # they are made again
            return Baselines()

    return Engine(
        plan,
        Processes(folder),
        lambda done, total: tell("building", done, total),
        stored,
    )
