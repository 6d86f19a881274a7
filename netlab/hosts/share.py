"""What the controller asks of a machine for its share of a lab: the same as one does by hand there.

The share is a lab of the machine like any other, which `netlab` knows and takes down there too.
"""

from __future__ import annotations

import os

import msgspec

from netlab.errors import LabUnavailable
from netlab.hosts.interface import Interface, Unused, bring_down, bring_up
from netlab.hosts.protocol import Tell
from netlab.hosts.travelling import Found, travelling
from netlab.inside import Applied
from netlab.kernel.enter import Completed
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes.waiting import Late
from netlab.plan.links import Macvlan
from netlab.plan.machines import MACHINE
from netlab.plan.spreading import part
from netlab.probe.result import Report
from netlab.running import Lab
from netlab.state import Design, LayoutFile, Share
from netlab.status import Status
from netlab.stored import SHARE, design_of


class Build(msgspec.Struct, frozen=True):
    """A share of the lab `lab`; `anew` are namespaces to be made anew, of those that are here."""

    lab: str
    share: Share
    file: LayoutFile
    anew: str | None = None
    wait: float = 0


class Built(msgspec.Struct, frozen=True):
    """What building took; `new` is whether there was nothing of the lab before.

    `late` are daemons and containers that are not ready in their time.
    """

    applied: Applied
    new: bool
    late: tuple[Late, ...] = ()


class Named(msgspec.Struct, frozen=True):
    """A lab of the machine, by its name; with an `owner` only one that this controller made."""

    lab: str
    wait: float = 0
    owner: str = ""


class Probing(msgspec.Struct, frozen=True):
    lab: str
    full: bool = False
    sample: int | None = None
    wait: float = 0


class Comparing(msgspec.Struct, frozen=True):
    lab: str
    all_settings: bool = False
    wait: float = 0


class Command(msgspec.Struct, frozen=True):
    """A command for a namespace of a lab, or a container in it; `stdin` is what it reads."""

    lab: str
    space: str
    container: str | None
    words: tuple[str, ...]
    stdin: str = ""


class Log(msgspec.Struct, frozen=True):
    lab: str
    space: str
    process: str


def build(given: Build, tell: Tell) -> Built:
    """Make the machine's share, or make it equal to another plan. Raises as `making.build`."""
    from netlab import making

    folder, share = LabFolder(given.lab), given.share
    new = not folder.runs()
    if not new:
        _refuse_others(Lab(folder), share)
    _refuse_twins(given)
    bring_up(_interface(share), tell)
    wanted = _part(given)
    anew = given.anew if given.anew in wanted.plan.namespaces else None
    lab = making.build(wanted, given.lab, tell, rebuild=anew, wait=given.wait, share=share)
    assert lab.applied is not None
    return Built(lab.applied, new, lab.late)


def change(given: Build, tell: Tell) -> Applied:
    """Make a share that runs equal to another plan. Raises LabUnavailable where it does not run."""
    lab = _lab(given.lab)
    _refuse_others(lab, given.share)
    with lab.folder.locked(wait=given.wait):
        return lab.remake(tell, _part(given), share=given.share)


def _part(given: Build) -> Design:
    """What this machine is to have of the lab."""
    share = given.share
    return design_of(given.file, part(share.whole, share.spread, share.machine))


def _refuse_others(lab: Lab, share: Share) -> None:
    """A lab of that name that somebody else made is theirs."""
    known = lab.share
    if known is None or known.spread.owner != share.spread.owner:
        whose = "somebody there" if known is None else "another controller"
        raise LabUnavailable(
            f"a lab '{lab.name}' runs there that {whose} made",
            f"take it down there (netlab down -l {lab.name}), or name this one with -l",
        )


def _refuse_twins(given: Build) -> None:
    """Two labs with nodes of one name would have one MAC twice on the machines' segment."""
    from netlab.kernel import lab as folders

    own = _on_segment(given.share)
    for folder in folders.labs():
        if folder.name == given.lab or not folder.has(SHARE) or not folder.runs():
            continue
        if twins := sorted(own.keys() & _on_segment(folder.read(SHARE, Share)).keys()):
            raise LabUnavailable(
                f"the lab '{folder.name}' has a {own[twins[0]]} with the same MAC on the segment",
                "take it down first",
            )


def _on_segment(share: Share) -> dict[tuple[str, str], str]:
    """Who is on the segment of a machine's interface: by that, and the MAC there."""
    device = share.spread.machine(share.machine).device
    return {
        (device, link.mac): name
        for name, space in share.whole.namespaces.items()
        for link in space.links
        if link.link_netns == MACHINE and isinstance(link, Macvlan)
    }


def repair(given: Named, tell: Tell) -> Applied:
    """Make the share equal to its plan again."""
    lab = _lab(given.lab)
    assert lab.share is not None
    bring_up(_interface(lab.share), tell)
    return lab.repair(tell, wait=given.wait)


def listen(given: Probing, tell: Tell) -> None:
    """Answer what other machines ask this one while they verify; ends when it is cancelled."""
    lab = _lab(given.lab)
    stop, _open = os.pipe()
    lab.listen(stop, tell, full=given.full, sample=given.sample, wait=given.wait)


def verify(given: Probing, tell: Tell) -> Report:
    """Probe from this machine's namespaces, while all others `listen`."""
    lab = _lab(given.lab)
    return lab.verify(full=given.full, sample=given.sample, progress=tell, wait=given.wait)


def diff(given: Comparing, tell: Tell) -> Found:
    """The share against its plan."""
    lab = _lab(given.lab)
    return travelling(lab.diff(all_settings=given.all_settings, wait=given.wait))


def status(given: Named, tell: Tell) -> Status:
    """The share as it is: of nodes and pods all of the lab are told, of processes those here."""
    return _lab(given.lab).status(wait=given.wait)


def run(given: Command, tell: Tell) -> Completed:
    """Run a command in a namespace of the lab, and wait for it."""
    lab = _lab(given.lab)
    return lab.execute(given.space, given.container, given.words, catch=True, stdin=given.stdin)


def log(given: Log, tell: Tell) -> str:
    """What a daemon or container has printed."""
    return _lab(given.lab).log(given.space, given.process)


def down(given: Named, tell: Tell) -> bool:
    """Take the share down; whether there was one."""
    try:
        return _end(LabFolder(given.lab), given)
    finally:
        bring_down(Unused(), tell)


def _end(folder: LabFolder, given: Named) -> bool:
    if not folder.exists():
        return False
    with folder.locked(wait=given.wait):
        if given.owner and not _is_of(folder, given.owner):
            return False
        folder.end()
    return True


def _interface(share: Share) -> Interface:
    return Interface(share.spread.machine(share.machine).device)


def _is_of(folder: LabFolder, owner: str) -> bool:
    """Whether a controller made the share; of one that was not stored yet nobody knows."""
    return folder.has(SHARE) and folder.read(SHARE, Share).spread.owner == owner


def _lab(name: str) -> Lab:
    from netlab.making import alive

    return Lab(alive(name, 0))
