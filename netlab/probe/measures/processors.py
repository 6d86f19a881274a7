"""Who works while packets cross: the processor time of a sandbox's own processes.

What the kernel does for a packet is counted to none of them but the one that sends it, which is
the measurement's; a program that carries packets shows by its own time.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from netlab.probe.measures.cells import Cell, unmeasured

USER_SHARE = 0.05  # seconds of a processor, per second of traffic, that show who carries packets
# Times what a program takes on the plain path: that make it a carrier, and that leave it open.
_GROWTH, _DOUBT = 2, 1.25
_SCHEDULED = 2  # CPUCLOCK_SCHED: what the scheduler gave a process, to the nanosecond


class Work:
    """Processor seconds by process while some traffic went, and how many seconds that took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.used: Counter[int] = Counter()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is used in the block."""
        before, began = _used(), time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began
            after = _used()
            self.used.update({pid: after[pid] - before[pid] for pid in after if pid in before})

    def share(self, pid: int) -> float:
        """Processor seconds per second of traffic."""
        return self.used[pid] / self.seconds if self.seconds else 0.0


def _used() -> dict[int, float]:
    """Processor seconds so far of all processes that this one sees, but its own."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                # As clock_getcpuclockid(3) makes the clock of a process of its id.
                found[int(entry)] = time.clock_gettime(~int(entry) << 3 | _SCHEDULED)
    return found


def runs_in(row: str, pods: Work, plain: Work, names: Mapping[int, str]) -> Cell:
    """Whether a program carries the pods' packets: its time grows with them, not with plain ones.

    `names` are those of daemons, by process id.
    """
    busy = [pid for pid in pods.used if pods.share(pid) > USER_SHARE]
    # On a busy machine a program is still at work when the other path's turn begins.
    carriers = [pid for pid in busy if pods.share(pid) > _GROWTH * plain.share(pid)]
    check = f"{row}/runs-in"
    unclear = [pid for pid in busy if pods.share(pid) > _DOUBT * plain.share(pid)]
    if unclear and not carriers:
        both = names.get(unclear[0]) or _program(unclear[0])
        return unmeasured(check, f"{both} was at work while either path had traffic")
    if not carriers:
        most = max((pods.share(pid) for pid in pods.used), default=0.0)
        evidence = f"no process of the lab took more than {most:.2f} s per second of traffic"
        return Cell(check, "kernel", "kernel", evidence)
    told = [
        f"{names.get(pid) or _program(pid)}{_devices(pid)} took {pods.share(pid):.2f} s per second "
        f"of traffic, and {plain.share(pid):.2f} of the plain path's"
        for pid in carriers
    ]
    return Cell(check, "user space", "user space", "; ".join(told))


def _program(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return f"process {pid}"


def _devices(pid: int) -> str:
    """The TUN devices that a process has open, as its descriptors tell."""
    found = []
    with contextlib.suppress(OSError):
        for file in Path(f"/proc/{pid}/fdinfo").iterdir():
            lines = file.read_text().splitlines()
            found += [line.partition(":")[2].strip() for line in lines if line.startswith("iff:")]
    return f" (has {', '.join(found)} open)" if found else ""
