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

from pathlib import Path
from typing import Any

from netlab.errors import BadInput
from netlab.inside import Applied
from netlab.kernel import lab as folders
from netlab.kernel.enter import Completed
from netlab.kernel.processes.waiting import Late
from netlab.making import alive, build, design_here, room_for
from netlab.running import Lab, Progress, Target
from netlab.status import Status
from netlab.topology.model import Cluster

__all__ = [
    "Applied",
    "Completed",
    "Lab",
    "Late",
    "Status",
    "Target",
    "build",
    "lab",
    "labs",
    "up",
]


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
    if inventory is not None:
        from netlab.hosts import building

        machines = building.Wanted(
            topology, options, str(inventory), underlay_device, force, name, rebuild, wait
        )
        return building.build(machines, progress)
    if underlay_device is not None:
        raise BadInput("`underlay_device` has no effect without `inventory`", "leave it out")
    wanted = design_here(topology, options, force=force, fits=room_for(name))
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
    folder = alive(name, wait)
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
