"""Waiting, with a limit, until a lab's daemons are ready and have brought what they must bring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netlab.kernel.processes import Processes
from netlab.plan.diff import Item
from netlab.plan.processes import Daemon, Ready
from netlab.plan.types import Plan

LIMIT = Ready().seconds  # for a daemon that says nothing about its readiness
_PAUSE = 0.05  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Late:
    """A daemon that was not ready in time, or did not bring all it must."""

    namespace: str
    daemon: str
    lacks: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"the daemon {self.daemon} of {self.namespace} is not ready after {self.seconds:g} s: "
            f"{self.lacks}"
        )


def wait(plan: Plan, processes: Processes, awaited: Callable[[], Iterable[Item]]) -> list[Late]:
    """Wait for every daemon of the plan, each as long as it says; returns those that are late.

    `awaited` tells which objects daemons must still bring.
    """
    began = time.monotonic()
    waiting = [
        (space.name, daemon) for space in plan.namespaces.values() for daemon in space.daemons
    ]
    brought = any(daemon.brings for _, daemon in waiting)
    late: list[Late] = []
    while waiting:
        missing = list(awaited()) if brought else []
        now = time.monotonic() - began
        still = []
        for name, daemon in waiting:
            lacks = _lacks(name, daemon, processes, missing)
            if lacks and now >= (limit := daemon.ready.seconds if daemon.ready else LIMIT):
                late.append(Late(name, daemon.name, lacks, limit))
            elif lacks:
                still.append((name, daemon))
        waiting = still
        if waiting:
            time.sleep(_PAUSE)
    return late


def _lacks(name: str, daemon: Daemon, processes: Processes, missing: Iterable[Item]) -> str:
    """What a daemon still lacks, in words; empty when it has done all that is waited for."""
    if daemon not in processes.running(name):
        return "it does not run"
    if unready := processes.unready(name, daemon):
        return unready
    whose = name, daemon.name
    own = [str(item.object) for item in missing if (item.namespace, item.owner) == whose]
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"it did not bring the {own[0]}{more}" if own else ""
