"""Commands that make, show and remove labs: up, status, down, gc."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import click

from netlab.cli import look
from netlab.cli.app import App, common, guard
from netlab.cli.running import Running, running, store, stored
from netlab.cli.topologies import Chosen, choose, topology_argument, topology_options
from netlab.errors import LabUnavailable, NetlabError
from netlab.kernel import lab as state
from netlab.kernel.lab import Lab


@click.command()
@topology_argument()
@topology_options
@click.option("--no-verify", is_flag=True, help="Do not verify after building.")
@common
@click.pass_obj
def up(app: App, /, no_verify: bool, **options: Any) -> int:
    """Make the kernel equal to the plan, then verify; run again: repair what differs."""
    from netlab.kernel import capabilities, containers

    chosen = choose(**options)
    capabilities.require(
        [capabilities.SANDBOX, *chosen.plan.requires], f"The topology {chosen.name}"
    )
    containers.preflight(chosen.plan)
    state.clear_stale()
    lab = Lab(app.lab or chosen.name)
    with lab.locked(create=True):
        if lab.state == "running":
            return _repair(app, lab, chosen, no_verify)
        return _build(app, lab, chosen, no_verify)


def _build(app: App, lab: Lab, chosen: Chosen, no_verify: bool) -> int:
    """Build in a new sandbox, which falls with everything in it unless the lab becomes whole."""
    from netlab.kernel import sandbox

    try:
        fresh = sandbox.create(lab.folder)
        lab_running = store(lab, fresh.keeper, chosen.plan, chosen.layout, chosen.dataplane)

        def work() -> int:
            started = time.perf_counter()
            engine = look.engine(lab_running, _Bar())
            engine.containers.warm_up()
            changes = engine.build()
            seconds = time.perf_counter() - started
            lab.mark_whole()
            fresh.whole()
            return _report(app, lab_running, changes, changes, seconds, no_verify)

        return sandbox.run_inside(fresh.keeper, lambda: guard(work), keep=(fresh.gate,))
    finally:
        if lab.state != "running":
            lab.end()


def _repair(app: App, lab: Lab, chosen: Chosen, no_verify: bool) -> int:
    """Make a running lab equal to the plan, touching only what differs."""
    lab_running = stored(lab)
    if lab_running.plan.topology != chosen.name:
        raise LabUnavailable(
            f"The lab '{lab.name}' runs the topology {lab_running.plan.topology}, not "
            f"{chosen.name}; take it down first or name another with -l."
        )
    wanted = Running(lab, lab_running.keeper, chosen.plan, chosen.layout, chosen.dataplane)

    def work() -> int:
        started = time.perf_counter()
        difference, writes = look.engine(wanted, _Bar()).converge()
        seconds = time.perf_counter() - started
        if chosen.plan != lab_running.plan:
            store(lab, wanted.keeper, wanted.plan, wanted.layout, wanted.dataplane)
        return _report(app, wanted, len(difference), writes, seconds, no_verify)

    return wanted.inside(work)


def _report(
    app: App, lab: Running, changes: int, writes: int, seconds: float, no_verify: bool
) -> int:
    """Say what was done, verify, and show the result of both."""
    from netlab.probe.result import to_json
    from netlab.report.text import count

    size = f"{count(len(lab.layout.nodes), 'node')}, {count(len(lab.layout.pods), 'pod')}"
    what = count(changes, "change") if changes else "nothing differed"
    app.say(f"{lab.lab.name}: {size}; {what} in {seconds:.3f} s")
    report = None if no_verify else look.run_verify(lab, full=False, sample=None)
    document = {
        "lab": lab.lab.name,
        "topology": lab.plan.topology,
        "changes": changes,
        "writes": writes,
        "seconds": round(seconds, 3),
        "ok": report.ok if report else True,
        "verify": to_json(report) if report else None,
    }
    app.show(document, lambda: look.show_report(report) if report else "")
    return 0 if report is None or report.ok else 1


class _Bar:
    """A progress bar on a terminal, nothing elsewhere. Called with (done, total)."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown = 0

    def __call__(self, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="building", file=sys.stderr)
            self._bar.__enter__()
            self._shown = 0
        self._bar.update(done - self._shown)
        self._shown = done
        if done == total:
            self._bar.__exit__(None, None, None)
            self._bar = None


@click.command()
@common
@click.pass_obj
def status(app: App) -> int:
    """Nodes, pods, services, addresses, containers and health."""
    from netlab.report.tables import status_table

    lab = state.choose(app.lab)
    what = lab.state
    if what != "running":
        with contextlib.suppress(NetlabError, OSError):
            document = _status(stored(lab)) | {"state": what}
            app.show(document, lambda: f"{lab.name}: {what}")
    alive = running(lab.name)  # has the words for one that does not run
    known = _status(alive)

    def work() -> int:
        from netlab.kernel.containers import Containers

        containers = Containers(lab)
        live = {space: containers.running(space) for space in alive.plan.namespaces}
        dead = [
            f"{space.name}/{daemon.name}"
            for space in alive.plan.namespaces.values()
            for daemon in space.daemons
            if daemon not in live[space.name]
        ]
        document = known | {"health": {"ok": not dead, "containers_down": dead}}
        app.show(document, lambda: status_table(document))
        return 1 if dead else 0

    return alive.inside(work)


def _status(lab: Running) -> dict[str, Any]:
    return {
        "lab": lab.lab.name,
        "topology": lab.plan.topology,
        "state": lab.lab.state,
        "nodes": [
            {
                "name": node.name,
                "netns": node.name,
                "underlay_ip": str(node.address),
                "pod_cidr": str(node.pod_cidr),
                "gateway": str(node.gateway),
            }
            for node in lab.layout.nodes
        ],
        "pods": [
            {
                "name": pod.name,
                "node": pod.node,
                "netns": pod.name,
                "ip": str(pod.address),
                "containers": [container.name for container in pod.containers],
            }
            for pod in lab.layout.pods
        ],
        "services": [],
        "dataplane": lab.dataplane.name,
        "proxy": None,
    }


@click.command()
@click.option("--all", "every", is_flag=True, help="All labs of this user.")
@common
@click.pass_obj
def down(app: App, every: bool) -> int:
    """Remove a lab: end its keeper, and the kernel frees everything of it."""
    if not every:
        lab = state.choose(app.lab)
        with lab.locked():
            lab.end()
        return _removed(app, [lab.name], [])
    removed: list[str] = []
    problems: list[NetlabError] = []
    for lab in state.labs():
        try:
            with lab.locked():
                lab.end()
            removed.append(lab.name)
        except NetlabError as problem:
            if lab.exists():  # otherwise another command was quicker
                problems.append(problem)
    return _removed(app, removed + state.end_orphans(), problems)


@click.command()
@common
@click.pass_obj
def gc(app: App) -> int:
    """Remove what is left of labs: folders without a keeper, and keepers without their folder."""
    removed, problems = state.clear_stale()
    return _removed(app, removed + state.end_orphans(), problems, nothing="nothing to remove")


def _removed(app: App, removed: list[str], problems: list[NetlabError], nothing: str = "") -> int:
    """Show which labs were removed, and say why others were not."""
    words = "".join(f"{name}: removed\n" for name in removed) or ("" if problems else nothing)
    app.show({"removed": removed}, lambda: words)
    for problem in problems:
        app.say(f"netlab: {problem}")
    return max((problem.exit_code for problem in problems), default=0)
