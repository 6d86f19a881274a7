"""Commands that run something inside a lab, or show what ran there: exec, shell, logs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netlab.cli.app import App, common
from netlab.errors import BadInput, unknown

if TYPE_CHECKING:
    from netlab.plan.types import Namespace

F = TypeVar("F", bound=Callable[..., Any])


def complete_target(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    names = list(_spaces(context))
    return [name for name in names if name.startswith(incomplete)]


def _complete_process(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    # The command line ends in a -c without its value, so what stood before it was not assigned yet.
    target = context.params.get("target") or next(iter(context.args), None)
    space = _spaces(context).get(target or "")
    if space is None:
        return []
    processes = space.containers if parameter.name == "container" else space.daemons
    return [one.name for one in processes if one.name.startswith(incomplete)]


def _spaces(context: click.Context) -> Mapping[str, Namespace]:
    """The namespaces of the lab that a command line to be completed means; a guess may fail."""
    from netlab.api import lab

    with contextlib.suppress(Exception):
        return lab(context.ensure_object(App).lab).plan.namespaces
    return {}


def _container_option(function: F) -> F:
    return click.option(
        "-c",
        "--container",
        metavar="CONTAINER",
        help="Of a pod; default: its first.",
        shell_complete=_complete_process,
    )(function)


@click.command("exec")
@click.argument("target", shell_complete=complete_target)
@_container_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@common
@click.pass_obj
def exec_(app: App, target: str, container: str | None, command: tuple[str, ...]) -> int:
    """Run a command inside a pod's container, a node, or another target: exec TARGET -- CMD."""
    from netlab.api import lab

    chosen = lab(app.lab).target(target)
    if not app.json:
        return chosen.attach(*command, container=container)
    done = chosen.run(*command, container=container, stdin=None)
    document: dict[str, Any] = {
        "target": chosen.name,
        "command": list(command),
        "exit_code": done.code,
        "stdout": done.stdout,
        "stderr": done.stderr,
    }
    app.show(document, str)
    return done.code


@click.command()
@click.argument("target", required=False, shell_complete=complete_target)
@_container_option
@common
@click.pass_obj
def shell(app: App, target: str | None, container: str | None) -> int:
    """An interactive shell inside a target, or in the lab's sandbox, where `ip netns` shows all."""
    from netlab.api import lab

    if app.json:
        raise BadInput("A shell is interactive and has no JSON", "use `netlab exec`")
    chosen = lab(app.lab)
    program = os.environ.get("SHELL") or "/bin/sh"
    if target:
        return chosen.target(target).attach(program, container=container)
    if container:
        raise unknown("container of the sandbox", container, [])
    return chosen.attach(program)


@click.command()
@click.argument("target", metavar="NODE", shell_complete=complete_target)
@click.argument("process", metavar="[DAEMON]", required=False, shell_complete=_complete_process)
@common
@click.pass_obj
def logs(app: App, target: str, process: str | None) -> None:
    """What a node's daemon printed; or a pod's container that runs a command of its own."""
    from netlab.api import lab

    text = lab(app.lab).target(target).logs(process)
    app.show({"target": target, "process": process, "log": text}, lambda: text)
