"""Waiting, with a limit, until a lab's daemons and containers are ready, and have done their part.

Daemons must bring what they own; a container is waited for where it says how it is ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from netlab.kernel.processes import NOT_THERE, Process, Processes
from netlab.plan.diff import Item
from netlab.plan.processes import Daemon, Ready
from netlab.plan.types import Plan

LIMIT = Ready().seconds  # for a daemon that says nothing about its readiness
_PAUSE = 0.05  # seconds between two looks
_OLD = 6  # an old lab's daemons get this part of their time: they are not coming up,
_LEAST = 5.0  # but so many seconds where they have as many


@dataclass(frozen=True, slots=True)
class Late:
    """A process that was not ready in time, or a daemon that did not bring all it must."""

    namespace: str
    process: str
    lacks: str
    seconds: float

    def __str__(self) -> str:
        return (
            f"the {self.process} of {self.namespace} is not ready after {self.seconds:g} s: "
            f"{self.lacks}"
        )


def awaited(plan: Plan) -> list[tuple[str, Process]]:
    """What is waited for, each with its namespace."""
    result: list[tuple[str, Process]] = []
    for name, space in plan.namespaces.items():
        result += [(name, daemon) for daemon in space.daemons]
        result += [(name, container) for container in space.containers if container.ready]
    return result


def wait(plan: Plan, processes: Processes, missing: Callable[[], Iterable[Item]]) -> list[Late]:
    """Wait for all that is `awaited`, each as long as it says; returns those that are late.

    `missing` tells which objects daemons must still bring. Where none of the lab's daemons was
    started within the time that one has, it gets less: what is amiss then does not mend itself.
    """
    began = time.monotonic()
    waiting = awaited(plan)
    brought = any(isinstance(process, Daemon) and process.brings for _, process in waiting)
    late: list[Late] = []
    while waiting:
        unbrought = list(missing()) if brought else []
        now = time.monotonic() - began
        settled = min((state.age for state in processes.states().values()), default=0.0)
        still = []
        for name, process in waiting:
            lacks = _lacks(name, process, processes, unbrought)
            if lacks and now >= (limit := _limit(process, settled)):
                late.append(Late(name, str(process), lacks, limit))
            elif lacks:
                still.append((name, process))
        waiting = still
        if waiting:
            time.sleep(_PAUSE)
    return late


def _limit(process: Process, settled: float) -> float:
    """How long a process is waited for, in seconds, `settled` seconds after the last start."""
    limit = process.ready.seconds if process.ready else LIMIT
    less = min(limit, max(limit / _OLD, _LEAST))
    return less if isinstance(process, Daemon) and settled > limit else limit


def _lacks(name: str, process: Process, processes: Processes, missing: Iterable[Item]) -> str:
    """What a process still lacks, in words; empty when it has done all that is waited for."""
    if process not in processes.running(name):
        words = processes.last_words(name, process) if isinstance(process, Daemon) else ""
        return f"{NOT_THERE}{f', its last words were: {words}' if words else ''}"
    if unready := processes.unready(name, process):
        return unready
    whose = name, process.name
    own = [str(item.object) for item in missing if (item.namespace, item.owner) == whose]
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"it did not bring the {own[0]}{more}" if own else ""
