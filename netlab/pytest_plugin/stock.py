"""The labs of one scope: made when a test wants them, put back, and taken down at the end."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pytest

from netlab.errors import NetlabError, Unmet
from netlab.kernel import capabilities, room
from netlab.kernel import lab as folders
from netlab.kernel.processes import preflight
from netlab.making import Tied, put_back, tied
from netlab.plan.types import Plan
from netlab.pytest_plugin.marks import Wanted
from netlab.running import Lab

if TYPE_CHECKING:
    from netlab.captures import Capture

RING = 8 << 20  # bytes of a lab's newest packets that are held for when a test fails
_numbers = itertools.count(1)
_present: set[str] = set()  # features that this host has


class Lacking(Exception):
    """This host lacks what a lab takes; the message says what, and the remedy."""


class Held:
    """A lab in a stock, with the capture of it where there is one."""

    def __init__(self, stock: Stock, wanted: Wanted, made: Tied) -> None:
        self.stock = stock
        self.wanted = wanted
        self.tied = made
        self.lab = made.lab
        self.capture: Capture | None = None

    def record(self) -> None:
        """From now on hold the packets that pass, and none from before."""
        if self.capture:
            self.capture.clear()
        else:
            self.capture = self.lab.capture(ring=RING).__enter__()

    def stay(self) -> None:
        """Leave the lab running, for nobody else in this process to have."""
        self.stock.labs.remove(self)
        self._stop_recording()
        self.tied.stay()

    def end(self) -> None:
        self._stop_recording()
        self.tied.end()

    def _stop_recording(self) -> None:
        if self.capture:
            with contextlib.suppress(NetlabError):  # it ends with a lab that somebody took down
                self.capture.__exit__(None, None, None)
            self.capture = None


HELD = pytest.StashKey[list[Held]]()


class Stock:
    """Labs that end with it, those made last first."""

    def __init__(self) -> None:
        self.labs: list[Held] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            for held in self.labs:
                stack.callback(held.end)
        self.labs.clear()

    def make(self, wanted: Wanted) -> Held:
        """A new lab. Raises Lacking and NetlabError."""
        _begin()
        design = wanted.design()
        _require(design.plan)
        name = f"pytest-{os.getpid()}-{next(_numbers)}"
        held = Held(self, wanted, tied(design, name))
        self.labs.append(held)
        return held

    def same(self, wanted: Wanted) -> Held:
        """One like it that is there, as it was made; or a new one. Raises as `make`."""
        for held in self.labs:
            if held.wanted.like(wanted):
                try:
                    held.lab = put_back(held.lab, wanted.design())
                    return held
                except NetlabError:  # the test before took it down, or broke it beyond repair
                    self.labs.remove(held)
                    held.end()
                    break
        return self.make(wanted)


def handed_out(item: pytest.Item, stock: Stock, wanted: Wanted, *, again: bool) -> Lab:
    """A lab for a test, which is remembered as one of its. Raises Lacking and NetlabError."""
    held = stock.same(wanted) if again else stock.make(wanted)
    item.stash.setdefault(HELD, []).append(held)
    if item.config.getoption("--netlab-artifacts"):
        held.record()
    return held.lab


@functools.cache
def _begin() -> None:
    """Remove what killed runs left, and load once what is done in forks of this process."""
    import pyroute2.netlink.nfnetlink.ipset  # noqa: F401

    import netlab.kernel.apply
    import netlab.probe.engines.follow  # noqa: F401

    folders.clear_stale()


def _require(plan: Plan) -> None:
    """Raise Lacking for what this host has not."""
    needs = {capabilities.SANDBOX, *plan.requires} - _present
    lacking = capabilities.missing(sorted(needs))
    if remedy := lacking.get(capabilities.SANDBOX):  # without it nothing else can be tried
        raise Lacking(f"needs root or user namespaces: {remedy}")
    for name, remedy in lacking.items():
        raise Lacking(f"needs {name}: {remedy}")
    _present.update(needs)
    try:
        preflight(plan)
    except Unmet as error:
        raise Lacking(f"needs what this host has not: {error}") from None
    room.refuse_too_large(plan)
