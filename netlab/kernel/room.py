"""Whether this host has room for a lab, before anything of it is made."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import Unmet
from netlab.plan.types import Plan
from netlab.topology.resolved import Layout

# Measured on Linux 6.18, the least that was seen: what is refused would not have fitted.
NAMESPACE = 320 << 10  # bytes of the kernel's for a network namespace with its device
PROCESS = 350 << 10  # bytes of a container that runs netlab's server
OTHER_FILES = 64  # that a process of netlab has open besides one a namespace
_GIB = 1 << 30
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Room:
    """What this host has: bytes of memory, and how many namespaces, processes and open files of a
    process there may be."""

    memory: int
    namespaces: int
    processes: int
    files: int = 1 << 62


def here() -> Room:
    """What is left of memory, and the least of the limits of each kind."""
    limits = [
        _number("sys/kernel/pid_max"),
        _number("sys/kernel/threads-max"),
        _soft(resource.RLIMIT_NPROC),
    ]
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1 << 62 if files == resource.RLIM_INFINITY else files
    return Room(_memory(), _number("sys/user/max_net_namespaces"), min(limits), most)


def refuse_too_large(plan: Plan, room: Room | None = None) -> None:
    """Raise Unmet for a lab that this host cannot hold, with all that it would take."""
    spaces = plan.namespaces.values()
    processes = sum(len(space.containers) + len(space.daemons) for space in spaces)
    pods, nodes = (sum(space.role == role for space in spaces) for role in ("pod", "node"))
    _refuse(plan.topology, pods, nodes, len(spaces), processes, room)


def refuse_too_many(topology: str, layout: Layout, room: Room | None = None) -> None:
    """As `refuse_too_large`, by the pods and nodes alone: before a plan is made, which takes long
    for just those clusters that do not fit."""
    pods, nodes = len(layout.pods), len(layout.nodes)
    processes = sum(len(pod.containers) for pod in layout.pods)
    processes += sum(len(node.containers) for node in layout.nodes)
    _refuse(topology, pods, nodes, pods + nodes, processes, room)


def _refuse(
    topology: str, pods: int, nodes: int, namespaces: int, processes: int, room: Room | None
) -> None:
    memory = namespaces * NAMESPACE + processes * PROCESS
    room = room or here()
    if reason := next(_lacking(namespaces, processes, memory, room), ""):
        limit = "" if memory > room.memory else "raise that limit, "
        raise Unmet(
            f"The topology {topology} is too large for this host: its {pods} pods on {nodes} "
            f"nodes take at least {namespaces} namespaces, {processes} processes and "
            f"{memory / _GIB:.1f} GiB of memory, and {reason}",
            f"{limit}leave pods away, or spread it over several machines by --inventory",
        )


def _lacking(namespaces: int, processes: int, memory: int, room: Room) -> Iterator[str]:
    if memory > room.memory:
        yield f"{room.memory / _GIB:.1f} GiB are free"
    if namespaces > room.namespaces:
        yield f"user.max_net_namespaces is {room.namespaces}"
    if namespaces + OTHER_FILES > room.files:
        yield f"a process can have {room.files} files open, one a namespace (ulimit -Hn)"
    if processes > room.processes:
        yield f"there can be {room.processes} processes (RLIMIT_NPROC, kernel.pid_max)"


def _memory() -> int:
    """Bytes of memory that are to be had, swap too."""
    found = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            key, _, rest = line.partition(":")
            if key in ("MemAvailable", "SwapFree"):
                found += int(rest.split()[0]) << 10
    return found or 1 << 62


def _number(path: str) -> int:
    try:
        return int((_PROC / path).read_text())
    except (OSError, ValueError):
        return 1 << 62


def _soft(kind: int) -> int:
    soft, _ = resource.getrlimit(kind)
    return 1 << 62 if soft == resource.RLIM_INFINITY else soft
