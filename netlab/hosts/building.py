"""`up` on several machines: they are looked at, then joined, then each builds its share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from netlab.designing import Topology, design, spread_design, without
from netlab.errors import LabUnavailable, Unmet
from netlab.hosts import segment
from netlab.hosts import share as calls
from netlab.hosts.asking import ask, raise_all, try_all
from netlab.hosts.connection import Connection
from netlab.hosts.interface import Interface, Unused, bring_down, bring_up
from netlab.hosts.lab import Known, SpreadLab, summed
from netlab.hosts.machine import Needs, look
from netlab.hosts.protocol import Tell
from netlab.hosts.reached import Machines
from netlab.hosts.underlay import underlay
from netlab.hosts.vagrant import WORD
from netlab.inside import Applied
from netlab.kernel.lab import MACHINES, LabFolder, clear_stale
from netlab.making import nothing_to_rebuild, prove
from netlab.plan.machines import Machine, Spread
from netlab.state import Design, Share
from netlab.stored import layout_file, stored


@dataclass(frozen=True)
class Wanted:
    """What is to be built, as the user says it: of a topology and the machines for it."""

    topology: Topology
    options: Mapping[str, Any]
    inventory: str
    underlay_device: str | None = None
    force: bool = False
    name: str | None = None
    rebuild: str | None = None
    wait: float = 0
    source: str = field(init=False)

    def __post_init__(self) -> None:
        """An inventory is found again from another folder too; `vagrant` means the one here."""
        word = self.inventory == WORD
        object.__setattr__(self, "source", WORD if word else os.path.abspath(self.inventory))

    def design(self) -> Design:
        """What it is without machines. Raises BadInput."""
        return design(self.topology, self.options, force=self.force)


def build(
    wanted: Wanted,
    progress: Tell | None = None,
    *,
    verify: bool = False,
    built: Callable[[SpreadLab], None] | None = None,
) -> SpreadLab:
    """Build a lab on the machines of an inventory, or make a running one equal to its topology.

    Raises as `making.build`, before anything is changed where a machine cannot do its share.
    """
    clear_stale()
    reached = Machines(wanted.source)
    try:
        plain = wanted.design()
        folder = LabFolder(wanted.name or plain.topology)
        plain = _as_there(reached, plain, wanted, progress)
        machines = _machines(reached, plain, wanted, progress)
        with folder.locked(create=True, wait=wanted.wait):
            lab = _locked(folder, reached, wanted, plain, machines, progress)
            if built:
                built(lab)
            if verify:
                lab.late = ()  # a check says it
                prove(lab, progress)
            return lab
    except BaseException:
        _bring_down(reached)
        reached.close()
        raise


def plan(wanted: Wanted, progress: Tell | None = None) -> tuple[Design, Spread]:
    """What `build` would make of a new lab: its whole plan, and how it would be spread.

    The machines are asked, and netlab is put on those that lack it; nothing else is done there.
    """
    with Machines(wanted.source) as reached:
        plain = wanted.design()
        plain = _as_there(reached, plain, wanted, progress)
        try:
            machines = _machines(reached, plain, wanted, progress)
            shares = _share_segment(reached, machines)
        finally:
            _bring_down(reached)
        return _spread(wanted, plain, machines, shares)


def _bring_down(reached: Machines) -> None:
    """What was brought up for no lab; what cannot be now is with the next lab's end."""
    try_all(reached.connections, bring_down, lambda _name: Unused())


def _spread(
    wanted: Wanted, plain: Design, machines: list[Machine], shares: bool, lab: str | None = None
) -> tuple[Design, Spread]:
    return spread_design(
        wanted.topology,
        wanted.options,
        machines,
        shares_segment=shares,
        lab=lab,
        force=wanted.force,
        plain=plain,
    )


def _as_there(reached: Machines, plain: Design, wanted: Wanted, progress: Tell | None) -> Design:
    """By the dataplane's form for machines of which one lacks what it can do without."""
    reached.ready(progress)
    reached.require_all()
    if not (features := plain.dataplane.spares):
        return plain
    facts = ask(reached.connections, look, lambda _name: Needs(features))
    lacking = {feature for one in facts.values() for feature in one.lacking}
    return without(plain, lacking, force=wanted.force)


def _machines(
    reached: Machines, plain: Design, wanted: Wanted, progress: Tell | None
) -> list[Machine]:
    """The machines with their interfaces on the underlay, which are brought up for it.

    Raises for all that lacks at once.
    """
    features = tuple(dict.fromkeys([*plain.plan.requires, "macvlan", "vxlan"]))
    facts = ask(reached.connections, look, lambda _name: Needs(features))
    lacking = [
        f"{name} lacks {feature} ({remedy})"
        for name, one in facts.items()
        for feature, remedy in one.lacking.items()
    ]
    if lacking:
        raise Unmet(f"The topology {plain.topology} cannot be built: {'; '.join(lacking)}.")
    machines = [
        underlay(host, facts[host.name], wanted.underlay_device)
        for host in reached.hosts
        if host.name in facts
    ]
    asleep = {
        machine.name: Interface(machine.device)
        for machine in machines
        if not facts[machine.name].carries(machine.device)
    }
    connections = {name: reached.connections[name] for name in asleep}
    ask(connections, bring_up, asleep.__getitem__, progress)
    return machines


def _locked(
    folder: LabFolder,
    reached: Machines,
    wanted: Wanted,
    plain: Design,
    machines: list[Machine],
    progress: Tell | None,
) -> SpreadLab:
    """As `build`, for who holds the lock of the lab's folder."""
    known = _known(folder, wanted, machines)
    try:
        shares = known.spread.wire == "macvlan" if known else _share_segment(reached, machines)
        whole, spread = _spread(wanted, plain, machines, shares, folder.name)
        owner = known.spread.owner if known else os.urandom(8).hex()
        spread = msgspec.structs.replace(spread, owner=owner)
        _store(folder, whole, Known(wanted.source, wanted.underlay_device, spread))
        lab = SpreadLab(folder, whole, reached=reached)
        lab.applied = _build_all(
            reached.connections, lab, spread, wanted, progress, new=known is None
        )
        folder.mark_whole()
        return lab
    except BaseException:
        if known is None:
            folder.remove()
        raise


def _known(folder: LabFolder, wanted: Wanted, machines: list[Machine]) -> Known | None:
    """What is known of the lab, if it runs. Raises LabUnavailable where it is another one."""
    if not folder.elsewhere:
        if folder.keeper is not None:
            raise LabUnavailable(
                f"The lab '{folder.name}' runs on this machine",
                "take it down first or name another with -l",
            )
        if wanted.rebuild is not None:
            raise nothing_to_rebuild(folder)
        return None
    known = folder.read(MACHINES, Known)
    names = [machine.name for machine in machines]
    before = [machine.name for machine in known.spread.machines]
    if known.inventory != wanted.source or names != before:
        raise LabUnavailable(
            f"The lab '{folder.name}' is on {', '.join(before)} of {known.inventory}",
            "take it down first or name another with -l",
        )
    return known


def _share_segment(reached: Machines, machines: list[Machine]) -> bool:
    """Whether the machines' interfaces are on one segment that carries nodes' frames: by trying.

    Raises Unmet where it is one, but does not carry them.
    """
    if len(machines) == 1:
        return True
    cookie = os.urandom(8).hex()
    names = tuple(machine.name for machine in machines)
    probes = {
        machine.name: segment.Segment(
            machine.name,
            machine.device,
            cookie,
            tuple(name for name in names if name != machine.name),
        )
        for machine in machines
    }
    heard = ask(reached.connections, segment.probe_segment, probes.__getitem__)
    fits, why = segment.verdict(heard)
    if not fits and any(machine.address is None for machine in machines):
        raise Unmet(
            f"The machines cannot be joined: {why}",
            "mend that, or give their interfaces addresses, over which a VXLAN can join them",
        )
    return fits


def _store(folder: LabFolder, whole: Design, known: Known) -> None:
    """What other commands need; first of all that the lab is on machines, and on which."""
    folder.write(MACHINES, known)
    for file, value in stored(whole).items():
        folder.write(file, value)


def _build_all(
    machines: Mapping[str, Connection],
    lab: SpreadLab,
    spread: Spread,
    wanted: Wanted,
    progress: Tell | None,
    *,
    new: bool,
) -> Applied:
    """Have every machine build its share; one that fails costs all that were new, on any.

    Of a `new` lab that is whatever is there of it, also where no answer came before Ctrl-C.
    """
    file = layout_file(lab.design)
    anew = lab.target(wanted.rebuild).name if wanted.rebuild else None

    def given(name: str) -> calls.Build:
        share = Share(machine=name, spread=spread, whole=lab.plan)
        return calls.Build(lab.name, share, file, anew, wanted.wait)

    found: dict[str, calls.Built] = {}
    try:
        found, problems = try_all(machines, calls.build, given, progress)
        raise_all(problems)
    except BaseException:
        undone = {
            name: one
            for name, one in machines.items()
            if new or (name in found and found[name].new)
        }
        given_up = calls.Named(lab.name, wait=10.0, owner=spread.owner)
        try_all(undone, calls.down, lambda _name: given_up)
        raise
    lab.late = tuple(late for one in found.values() for late in one.late)
    return summed([one.applied for one in found.values()])
