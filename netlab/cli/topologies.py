"""Commands that need no lab and no root: list, plan, addresses, ipcalc."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from netlab.cli.app import App, common
from netlab.errors import BadInput
from netlab.plan.dataplane import Dataplane
from netlab.plan.types import Plan
from netlab.topology.layout import Layout

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Chosen:
    """A topology as the user asked for it, laid out and compiled."""

    name: str
    layout: Layout
    dataplane: Dataplane
    plan: Plan


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from netlab.topology.loader import available

    return [name for name in available() if name.startswith(incomplete)]


def topology_argument(*, required: bool = True) -> Callable[[F], F]:
    return click.argument("topology", required=required, shell_complete=_complete)


def topology_options(function: F) -> F:
    """The options that shape a topology."""
    for option in (
        click.option("--force", is_flag=True, help="Build what the dataplane refuses."),
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
) -> Chosen:
    """Load, lay out and compile a topology. Raises BadInput."""
    from netlab.dataplane import load_topology
    from netlab.plan.compile import compile_plan
    from netlab.topology.layout import lay_out

    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise BadInput(f"--set takes KEY=VALUE, not '{setting}'.")
        pairs[key] = value
    loaded = load_topology(topology, nodes=nodes, pods_per_node=pods_per_node, settings=pairs)
    layout = lay_out(loaded.cluster)
    plan = compile_plan(loaded.name, layout, loaded.dataplane, force=force)
    return Chosen(loaded.name, layout, loaded.dataplane, plan)


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
    from netlab.plan.jsonify import plan_to_json
    from netlab.plan.shell import render
    from netlab.report.tables import plan_table

    if sh and app.json:
        raise BadInput("--sh and --json exclude each other; the script is not a JSON document.")
    chosen = choose(**options)
    if sh:
        source = Path(__file__).parent.parent / "kernel" / "server.py"
        click.echo(render(chosen.plan, source.read_text(encoding="utf-8")), nl=False)
        return
    app.show(plan_to_json(chosen.plan), lambda: plan_table(chosen.plan))


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
        from netlab.cli.running import running

        layout = running(app.lab).layout
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
