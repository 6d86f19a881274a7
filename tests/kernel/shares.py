"""The shares of a lab on machines that are namespaces (machines.py), without ssh and agents.

What an agent does on a machine is done here by a process that is in the machine's namespace, with a
state folder of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab import api, inside
from netlab.designing import spread_design
from netlab.kernel import syscalls as sys_
from netlab.plan.machines import Machine, Spread
from netlab.plan.spreading import part
from netlab.probe.result import Report
from netlab.report.joined import join
from netlab.running import Lab
from netlab.state import Design, Share, decode, encode
from tests.kernel.machines import Machines

DEVICE = "eth1"
LAB = "shared"


@dataclass
class Work:
    """What a machine's process knows: all of this runs in it."""

    share: Share | None
    design: Design
    lab: Lab
    stop: int = -1
    listener: threading.Thread | None = None


_work: list[Work] = []


def _enter(namespace: str, state: Path) -> None:
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    sys_.setns(fd, sys_.CLONE_NEWNET)
    os.close(fd)
    os.environ["NETLAB_STATE"] = str(state)


def _up(
    topology: str, options: dict[str, Any], machines: Sequence[Machine], shares: bool, name: str
) -> bytes:
    whole, how = spread_design(topology, options, machines, shares_segment=shares, lab=LAB)
    own = Design(whole.layout, whole.dataplane, part(whole.plan, how, name))
    _work.append(Work(Share(name, how, whole.plan), own, api.build(own, LAB)))
    return encode(how)


def _open(sample: Mapping[str, Any]) -> None:
    """Listen for the other machines, beside what this process does."""
    work, ready = _work[0], threading.Event()
    stopping, work.stop = os.pipe()

    def told(words: str, *_numbers: int) -> None:
        if words == inside.LISTENING:
            ready.set()

    def listen() -> None:
        folder, lab = work.lab.folder, work.lab
        assert work.share
        design, share = work.design, work.share
        lab.run_inside(lambda: inside.listen(folder, design, share, stopping, **sample), told)

    work.listener = threading.Thread(target=listen)
    work.listener.start()
    assert ready.wait(60)


def _probe(sample: Mapping[str, Any]) -> bytes:
    """The report as it travels: as JSON."""
    work = _work[0]
    return encode(
        work.lab.run_inside(
            lambda: inside.verify(work.lab.folder, work.design, share=work.share, **sample)
        )
    )


def _close() -> None:
    work = _work[0]
    os.write(work.stop, b".")
    assert work.listener
    work.listener.join()


def _run(space: str, command: str) -> str:
    done = _work[0].lab.target(space).run("sh", "-euc", command)
    assert done.code == 0, done
    return done.stdout


def _attach() -> None:
    lab = api.lab(LAB)
    _work.append(Work(None, lab.design, lab))


def _down() -> None:
    _work.pop().lab.down()


@dataclass
class Shares:
    """A lab on several machines."""

    pools: dict[str, ProcessPoolExecutor]
    spread: Spread | None = field(default=None)

    def _all(self, work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        futures = {name: pool.submit(work, *arguments) for name, pool in self.pools.items()}
        return {name: future.result(timeout=120) for name, future in futures.items()}

    def up(
        self, topology: str, machines: Sequence[Machine], *, shares: bool, **options: Any
    ) -> None:
        arguments = topology, options, machines, shares
        futures = [pool.submit(_up, *arguments, name) for name, pool in self.pools.items()]
        found = [decode(future.result(timeout=120), Spread) for future in futures]
        assert all(one == found[0] for one in found)
        self.spread = found[0]

    def verify(self, *, full: bool = False, sample: int | None = None) -> Report:
        assert self.spread
        how = {"full": full, "sample": sample}
        self.listen(**how)
        try:
            reports = self._all(_probe, how)
        finally:
            self._all(_close)
        return join({name: decode(one, Report) for name, one in reports.items()}, self.spread)

    def listen(self, *, full: bool = False, sample: int | None = None) -> None:
        self._all(_open, {"full": full, "sample": sample})

    def run(self, machine: str, space: str, command: str) -> str:
        """A shell command in a namespace of a machine's share; its output."""
        output: str = self.pools[machine].submit(_run, space, command).result(timeout=60)
        return output

    def down(self) -> None:
        self._all(_down)

    def kill(self, machine: str, state: Path) -> None:
        """End a machine's process, and have another that knows the lab."""
        os.kill(self.pools[machine].submit(os.getpid).result(), signal.SIGKILL)
        self.pools[machine].shutdown()
        self.pools[machine] = _process(machine, state)
        self.pools[machine].submit(_attach).result(timeout=60)


@contextmanager
def running(made: Machines, topology: Any, *, shares: bool, **options: Any) -> Iterator[Shares]:
    """A lab on machines; it is taken down afterwards."""
    listed = [
        Machine(name=name, device=DEVICE, address=f"172.30.0.{number}")
        for number, name in enumerate(made.names, 1)
    ]
    found = Shares({name: _process(name, made.state(name)) for name in made.names})
    try:
        found.up(topology, listed, shares=shares, **options)
        yield found
        found.down()
    finally:
        for pool in found.pools.values():
            pool.shutdown()


def _process(machine: str, state: Path) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(1, context, initializer=_enter, initargs=(machine, state))
