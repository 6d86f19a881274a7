"""Dataplanes: a folder for each family, a file for each backend. The registry finds them.

A dataplane is a frozen dataclass below `netlab.plan.dataplane.Dataplane` with a `name`. It may also
stand in a user's own topology file, or come from another package by an entry point of the group
`netlab.dataplanes`. What is wrong with one costs that one alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from netlab.errors import Unmet
from netlab.plan.compile import compile_plan
from netlab.plan.dataplane import Dataplane
from netlab.registry import Registry
from netlab.topology.layout import lay_out
from netlab.topology.model import Cluster


def _flaw(kind: type[Any]) -> str | None:
    if kind.attach is Dataplane.attach:
        return "it has no method `attach`, which says how pods are attached"
    return None


DATAPLANES = Registry(
    "dataplane",
    Dataplane,
    __name__,
    "netlab.dataplanes",
    "flannel.Vxlan()",
    ("name", "summary", "requires", "ipam", "dual_stack", "explains"),
    _flaw,
)
found = DATAPLANES.found
registry = DATAPLANES.kinds
lookup = DATAPLANES.lookup
make = DATAPLANES.make
title = DATAPLANES.title
flaw = DATAPLANES.flaw
guarded = DATAPLANES.guarded
reference = DATAPLANES.reference
resolve = DATAPLANES.resolve


def needs(kind: type[Dataplane], lacking: Collection[str]) -> tuple[tuple[str, ...], str]:
    """The features of the kernel that a small cluster takes on it, with its default options, where
    these are lacking; and what then carries packets, where it has a choice.

    Raises Unmet where what plans it lacks something.
    """
    try:
        dataplane = kind().without(lacking)
        layout = lay_out(Cluster(nodes=2, pods_per_node=1), dataplane.allocator())
        plan = compile_plan(kind.name, layout, dataplane, force=True)
        return plan.requires, dataplane.carrier()
    except Unmet:
        raise
    except Exception:  # a stranger's, or one that has no defaults
        return kind.requires, ""
