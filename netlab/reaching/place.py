"""What is needed of a lab, and of a place in it, to ask whom it reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from netlab.plan.diff import Diff
from netlab.plan.types import Plan
from netlab.topology.resolved import Layout

T = TypeVar("T")


class AnyLab(Protocol):
    """A running lab."""

    @property
    def plan(self) -> Plan: ...

    @property
    def layout(self) -> Layout: ...

    def diff(self) -> Diff:
        """Its kernel against its plan."""

    def target(self, name: str) -> Place:
        """A place by its name."""

    def run_inside(self, work: Callable[[], T]) -> T:
        """Do work in the lab's sandbox."""


def segments(lab: AnyLab) -> frozenset[str]:
    """The networks between its nodes, on which is seen how a packet crosses."""
    return frozenset(name for name, one in lab.plan.namespaces.items() if one.role == "switch")


class Place(Protocol):
    """A namespace of a lab."""

    @property
    def name(self) -> str: ...

    @property
    def lab(self) -> AnyLab: ...
