"""What a Python program calls: building labs, asking them, running commands in them.

>>> import netlab
>>> lab = netlab.up("flannel-vxlan", nodes=1, pods_per_node=1, containers=1)
>>> lab.status().health.ok
True
>>> lab.diff().ok
True
>>> netlab.lab("flannel-vxlan").node("node-1").run("cat", "/proc/sys/net/ipv4/ip_forward").stdout
'1\\n'
>>> lab.down()
>>> netlab.labs()
[]

Work on a lab is done in a process that is forked from the caller into the lab's sandbox; only what
it returns, and what it tells a `progress`, comes back. Threads may work on labs at once. Not
supported, as with any fork of a program with threads: another thread that at that moment holds a
lock which the work needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlab import inside
from netlab.errors import BadInput, LabUnavailable, shown
from netlab.inside import Applied
from netlab.kernel import lab as folders
from netlab.kernel import sandbox
from netlab.kernel.enter import Completed
from netlab.kernel.lab import LabFolder
from netlab.kernel.processes.waiting import Late, awaited
from netlab.running import Lab, Progress, Target, store
from netlab.state import Design, Share
from netlab.status import Status
from netlab.topology.model import Cluster

__all__ = ["Applied", "Completed", "Lab", "Late", "Status", "Target", "lab", "labs", "up"]


def up(
    topology: str | Path | Cluster,
    *,
    name: str | None = None,
    force: bool = False,
    rebuild: str | None = None,
    wait: float = 0,
    progress: Progress | None = None,
    inventory: str | Path | None = None,
    underlay_device: str | None = None,
    **options: Any,
) -> Lab:
    """Build a lab, or make a running one of that name equal to the topology.

    `topology` is a name, the path of a file, or a Cluster. `options` are what `--set` takes, with
    `nodes` and `pods_per_node` among them: the parameters of the topology's function and fields of
    Cluster. `force` builds what the dataplane refuses. `rebuild` is a node, pod or other target of
    the running lab that is made anew, with the ends of its cables and its processes. `name` is the
    lab's, by default the topology's. `progress` is called with words, and how much is done of how
    much (0: unknown). With an Ansible `inventory` (or the word `vagrant`) the lab is built on those
    machines, each by its `underlay_device`.
    Raises BadInput, Unmet where the host lacks something, LabUnavailable where another command is
    at work on that lab for longer than `wait` seconds, or it runs another topology.

    With `with` the lab is taken down at its end, without it stays:

    >>> with netlab.up("flannel-host-gw", nodes=2) as lab:
    ...     lab.pod("pod-1-1").run("ip", "-br", "route", "get", "10.244.1.2").code
    0
    """
    from netlab.designing import design

    if inventory is not None:
        from netlab.hosts import building

        machines = building.Wanted(
            topology, options, str(inventory), underlay_device, force, name, rebuild, wait
        )
        return building.build(machines, progress)
    if underlay_device is not None:
        raise BadInput("`underlay_device` has no effect without `inventory`", "leave it out")
    wanted = design(topology, options, force=force)
    return build(wanted, name, progress, rebuild=rebuild, wait=wait)


def lab(name: str | None = None, *, wait: float = 0) -> Lab:
    """The running lab of that name, or the only one there is.

    Raises LabUnavailable, for one that is being made after `wait` seconds; the folder of a lab
    whose keeper is gone is removed.

    >>> made = netlab.up("flannel-host-gw", name="mine", nodes=1)
    >>> netlab.lab("mine").layout == made.layout
    True
    >>> made.down()
    """
    folder = _alive(name, wait)
    if folder.elsewhere:
        from netlab.hosts.lab import SpreadLab

        return SpreadLab(folder)
    return Lab(folder)


def labs() -> list[str]:
    """The names of all labs of this user, running or not.

    >>> with netlab.up("flannel-host-gw", name="mine", nodes=1):
    ...     netlab.labs()
    ['mine']
    """
    return [folder.name for folder in folders.labs()]


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
    """As `up`, for what `design` made. Nobody else changes the lab until it is verified.

    `built` is called in between. What was found is `Lab.applied`, `Lab.late` and `Lab.report`.
    `share` is what this machine knows of a lab of which `wanted` is only its part.
    """
    # Loaded here, and so once: what follows is done in processes that are forked from this one.
    import netlab.kernel.apply  # noqa: F401
    from netlab.kernel import capabilities
    from netlab.kernel.processes import preflight

    needs = [capabilities.SANDBOX, *wanted.plan.requires]
    capabilities.require(needs, f"The topology {wanted.topology}")
    preflight(wanted.plan)
    folders.clear_stale()
    folder = LabFolder(name or wanted.topology)
    if share is None:
        _refuse_elsewhere(folder, wanted)
    if rebuild is not None and folder.state != "running":
        raise BadInput(
            f"The lab '{folder.name}' does not run, so that --rebuild has no effect on it",
            "leave the option out",
        )
    with folder.locked(create=True, wait=wait):
        if folder.state == "running" or rebuild is not None:
            made = _remake(folder, wanted, progress, rebuild, share)
        else:
            made = _make(folder, wanted, progress, share)
        if built:
            built(made)
        if verify:
            made.report = made.probe(progress)
            if made.report.drifted:  # what only this look saw; now that it is known, it is repaired
                made.remake(progress)
                if built:
                    built(made)
                made.report = made.probe(progress)
        elif awaited(wanted.plan):
            late = made.run_inside(lambda: inside.wait_until_ready(folder, wanted.plan), progress)
            made.late = tuple(late)
    return made


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
        store(folder, fresh.keeper, wanted, share)

        def whole() -> None:
            folder.mark_whole()
            fresh.whole()

        applied = sandbox.run_inside(
            fresh.keeper,
            lambda: inside.build(folder, wanted.plan, whole),
            keep=(fresh.gate,),
            relay=progress,
        )
        return Lab(folder, wanted, applied)
    except BaseException:
        folder.end()
        raise


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


def _alive(name: str | None, wait: float) -> LabFolder:
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
