"""Commands that need no lab and no root: list, plan, addresses, ipcalc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netlab.cli.app import App, common
from netlab.errors import BadInput, shown

if TYPE_CHECKING:
    from netlab.state import Design

F = TypeVar("F", bound=Callable[..., Any])


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from netlab.topology.loader import available

    return [name for name in available() if name.startswith(incomplete)]


def topology_argument(*, required: bool = True) -> Callable[[F], F]:
    return click.argument("topology", required=required, shell_complete=_complete)


def topology_options(function: F) -> F:
    """The options that shape a topology."""
    for option in (
        click.option(
            "--force",
            is_flag=True,
            help="Build what the dataplane refuses, or whose CIDRs overlap.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of the topology, of any cluster, or dataplane.OPTION; repeatable.",
        ),
        click.option("--pods-per-node", type=click.IntRange(0), metavar="N", help="Of each node."),
        click.option("--nodes", type=click.IntRange(1), metavar="N", help="How many nodes."),
    ):
        function = option(function)
    return function


def choose(
    topology: str,
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: tuple[str, ...] = (),
    force: bool = False,
) -> Design:
    """Load, lay out and compile a topology. Raises BadInput."""
    from netlab.designing import design

    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise BadInput(f"--set takes KEY=VALUE, not {shown(setting)}.")
        options[key] = value
    counts = {"nodes": nodes, "pods_per_node": pods_per_node}
    options |= {key: count for key, count in counts.items() if count is not None}
    return design(topology, options, force=force)


@click.command("list")
@common
@click.pass_obj
def list_(app: App) -> None:
    """The topologies that can be named."""
    from netlab.report.text import table
    from netlab.topology.loader import available, summary

    rows = [(name, summary(path), str(path)) for name, path in available().items()]
    document = [{"name": n, "summary": s, "path": p} for n, s, p in rows]
    app.show(document, lambda: table(("TOPOLOGY", "WHAT IT IS"), [row[:2] for row in rows]))


@click.command()
@topology_argument()
@topology_options
@click.option("--sh", is_flag=True, help="A stand-alone script that builds the same lab.")
@common
@click.pass_obj
def plan(app: App, /, sh: bool, **options: Any) -> None:
    """What would be made, without root."""
    from netlab.kernel.processes.containers import server_source
    from netlab.plan.document import plan_document
    from netlab.plan.shell import render
    from netlab.report.tables import plan_table

    if sh and app.json:
        raise BadInput("--sh and --json exclude each other; the script is not a JSON document.")
    chosen = choose(**options)
    if sh:
        click.echo(render(chosen.plan, server_source()), nl=False)
        return
    app.show(plan_document(chosen.plan), lambda: plan_table(chosen.plan))


@click.command()
@topology_argument(required=False)
@topology_options
@common
@click.pass_obj
def addresses(app: App, /, topology: str | None, **options: Any) -> None:
    """A cluster's address plan and capacities: of a topology, or of the running lab."""
    from netlab.report.tables import addresses_table
    from netlab.topology.addresses import address_plan

    if topology:
        layout = choose(topology, **options).layout
    else:
        from netlab.api import lab

        layout = lab(app.lab).layout
    document = asdict(address_plan(layout))
    app.show(document, lambda: addresses_table(document))


@click.command()
@click.argument("address", metavar="ADDRESS/LEN")
@common
@click.pass_obj
def ipcalc(app: App, address: str) -> None:
    """The CIDR arithmetic of one address, with the binary split."""
    from netlab.report.tables import ipcalc_table
    from netlab.topology.ipcalc import calculate

    calculation = calculate(address)
    app.show(asdict(calculation), lambda: ipcalc_table(calculation))
