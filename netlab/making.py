"""Building labs on this machine, and making running ones equal to another plan."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from netlab import inside
from netlab.designing import Fits, Topology, design, without
from netlab.errors import BadInput, LabUnavailable, NetlabError, shown
from netlab.kernel import lab as folders
from netlab.kernel import room, sandbox
from netlab.kernel.keeper import WHOLE
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes.waiting import Late, awaited
from netlab.kernel.sandbox import Sandbox
from netlab.plan.baseline import Baselines
from netlab.proxy import spared
from netlab.running import Lab, Progress, store
from netlab.state import Design, Share
from netlab.topology.resolved import Layout


def design_here(
    topology: Topology,
    options: Mapping[str, Any],
    *,
    force: bool = False,
    fits: Fits | None = None,
) -> Design:
    """As `design`, with the dataplane's stand-ins for what this kernel lacks."""
    wanted = design(topology, options, force=force, fits=fits)
    if features := wanted.dataplane.spares:
        from netlab.kernel import capabilities

        wanted = without(wanted, capabilities.missing(features), force=force)
    return wanted


def room_for(name: str | None) -> Fits:
    """For `design_here`: raises Unmet for a lab to be built that is too large for this host."""

    def fits(topology: str, layout: Layout) -> None:
        if LabFolder(name or topology).state != "running":
            room.refuse_too_many(topology, layout)

    return fits


def build(
    wanted: Design,
    name: str | None = None,
    progress: Progress | None = None,
    *,
    verify: bool = False,
    rebuild: str | None = None,
    wait: float = 0,
    built: Callable[[Lab], None] | None = None,
    share: Share | None = None,
) -> Lab:
    """As `netlab.up`, for what `design` made. Nobody else changes the lab until it is verified.

    `built` is called in between. What was found is `Lab.applied`, `Lab.late` and `Lab.report`.
    `share` is what this machine knows of a lab of which `wanted` is only its part.
    """
    # Loaded here, and so once: what follows is done in processes that are forked from this one.
    import netlab.kernel.apply  # noqa: F401
    from netlab.kernel import capabilities
    from netlab.kernel.processes import preflight

    needs = [capabilities.SANDBOX, *wanted.plan.requires]
    capabilities.require(needs, f"The topology {wanted.topology}", spared(wanted.proxy))
    preflight(wanted.plan)
    folders.clear_stale()
    folder = LabFolder(name or wanted.topology)
    if share is None:
        _refuse_elsewhere(folder, wanted)
    if rebuild is not None and folder.state != "running":
        raise nothing_to_rebuild(folder)
    if folder.state != "running":
        room.refuse_too_large(wanted.plan)
    with folder.locked(create=True, wait=wait):
        if folder.state == "running" or rebuild is not None:
            made = _remake(folder, wanted, progress, rebuild, share)
        else:
            made = _make(folder, wanted, progress, share)
        if built:
            built(made)
        if verify:
            prove(made, progress, built)
        else:
            made.late = tuple(wait_for(made, progress))
    return made


def prove(
    lab: Lab, progress: Progress | None, repaired: Callable[[Lab], None] | None = None
) -> None:
    """Probe, for `Lab.report`. What only that look saw differ is repaired, and all probed again."""
    lab.report = lab.probe(progress)
    if lab.report.drifted:
        lab.remake(progress)
        if repaired:
            repaired(lab)
        lab.report = lab.probe(progress)


def nothing_to_rebuild(folder: LabFolder) -> BadInput:
    return BadInput(
        f"The lab '{folder.name}' does not run, so that --rebuild has no effect on it",
        "leave the option out",
    )


def _refuse_elsewhere(folder: LabFolder, wanted: Design) -> None:
    """What is for other machines is not built here."""
    if folder.elsewhere:
        raise LabUnavailable(
            f"The lab '{folder.name}' runs on other machines",
            "give the same --inventory again, take it down first or name another with -l",
        )
    for node in wanted.layout.nodes:
        if node.host is not None:
            raise BadInput(
                f"{node.name} is to be on the machine {shown(node.host)}",
                "say with --inventory where that is",
            )


def _make(folder: LabFolder, wanted: Design, progress: Progress | None, share: Share | None) -> Lab:
    """Build in a new sandbox, which falls with everything in it unless the lab becomes whole."""
    try:
        fresh = sandbox.create(folder.folder)

        def whole() -> None:
            folder.mark_whole()
            fresh.whole()

        return _filled(folder, fresh, wanted, progress, whole, share=share, keep=(fresh.gate,))
    except BaseException:
        folder.end()
        raise


def _filled(
    folder: LabFolder,
    fresh: Sandbox,
    wanted: Design,
    progress: Progress | None,
    whole: Callable[[], None],
    *,
    share: Share | None = None,
    keep: tuple[int, ...] = (),
) -> Lab:
    """The lab built in a new sandbox; `whole` is called when all of it is there."""
    store(folder, fresh.keeper, wanted, share)
    applied = sandbox.run_inside(
        fresh.keeper,
        lambda: inside.build(folder, wanted.plan, whole),
        keep=keep,
        relay=progress,
    )
    return Lab(folder, wanted, applied)


@contextlib.contextmanager
def throwaway(wanted: Design, name: str, progress: Progress | None = None) -> Iterator[Lab]:
    """A lab for as long as the block takes. What its plan takes of the host must be there.

    It is never said to be whole, so that its keeper ends with this process, however that ends; a
    folder that is left then is stale, and the next command's to remove. Daemons are awaited.
    """
    folder = LabFolder(name)
    with folder.locked(create=True):
        try:
            fresh = sandbox.create(folder.folder)
            try:
                made = _filled(folder, fresh, wanted, progress, lambda: None)
                made.late = tuple(wait_for(made))
                yield made
            finally:
                os.close(fresh.gate)
        finally:
            folder.end()


@dataclass(frozen=True, slots=True)
class Tied:
    """A lab that ends with this process, however that ends, unless it is told to `stay`."""

    lab: Lab
    gate: int

    def stay(self) -> None:
        """From now on only `end`, or a command, ends it."""
        os.write(self.gate, WHOLE)
        os.close(self.gate)

    def end(self) -> None:
        """Take it down, whatever was done to it meanwhile. Raises LabUnavailable, Unmet."""
        try:
            if self.lab.folder.exists():
                self.lab.down()
        finally:
            os.close(self.gate)


def tied(wanted: Design, name: str, progress: Progress | None = None) -> Tied:
    """A new lab, whole and ready, that ends with this process. What its plan takes must be there.

    As its keeper waits for the end of a pipe, it ends with the last process that was forked from
    this one and still holds that. Raises NetlabError where it is not ready in time.
    """
    folder = LabFolder(name)
    with folder.locked(create=True):
        fresh = sandbox.create(folder.folder)
        try:
            made = _filled(folder, fresh, wanted, progress, folder.mark_whole)
            if late := wait_for(made, progress):
                raise NetlabError(f"The lab is not ready: {late[0]}.")
        except BaseException:
            folder.end()
            os.close(fresh.gate)
            raise
    return Tied(made, fresh.gate)


def put_back(lab: Lab, wanted: Design) -> Lab:
    """The same lab as it was made: compared with that plan, and what differs made good.

    Raises as `tied`, and LabUnavailable for one that is gone.
    """
    _learn(lab, wanted)
    with lab.folder.locked():
        now = Lab(lab.folder)
        made = Lab(lab.folder, wanted, now.remake(None, wanted))
        if late := wait_for(made):
            raise NetlabError(f"The lab is not ready: {late[0]}.")
    return made


def _learn(lab: Lab, wanted: Design) -> None:
    """Know, here and so in all processes forked from this one, what each would find out anew.

    That is how devices of the lab's kinds, and those that others are compared with, are as new; and
    the forms of the files that they read.
    """
    from netlab.kernel import fresh
    from netlab.kernel.processes.containers import Containers

    links = (link for space in wanted.plan.namespaces.values() for link in space.links)
    kinds = {link.kind for link in links} | {"loopback", "veth"}
    if unseen := kinds - fresh.seen():
        fresh.remember(lab.run_inside(lambda: fresh.learnt(unseen)))
        Containers(lab.folder)
        lab.folder.read(inside.BASELINES, Baselines)


def wait_for(lab: Lab, progress: Progress | None = None) -> list[Late]:
    """Wait until a lab's daemons and containers are ready; returns those that are late."""
    if not awaited(lab.plan):
        return []
    return lab.run_inside(lambda: inside.wait_until_ready(lab.folder, lab.plan), progress)


def _remake(
    folder: LabFolder,
    wanted: Design,
    progress: Progress | None,
    rebuild: str | None,
    share: Share | None,
) -> Lab:
    """Make a running lab equal to another plan, or to its own, touching only what differs.

    The namespace of the target `rebuild` is made anew.
    """
    before = Lab(folder)
    if before.plan.topology != wanted.topology:
        raise LabUnavailable(
            f"The lab '{folder.name}' runs the topology {before.plan.topology}, not "
            f"{wanted.topology}",
            "take it down first or name another with -l",
        )
    anew = [] if rebuild is None else [Lab(folder, wanted).target(rebuild).name]
    return Lab(folder, wanted, before.remake(progress, wanted, anew, share))


def alive(name: str | None, wait: float) -> LabFolder:
    """The folder of the running lab of that name, or of the only one. Raises LabUnavailable."""
    folder = folders.choose(name)
    if folder.state != "running":
        with contextlib.suppress(LabUnavailable), folder.locked(shared=True, wait=wait):
            pass  # now it is, or will not be
    if folder.state == "running":
        return folder
    if folder.elsewhere:
        raise LabUnavailable(
            f"The lab '{folder.name}' is not whole on its machines",
            "`netlab up` it again, or take what there is down with `netlab down`",
        )
    removed, problems = folders.clear_stale()
    if folder.name in removed:
        raise LabUnavailable(
            f"The lab '{folder.name}' is stale: its keeper is gone, and all of the lab with it; "
            "its folder is removed."
        )
    if problems:
        raise problems[0]
    raise LabUnavailable(f"The lab '{folder.name}' is still being made by another command.")
