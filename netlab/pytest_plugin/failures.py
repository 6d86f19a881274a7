"""What is said of a test that fails, and done for who looks into it."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_VALUES = "@py_assert"  # how pytest calls the values of an assertion that it rewrote


@contextlib.contextmanager
def told(item: pytest.Item) -> Iterator[None]:
    """An assertion that fails tells more of netlab's values; an error of netlab's has no traceback
    of its own."""
    try:
        yield
    except AssertionError as error:
        if lines := _explained(error):
            first = str(error.args[0]) if error.args else ""
            error.args = ("\n".join([first, *lines]), *error.args[1:])
        raise
    except Exception as error:
        if (errors := sys.modules.get("netlab.errors")) and isinstance(error, errors.NetlabError):
            _cut(error.__traceback__, str(item.path))
        raise


@contextlib.contextmanager
def lacking(config: pytest.Config) -> Iterator[None]:
    """What this host lacks skips the test, or fails it."""
    from netlab.pytest_plugin.stock import Lacking

    __tracebackhide__ = True
    try:
        yield
    except Lacking as error:
        if not config.getoption("--netlab-strict"):
            raise pytest.skip.Exception(str(error)) from None
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@contextlib.contextmanager
def in_a_sentence() -> Iterator[None]:
    """An error of netlab's is no more than its sentence."""
    from netlab.errors import NetlabError

    try:
        yield
    except NetlabError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def attend(item: pytest.Item, report: pytest.TestReport) -> None:
    """Keep what the options say of the labs of a test that failed."""
    if "netlab.pytest_plugin.stock" not in sys.modules:
        return
    from netlab.pytest_plugin.stock import HELD

    held = item.stash.get(HELD, [])
    lines = []
    if held and (folder := item.config.getoption("--netlab-artifacts")):
        from netlab.pytest_plugin.artifacts import collect

        lines += collect(item, held, folder)
    if item.config.getoption("--netlab-keep"):
        for one in held:
            one.stay()
            lines += _how_to_enter(one.lab.name)
        held.clear()
    if lines:
        report.sections.append(("netlab", "\n".join(lines)))


def _how_to_enter(name: str) -> list[str]:
    state = os.environ.get("NETLAB_STATE")
    before = f"NETLAB_STATE={shlex.quote(str(Path(state).absolute()))} " if state else ""
    return [
        f"The lab {name} stays; enter it with:   {before}netlab shell -l {name}",
        f"and take it down with:   {before}netlab down -l {name}",
    ]


def _explained(error: AssertionError) -> list[str]:
    """What netlab's values in the assertion have to say."""
    if "netlab.running" not in sys.modules:
        return []
    from netlab.pytest_plugin.explaining import explained

    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last is None:
        return []
    values = [value for name, value in last.tb_frame.f_locals.items() if name.startswith(_VALUES)]
    return explained(values)


def _cut(trace: TracebackType | None, file: str) -> None:
    """End a traceback where the test's file called netlab."""
    inside = None
    while trace:
        path = trace.tb_frame.f_code.co_filename
        if path == file:
            inside = trace
        elif inside and path.startswith(_PACKAGE):
            inside.tb_next = None
            return
        trace = trace.tb_next
