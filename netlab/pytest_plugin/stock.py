"""The labs of one scope: made when a test wants them, put back, and taken down at the end."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import pytest

from netlab.errors import LabUnavailable, Unmet
from netlab.kernel import capabilities, room
from netlab.kernel import lab as folders
from netlab.kernel.processes import preflight
from netlab.making import Tied, put_back, tied
from netlab.plan.types import Plan
from netlab.pytest_plugin.marks import Wanted
from netlab.running import Lab

_numbers = itertools.count(1)
_present: set[str] = set()  # features that this host has


class Lacking(Exception):
    """This host lacks what a lab takes; the message says what, and the remedy."""


@dataclass(frozen=True)
class Held:
    """A lab in a stock."""

    wanted: Wanted
    tied: Tied
    stock: Stock

    @property
    def lab(self) -> Lab:
        return self.tied.lab

    def stay(self) -> None:
        """Leave it running, and let nobody else have it."""
        self.stock.labs.remove(self)
        self.tied.stay()


HELD = pytest.StashKey[list[Held]]()


class Stock:
    """Labs that end with it, in the order in which they were made."""

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
                stack.callback(held.tied.end)
        self.labs.clear()

    def make(self, wanted: Wanted) -> Held:
        """A new lab. Raises Lacking and NetlabError."""
        design = wanted.design()
        _require(design.plan)
        name = f"pytest-{os.getpid()}-{next(_numbers)}"
        held = Held(wanted, tied(design, name), self)
        self.labs.append(held)
        return held

    def same(self, wanted: Wanted) -> Held:
        """One like it that is there, as it was made; or a new one. Raises as `make`."""
        for number, held in enumerate(self.labs):
            if held.wanted.like(wanted):
                try:
                    lab = put_back(held.lab, wanted.design())
                except LabUnavailable:  # the test before took it down, or killed it
                    self.labs.remove(held)
                    held.tied.end()
                    break
                self.labs[number] = replace(held, tied=replace(held.tied, lab=lab))
                return self.labs[number]
        return self.make(wanted)


def handed_out(item: pytest.Item, stock: Stock, wanted: Wanted, *, again: bool) -> Lab:
    """A lab for a test, which is remembered as one of its. Raises Lacking and NetlabError."""
    if not _present:
        folders.clear_stale()
    held = stock.same(wanted) if again else stock.make(wanted)
    item.stash.setdefault(HELD, []).append(held)
    return held.lab


def _require(plan: Plan) -> None:
    """Raise Lacking for what this host has not."""
    needs = {capabilities.SANDBOX, *plan.requires} - _present
    for name, remedy in capabilities.missing(sorted(needs)).items():
        what = "root or user namespaces" if name == capabilities.SANDBOX else name
        raise Lacking(f"needs {what}: {remedy}")
    _present.update(needs)
    try:
        preflight(plan)
    except Unmet as error:
        raise Lacking(f"needs what this host lacks: {error}") from None
    room.refuse_too_large(plan)
