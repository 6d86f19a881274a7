"""Commands that need no lab and no root: list, plan, addresses, ipcalc."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from netlab.cli.app import App, Meter, common, no_effect, without_lab
from netlab.errors import BadInput, shown

if TYPE_CHECKING:
    from netlab.designing import Fits, Topology
    from netlab.hosts.building import Wanted
    from netlab.state import Design
    from netlab.topology.resolved import Layout

F = TypeVar("F", bound=Callable[..., Any])


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from netlab.topology.loader import available

    return [name for name in available() if name.startswith(incomplete)]


def topology_argument(*, required: bool = True) -> Callable[[F], F]:
    return click.argument("topology", required=required, shell_complete=_complete)


def topology_options(function: F) -> F:
    """The options that shape a topology, or say where it is read from."""
    for option in (
        click.option(
            "--from",
            "files",
            multiple=True,
            metavar="FILE",
            help="A cluster that is there, as kubectl printed it (- for standard input); "
            "repeatable.",
        ),
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


def machines_options(function: F) -> F:
    """The options that name machines for a lab."""
    function = click.option(
        "--underlay-device", metavar="NAME", help="The machines' interface that joins the nodes."
    )(function)
    return click.option(
        "--inventory",
        metavar="FILE|vagrant",
        help="On the machines of an Ansible inventory, or of the Vagrantfile here.",
    )(function)


def on_machines(
    inventory: str | None,
    underlay_device: str | None,
    topology: Topology,
    force: bool,
    shaped: dict[str, Any],
    **more: Any,
) -> Wanted | None:
    """What is to be built on machines; None where it is for this one. Raises BadInput.

    `shaped` are the other options that shape the topology, `more` what else is known of the lab.
    """
    if inventory is None:
        if underlay_device is not None:
            raise no_effect("--underlay-device", "without --inventory", "leave it out")
        return None
    from netlab.hosts.building import Wanted

    return Wanted(topology, shaping(**shaped), inventory, underlay_device, force, **more)


def named(app: App, topology: str | None, files: tuple[str, ...]) -> Topology | None:
    """The topology that a command is about: named, or read from files; what is assumed is said.

    Raises BadInput where both are given.
    """
    if not files:
        return topology
    if topology:
        raise no_effect("--from", "with a topology", "leave one of them out")
    from netlab.topology import kubectl

    found = kubectl.read(files)
    for note in found.notes:
        app.say(f"netlab: {note}")
    return found


def needed(app: App, topology: str | None, files: tuple[str, ...]) -> Topology:
    """As `named`, for a command that is always about one. Raises BadInput where there is none."""
    found = named(app, topology, files)
    if found is None:
        raise BadInput("There is no topology", "name one, or give --from FILE")
    return found


def choose(
    topology: Topology,
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: tuple[str, ...] = (),
    force: bool = False,
    fits: Fits | None = None,
) -> Design:
    """Load, lay out and compile a topology. Raises BadInput, and what `fits` raises."""
    from netlab.making import design_here

    return design_here(topology, shaping(nodes, pods_per_node, settings), force=force, fits=fits)


def shaping(
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The options that shape a topology, by their names. Raises BadInput."""
    options: dict[str, Any] = {}
    for key, count in (("nodes", nodes), ("pods_per_node", pods_per_node)):
        if count is not None:
            options[key] = count
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise BadInput(f"--set takes KEY=VALUE, not {shown(setting)}.")
        if key in options:
            raise BadInput(f"The option {shown(key)} is given twice", "give it once")
        options[key] = value
    return options


def warn(app: App, layout: Layout) -> list[str]:
    """Tell on standard error what is odd about a cluster's Services; returns the sentences."""
    from netlab.topology.services import warnings

    sentences = list(warnings(layout))
    for words in sentences:
        app.say(f"netlab: {words}")
    return sentences


@click.command("list")
@without_lab
@click.pass_obj
def list_(app: App) -> None:
    """The topologies that can be named."""
    from netlab.report.text import table
    from netlab.topology.loader import available, summary

    rows = [(name, summary(path), str(path)) for name, path in available().items()]
    document = [{"name": n, "summary": s, "path": p} for n, s, p in rows]
    app.show(document, lambda: table(("TOPOLOGY", "WHAT IT IS"), [row[:2] for row in rows]))


@click.command()
@topology_argument(required=False)
@topology_options
@click.option("--sh", is_flag=True, help="A stand-alone script that builds the same lab.")
@machines_options
@without_lab
@click.pass_obj
def plan(
    app: App,
    /,
    sh: bool,
    inventory: str | None,
    underlay_device: str | None,
    topology: str | None,
    files: tuple[str, ...],
    force: bool,
    **options: Any,
) -> None:
    """What would be made, without root."""
    from netlab.kernel.processes.containers import server_source
    from netlab.plan.document import plan_document
    from netlab.plan.shell import render
    from netlab.report.tables import plan_table

    if sh and app.json:
        raise BadInput("--sh and --json exclude each other; the script is not a JSON document.")
    if sh and inventory is not None:
        raise no_effect("--sh", "with --inventory: no one script builds on several machines")
    which = needed(app, topology, files)
    if wanted := on_machines(inventory, underlay_device, which, force, options):
        from netlab.hosts import building

        with Meter() as meter:
            whole, spread = building.plan(wanted, meter)
        document = {**plan_document(whole.plan, spread), "warnings": warn(app, whole.layout)}
        app.show(document, lambda: plan_table(whole.plan, spread))
        return
    chosen = choose(which, force=force, **options)
    warnings = warn(app, chosen.layout)
    if sh:
        click.echo(render(chosen.plan, server_source()), nl=False)
        return
    document = {**plan_document(chosen.plan), "warnings": warnings}
    app.show(document, lambda: plan_table(chosen.plan))


@click.command()
@topology_argument(required=False)
@topology_options
@click.option("--explain", is_flag=True, help="Also the arithmetic, in binary.")
@common
@click.pass_obj
def addresses(
    app: App,
    /,
    topology: str | None,
    files: tuple[str, ...],
    *,
    explain: bool,
    **options: Any,
) -> None:
    """A cluster's address plan and capacities: of a topology, or of the running lab."""
    from netlab.report.figures import addresses_table
    from netlab.topology import explained
    from netlab.topology.addresses import address_plan

    wanted = chosen_or_running(app, topology, files, options)
    document = asdict(address_plan(wanted.layout))
    for entry, node in zip(document["nodes"], wanted.layout.nodes, strict=True):
        if annotations := wanted.dataplane.annotations(wanted.layout, node):
            entry["annotations"] = annotations
    if explain:
        document["explained"] = [asdict(step) for step in explained.explain(wanted.layout)]
    app.show(document, lambda: addresses_table(document))


@click.command()
@topology_argument(required=False)
@topology_options
@common
@click.pass_obj
def export(app: App, /, topology: str | None, files: tuple[str, ...], **options: Any) -> None:
    """A cluster as kubectl would print it, in YAML: of a topology, or of the running lab.

    `--from` reads it back. What has no place in Kubernetes' objects is said on standard error.
    """
    from netlab.report.export import exported
    from netlab.topology.kubectl.export import to_yaml

    wanted = chosen_or_running(app, topology, files, options)
    document, left_out = exported(wanted.layout, wanted.dataplane, wanted.proxy)
    for one in left_out:
        app.say(f"netlab: {one}")
    app.show(document, lambda: to_yaml(document))


def chosen_or_running(
    app: App, topology: str | None, files: tuple[str, ...], options: dict[str, Any]
) -> Design:
    """The design of a topology, or else of the running lab, which no option shapes."""
    if which := named(app, topology, files):
        if app.lab:
            raise no_effect("-l", "with a topology", "leave one of them out")
        return choose(which, **options)
    from netlab.api import lab

    _refuse_shaping(options)
    return lab(app.lab).design


def _refuse_shaping(options: Collection[str]) -> None:
    """What shapes a topology has no effect on a lab that runs. `options` are the names of those."""
    context = click.get_current_context()
    for option in context.command.params:
        given = option.name in options and context.get_parameter_source(option.name)
        if given is ParameterSource.COMMANDLINE:
            raise no_effect(option.opts[-1], "without a topology", "name one")


@click.command()
@click.argument("address", metavar="ADDRESS/LEN")
@click.argument("mask", metavar="[MASK]", required=False)
@click.option("--split", metavar="/LEN", help="Also its subnets of that length.")
@click.option("--contains", metavar="ADDRESS", help="Also whether that is inside; a network too.")
@without_lab
@click.pass_obj
def ipcalc(
    app: App, address: str, mask: str | None, split: str | None, contains: str | None
) -> int:
    """The CIDR arithmetic of one address, with the binary split.

    Of IPv4 and IPv6; the mask is a length, a netmask or a wildcard, after a slash or as a second
    word. With --contains the exit code is 1 where the address is not inside.
    """
    from netlab.report.figures import ipcalc_table
    from netlab.topology import ipcalc

    given = address if mask is None else f"{address} {mask}"
    document = asdict(ipcalc.calculate(given))
    if split is not None:
        document["subnets"] = [asdict(one) for one in ipcalc.subnets(given, split)]
    inside = True
    if contains is not None:
        inside = ipcalc.contains(given, contains)
        document["contains"] = {"address": contains, "inside": inside}
    app.show(document, lambda: ipcalc_table(document))
    return 0 if inside else 1
