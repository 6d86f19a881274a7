"""What all commands share: the two common options, output, and errors as one sentence."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from netlab.errors import NetlabError

INTERRUPTED = 130  # as shells report an end by Ctrl-C
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class App:
    """The common options, wherever on the command line they stood."""

    json: bool = False
    lab: str | None = None

    def show(self, document: Any, text: Callable[[], str]) -> None:
        """Print the result: the document with --json, otherwise what `text` makes of it."""
        if self.json:
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
        else:
            output = text()
            sys.stdout.write(output if output.endswith("\n") or not output else output + "\n")
        sys.stdout.flush()

    def say(self, message: str) -> None:
        """Tell what happens, on standard error."""
        click.echo(message, err=True)


def colours() -> bool:
    """Whether standard output may be coloured: a terminal, and $NO_COLOR not set."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _store(field: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value:
            setattr(context.ensure_object(App), field, value)
        return value

    return callback


def _complete_lab(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    from netlab.kernel.lab import labs

    return [lab.name for lab in labs() if lab.name.startswith(incomplete)]


def common(function: F) -> F:
    """Add --json and -l/--lab, which are accepted before and after the command."""
    function = click.option(
        "-l",
        "--lab",
        metavar="NAME",
        help="The lab; may be left out when exactly one runs.",
        expose_value=False,
        callback=_store("lab"),
        shell_complete=_complete_lab,
    )(function)
    return click.option(
        "--json",
        is_flag=True,
        help="Print one JSON document.",
        expose_value=False,
        callback=_store("json"),
    )(function)


def guard(work: Callable[[], int]) -> int:
    """Run a command's work; every error becomes one sentence and its exit code."""
    try:
        return work()
    except NetlabError as error:
        click.echo(f"netlab: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"netlab: {error.format_message()}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("netlab: interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader left; nothing more to say
        return 0
    except Exception as error:
        if "NETLAB_DEBUG" in os.environ:
            traceback.print_exc()
        click.echo(
            f"netlab: unexpected {type(error).__name__}: {error} "
            "(a bug; NETLAB_DEBUG=1 shows where).",
            err=True,
        )
        return 1
