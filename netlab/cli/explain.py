"""The command that tells who writes what is in a lab: explain."""

from __future__ import annotations

import contextlib
import shutil

import click

from netlab.cli.app import App, common, wait_option


def _complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Namespaces, and the devices, tables and daemons in them; a guess may fail."""
    from netlab.api import lab

    names: set[str] = set()
    with contextlib.suppress(Exception):
        for space in lab(context.ensure_object(App).lab).plan.namespaces.values():
            names |= {space.name, *(one.name for one in (*space.links, *space.daemons))}
    return sorted(name for name in names if name.startswith(incomplete))


# What looks like an option and is none is an object: a rule begins with `-s`.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[OBJECT]", nargs=-1, shell_complete=_complete)
@wait_option
@common
@click.pass_obj
def explain(app: App, words: tuple[str, ...], wait: float) -> None:
    """Which part of the real system writes what is in a lab, and why.

    OBJECT is a device, an address, a route, a setting, a chain, a rule, a daemon, a node or a pod,
    by its name or as `ip` prints it; NODE/OBJECT is that of one node. Without it: everything.
    """
    from netlab import api
    from netlab.loading import guarded
    from netlab.plan.choosing import choose
    from netlab.plan.document import explain_document
    from netlab.plan.explaining import explain
    from netlab.report.explanations import explanations

    lab = api.lab(app.lab, wait=wait)
    found = lab.diff(wait=wait)
    dataplane, proxy = lab.dataplane, lab.design.proxy
    everything = guarded(
        dataplane, proxy, lambda: explain(lab.layout, dataplane, lab.plan, found, proxy)
    )
    chosen = choose(everything, " ".join(words), lab.layout) if words else everything
    app.show(
        explain_document(lab.name, dataplane.name, chosen),
        lambda: explanations(chosen, width=shutil.get_terminal_size().columns, whole=not words),
    )
