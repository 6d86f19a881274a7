"""Commands that run something inside a lab: exec, shell."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

import click

from netlab.cli.app import App, common
from netlab.cli.running import Running, running
from netlab.errors import BadInput, LabUnavailable, unknown
from netlab.kernel import namespaces
from netlab.kernel import syscalls as sys_
from netlab.kernel.containers import Containers
from netlab.plan.types import Namespace

F = TypeVar("F", bound=Callable[..., Any])


def _complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    names = list(_spaces(context))
    return [name for name in names if name.startswith(incomplete)]


def _complete_container(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    # The command line ends in a -c without its value, so what stood before it was not assigned yet.
    target = context.params.get("target") or next(iter(context.args), None)
    space = _spaces(context).get(target or "")
    names = [daemon.name for daemon in space.daemons] if space else []
    return [name for name in names if name.startswith(incomplete)]


def _spaces(context: click.Context) -> Mapping[str, Namespace]:
    """The namespaces of the lab that a command line to be completed means; a guess may fail."""
    with contextlib.suppress(Exception):
        return running(context.ensure_object(App).lab).plan.namespaces
    return {}


def _container_option(function: F) -> F:
    return click.option(
        "-c",
        "--container",
        metavar="CONTAINER",
        help="Of a pod; default: its first.",
        shell_complete=_complete_container,
    )(function)


@click.command("exec")
@click.argument("target", shell_complete=_complete)
@_container_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@common
@click.pass_obj
def exec_(app: App, target: str, container: str | None, command: tuple[str, ...]) -> int:
    """Run a command inside a pod's container, a node, or another target: exec TARGET -- CMD."""
    lab = running(app.lab)
    space = resolve(lab, target)
    _check_container(lab, space, container)
    return lab.inside(lambda: _execute(app, lab, space, container, command))


@click.command()
@click.argument("target", required=False, shell_complete=_complete)
@_container_option
@common
@click.pass_obj
def shell(app: App, target: str | None, container: str | None) -> int:
    """An interactive shell inside a target, or in the lab's sandbox, where `ip netns` shows all."""
    if app.json:
        raise BadInput("A shell is interactive and has no JSON; use `netlab exec`.")
    lab = running(app.lab)
    space = resolve(lab, target) if target else None
    _check_container(lab, space, container)
    command = (os.environ.get("SHELL") or "/bin/sh",)
    return lab.inside(lambda: _execute(app, lab, space, container, command))


def resolve(lab: Running, target: str) -> str:
    """The namespace of a target: a pod, node, `external`, or an address of one of them."""
    if target in lab.plan.namespaces:
        return target
    for space in lab.plan.namespaces.values():
        if any(address.address.split("/")[0] == target for address in space.addresses):
            return space.name
    raise unknown("target", target, lab.plan.namespaces)


def _check_container(lab: Running, space: str | None, container: str | None) -> None:
    if container is None:
        return
    known = [daemon.name for daemon in lab.plan.namespaces[space].daemons] if space else []
    if container not in known:
        raise unknown(f"container of {space or 'the sandbox'}", container, known)


def _execute(
    app: App, lab: Running, space: str | None, container: str | None, command: tuple[str, ...]
) -> int:
    """Inside the sandbox: run the command in the target and return its exit code."""
    if not shutil.which(command[0]):
        raise BadInput(f"There is no program '{command[0]}' on this machine.")
    process = _container_process(lab, space, container)
    output = None
    if app.json:
        output = os.memfd_create("stdout"), os.memfd_create("stderr")
    pid = os.fork()
    if pid == 0:
        if output:
            os.dup2(output[0], 1)
            os.dup2(output[1], 2)
        _become(space, process, command)
    code = _exit_code(_wait(pid))
    if output:
        texts = [os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace") for fd in output]
        document: dict[str, Any] = {
            "target": space,
            "command": list(command),
            "exit_code": code,
            "stdout": texts[0],
            "stderr": texts[1],
        }
        app.show(document, str)
    return code


def _wait(pid: int) -> int:
    """Wait for a child while the terminal's Ctrl-C is the child's to handle."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return os.waitpid(pid, 0)[1]
    finally:
        signal.signal(signal.SIGINT, before)


def _exit_code(status: int) -> int:
    """The exit code of a wait status; for a signal as a shell reports it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _container_process(lab: Running, space: str | None, container: str | None) -> int | None:
    """The process whose namespaces are to be entered; None for a target without containers."""
    if space is None:
        return None
    daemons = lab.plan.namespaces[space].daemons
    if not daemons:
        return None
    name = container or daemons[0].name
    pid = Containers(lab.lab).pid(space, name)
    if pid is None:
        raise LabUnavailable(
            f"The container {name} of {space} is not running; `netlab up` starts it again."
        )
    return pid


def _become(space: str | None, process: int | None, command: tuple[str, ...]) -> NoReturn:
    """In a forked process: enter the target and be the command."""
    try:
        if process is not None:
            _enter_container(process)
        elif space is not None:
            _enter_namespace(space)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"netlab: cannot run {command[0]}: {error.strerror}.", file=sys.stderr, flush=True)
    finally:
        os._exit(126)


def _enter_container(process: int) -> None:
    flags = sys_.CLONE_NEWNS | sys_.CLONE_NEWNET | sys_.CLONE_NEWPID | sys_.CLONE_NEWUTS
    sys_.setns(os.pidfd_open(process), flags)
    os.chdir("/")
    # Only a child is in the PID namespace just entered.
    pid = os.fork()
    if pid:
        os._exit(_exit_code(_wait(pid)))


def _enter_namespace(space: str) -> None:
    """As `ip netns exec`: a /sys that shows the namespace's devices, and the target's name."""
    fd = namespaces.open_namespace(space)
    sys_.setns(fd, sys_.CLONE_NEWNET)
    sys_.unshare(sys_.CLONE_NEWNS | sys_.CLONE_NEWUTS)
    sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
    sys_.set_hostname(space)
    with contextlib.suppress(OSError):
        sys_.mount("sysfs", "/sys", "sysfs")
