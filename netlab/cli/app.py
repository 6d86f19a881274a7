"""What all commands share: the two common options, output, and errors as one sentence."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from netlab.errors import BadInput, NetlabError, sentence
from netlab.kernel import limits

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
        _tell(message)


class Meter:
    """What is going on, on a terminal: a bar where it is known how much there is, else words.

    Elsewhere it shows nothing. To be used as a `progress` of `netlab.api`.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._shown = 0
        self._words = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()

    def __call__(self, words: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        if not total:
            _print_over(words)
            self._words = True
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=words, file=sys.stderr)
            self._bar.__enter__()
            self._shown = 0
        self._bar.update(done - self._shown)
        self._shown = done
        if done == total:
            self.clear()

    def clear(self) -> None:
        """End the bar, and take the words away: something else is to be printed."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
        if self._words:
            _print_over("")
            self._words = False


def _print_over(words: str) -> None:
    """Print words in a line that the next ones overwrite."""
    with contextlib.suppress(OSError):
        click.echo(f"\r\x1b[K{words}", nl=False, err=True)


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the caller left of them.

    The number of a closed one would go to the next file that is opened, and what is meant for the
    stream would go there. A character that the output's encoding lacks must not end a command.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stderr = sys.stderr or os.fdopen(2, "w", errors="backslashreplace")
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "w", closefd=False)),
        encoding=sys.stdout.encoding if sys.stdout else None,
        errors="backslashreplace",
        line_buffering=os.isatty(1),
    )


class _OutputLost(NetlabError):
    """Standard output cannot be written."""


class _Output(io.FileIO):
    """Standard output whose errors are told from those of a command's other files."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except (BrokenPipeError, BlockingIOError):
            raise
        except OSError as error:
            problem = error.strerror or error
            raise _OutputLost(f"Standard output cannot be written ({problem}).") from None


def colours() -> bool:
    """Whether standard output may be coloured: a terminal that can, and $NO_COLOR empty."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _store(field: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value == "":
            raise BadInput("The lab name after -l is empty.")
        if value:
            setattr(context.ensure_object(App), field, value)
        return value

    return callback


def _complete_lab(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    from netlab.api import labs

    with contextlib.suppress(NetlabError):
        return [name for name in labs() if name.startswith(incomplete)]
    return []


def common(function: F, *, lab: bool = True) -> F:
    """Add --json and -l/--lab, which are accepted before and after the command.

    Of a command that is not about one `lab`, the latter is not shown.
    """
    function = click.option(
        "-l",
        "--lab",
        metavar="NAME",
        help="The lab; may be left out when exactly one runs.",
        expose_value=False,
        callback=_store("lab"),
        shell_complete=_complete_lab if lab else None,
        hidden=not lab,
    )(function)
    return click.option(
        "--json",
        is_flag=True,
        help="Print one JSON document.",
        expose_value=False,
        callback=_store("json"),
    )(function)


def without_lab(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `common`, for a command that is not about one lab: it refuses -l."""

    @functools.wraps(function)
    def refusing(*arguments: Any, **options: Any) -> Any:
        if click.get_current_context().ensure_object(App).lab:
            raise no_effect("-l")
        return function(*arguments, **options)

    return common(refusing, lab=False)


def wait_option(function: F) -> F:
    """Add --wait, for a command that another one can be in the way of."""
    return click.option(
        "--wait",
        type=click.FloatRange(0),
        default=0,
        show_default="not at all",
        metavar="SECONDS",
        help="So long, for another command that is at work on the lab.",
    )(function)


def no_effect(option: str, why: str = "", remedy: str = "") -> BadInput:
    """The error for an option that would change nothing: it is refused, not passed over."""
    command = click.get_current_context().command_path
    words = " ".join(filter(None, (f"The option {option} has no effect on `{command}`", why)))
    return BadInput(words + ("" if remedy else "."), remedy)


def guard(work: Callable[[], int]) -> int:
    """Run a command's work; every error becomes one sentence and its exit code."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except NetlabError as error:
        if isinstance(error, _OutputLost):
            _discard(1)
        _tell(f"netlab: {error}")
        return error.exit_code
    except click.ClickException as error:
        _tell(f"netlab: {sentence(error.format_message())}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _tell("netlab: interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        _discard(1)  # the reader left; nothing more to say
        return 0
    except Exception as error:
        if "NETLAB_DEBUG" in os.environ:
            traceback.print_exc()
        if limit := limits.reached(error):
            _tell(f"netlab: {limit}")
            return limit.exit_code
        _tell(
            f"netlab: unexpected {type(error).__name__}: {sentence(str(error))} "
            "(a bug; NETLAB_DEBUG=1 shows where)."
        )
        return 1


def _tell(message: str) -> None:
    """Print on standard error; where that fails there is nobody to tell, and work goes on."""
    try:
        click.echo(message, err=True)
    except OSError:
        _discard(2)


def _discard(fd: int) -> None:
    """Let what a standard stream still holds, and will get, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
