"""Commands that make, show and remove labs: up, status, down, gc."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from netlab.cli import look
from netlab.cli.app import App, Meter, common, no_effect, wait_option, without_lab
from netlab.cli.topologies import (
    choose,
    machines_options,
    needed,
    on_machines,
    topology_argument,
    topology_options,
    warn,
)
from netlab.errors import NetlabError

if TYPE_CHECKING:
    from netlab.kernel.lab import LabFolder
    from netlab.running import Lab


@click.command()
@topology_argument(required=False)
@topology_options
@click.option("--no-verify", is_flag=True, help="Do not verify after building.")
@click.option(
    "--rebuild", metavar="NODE", help="Make a node, pod or other target of the running lab anew."
)
@machines_options
@wait_option
@common
@click.pass_obj
def up(
    app: App,
    /,
    no_verify: bool,
    rebuild: str | None,
    inventory: str | None,
    underlay_device: str | None,
    wait: float,
    topology: str | None,
    files: tuple[str, ...],
    force: bool,
    **options: Any,
) -> int:
    """Make the kernel equal to the plan, then verify; run again: repair what differs."""
    from netlab import api
    from netlab.making import room_for
    from netlab.probe.result import to_json

    which = needed(app, topology, files)
    with Meter() as meter:

        def built(lab: Lab) -> None:
            meter.clear()
            app.say(work_done(lab))

        more = {"name": app.lab, "rebuild": rebuild, "wait": wait}
        if on := on_machines(inventory, underlay_device, which, force, options, **more):
            from netlab.hosts import building

            lab: Lab = building.build(on, meter, verify=not no_verify, built=built)
        else:
            lab = api.build(
                choose(which, force=force, fits=room_for(app.lab), **options),
                app.lab,
                meter,
                verify=not no_verify,
                rebuild=rebuild,
                wait=wait,
                built=built,
            )
    for late in lab.late:
        app.say(f"netlab: {late}.")
    report, applied = lab.report, lab.applied
    assert applied is not None
    ok = not lab.late if report is None else report.ok
    document = {
        "lab": lab.name,
        "topology": lab.plan.topology,
        "changes": applied.changes,
        "writes": applied.writes,
        "seconds": round(applied.seconds, 3),
        "ok": ok,
        "warnings": warn(app, lab.layout),
        "verify": None if report is None else to_json(report),
    }
    app.show(document, lambda: "" if report is None else look.show_report(report))
    return 0 if ok else 1


def work_done(lab: Lab) -> str:
    """What making a lab took, in words."""
    from netlab.report.text import count

    applied = lab.applied
    assert applied is not None
    size = f"{count(len(lab.layout.nodes), 'node')}, {count(len(lab.layout.pods), 'pod')}"
    what = count(applied.changes, "change") if applied.changes else "nothing differed"
    return f"{lab.name}: {size}; {what} in {applied.seconds:.3f} s"


@click.command()
@wait_option
@common
@click.pass_obj
def status(app: App, wait: float) -> int:
    """Nodes, pods, services, addresses, containers, daemons and health."""
    from netlab import api
    from netlab.kernel import lab as folders
    from netlab.report.tables import status_table

    folder = folders.choose(app.lab)
    if folder.state != "running" and not wait:
        with contextlib.suppress(NetlabError, OSError):
            stored = api.Lab(folder).status()
            app.show(stored.document, lambda: f"{folder.name}: {stored.state}")
    found = api.lab(folder.name, wait=wait).status(
        wait=wait
    )  # has the words for one that does not run
    document = found.document
    app.show(document, lambda: status_table(document))
    if found.state != "running":
        raise folders.InUse(folder.name)
    return 0 if found.health is None or found.health.ok else 1


@click.command()
@click.option("--all", "every", is_flag=True, help="All labs of this user.")
@wait_option
@common
@click.pass_obj
def down(app: App, every: bool, wait: float) -> int:
    """Remove a lab: end its keeper, and the kernel frees everything of it."""
    from netlab.kernel import lab as folders

    if every and app.lab:
        raise no_effect("-l", "with --all", "leave one of them out")
    if not every:
        folder = folders.choose(app.lab)
        _end(folder, wait)
        return _removed(app, [folder.name], [])
    removed: list[str] = []
    problems: list[NetlabError] = []
    for folder in folders.labs():
        try:
            _end(folder, wait)
            removed.append(folder.name)
        except NetlabError as problem:
            if folder.exists():  # otherwise another command was quicker
                problems.append(problem)
    return _removed(app, removed + folders.end_orphans(), problems)


def _end(folder: LabFolder, wait: float) -> None:
    """Take a lab down, wherever it runs, and however damaged its files are here."""
    if folder.elsewhere:
        from netlab.hosts.lab import SpreadLab

        SpreadLab(folder).down(wait=wait)
        return
    with folder.locked(wait=wait):
        folder.end()


@click.command()
@without_lab
@click.pass_obj
def gc(app: App) -> int:
    """Remove what is left of labs: folders without a keeper, and keepers without their folder."""
    from netlab.kernel import lab as folders

    removed, problems = folders.clear_stale()
    return _removed(app, removed + folders.end_orphans(), problems, nothing="nothing to remove")


def _removed(app: App, removed: list[str], problems: list[NetlabError], nothing: str = "") -> int:
    """Show which labs were removed, and say why others were not."""
    words = "".join(f"{name}: removed\n" for name in removed) or ("" if problems else nothing)
    app.show({"removed": removed}, lambda: words)
    for problem in problems:
        app.say(f"netlab: {problem}")
    return max((problem.exit_code for problem in problems), default=0)
