"""Machines that are network namespaces of the tests' host, each with its share of a lab.

Their interface `eth1` is a port of a bridge that has a namespace of its own. What an agent does on
a machine is done here by a process that is in the machine's namespace, with its own state folder.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab import inside
from netlab.api import build
from netlab.designing import spread_design
from netlab.kernel import syscalls as sys_
from netlab.listening import Listening
from netlab.plan.machines import Machine, Spread
from netlab.plan.spreading import part
from netlab.probe.result import Report
from netlab.report.joined import join
from netlab.running import Lab
from netlab.state import Design, Share, decode, encode

DEVICE = "eth1"
LAB = "shared"


def shell(script: str) -> str:
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{script}: {done.stderr}"
    return done.stdout


@dataclass
class Work:
    """What a machine's process knows: all of this runs in it."""

    share: Share
    design: Design
    lab: Lab
    listening: Listening | None = None


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
    _work.append(Work(Share(name, how, whole.plan), own, build(own, LAB)))
    return encode(how)


def _open(sample: Mapping[str, Any]) -> None:
    work = _work[0]
    work.listening = Listening(work.lab.keeper, work.lab.folder, work.design, work.share, **sample)


def _probe(sample: Mapping[str, Any]) -> bytes:
    """The report as it travels: as JSON."""
    work = _work[0]
    return encode(
        work.lab.run_inside(
            lambda: inside.verify(work.lab.folder, work.design, share=work.share, **sample)
        )
    )


def _close() -> None:
    listening = _work[0].listening
    assert listening
    listening.close()


def _run(space: str, command: str) -> str:
    done = _work[0].lab.target(space).run("sh", "-euc", command)
    assert done.code == 0, done
    return done.stdout


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
        self._all(_open, how)
        try:
            reports = self._all(_probe, how)
        finally:
            self._all(_close)
        return join({name: decode(one, Report) for name, one in reports.items()}, self.spread)

    def run(self, machine: str, space: str, command: str) -> str:
        """A shell command in a namespace of a machine's share; its output."""
        output: str = self.pools[machine].submit(_run, space, command).result(timeout=60)
        return output

    def down(self) -> None:
        self._all(_down)


@contextmanager
def machines(
    folder: Path, count: int, *, mtu: int = 1500
) -> Iterator[tuple[Shares, list[Machine]]]:
    """So many machines, joined by one segment; they and all on them are gone afterwards."""
    found = [
        Machine(name=f"vm-{n}", device=DEVICE, mtu=mtu, address=f"192.0.2.{n}")
        for n in range(1, count + 1)
    ]
    shell("ip netns add wire; ip -n wire link add br0 type bridge; ip -n wire link set br0 up")
    pools = {}
    try:
        for one in found:
            shell(
                f"ip netns add {one.name}; ip -n {one.name} link set lo up;"
                f"ip link add {one.name} netns wire mtu {mtu} type veth"
                f" peer {DEVICE} netns {one.name} mtu {mtu};"
                f"ip -n wire link set {one.name} master br0 up;"
                f"ip -n {one.name} address add {one.address}/24 dev {DEVICE};"
                f"ip -n {one.name} link set {DEVICE} up"
            )
            pools[one.name] = ProcessPoolExecutor(
                1,
                multiprocessing.get_context("fork"),
                initializer=_enter,
                initargs=(one.name, folder / one.name),
            )
        yield Shares(pools), found
    finally:
        for pool in pools.values():
            pool.shutdown()
        for name in ("wire", *(one.name for one in found)):
            shell(f"ip netns delete {name}")
