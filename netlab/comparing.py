"""`netlab compare`: each dataplane in throwaway labs, on one segment and on two subnets, measured.

A lab has two nodes with a pod each, and two pods more that plain routes join: the same steps
without a dataplane, for the ratios. At last a third node joins.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netlab import inside
from netlab.dataplane import guarded, lookup, make, registry
from netlab.designing import design
from netlab.errors import BadInput, NetlabError, Unmet, unknown
from netlab.kernel import capabilities, sandbox
from netlab.kernel import lab as folders
from netlab.making import throwaway, wait_for
from netlab.plan.plain import PlainPods, add_plain_pods
from netlab.plan.probing.lab import Lab as ProbedLab
from netlab.probe.measures.cells import (
    UNDERLAYS,
    Cell,
    Comparison,
    Row,
    Underlay,
    row_id,
    unmeasured,
)
from netlab.probe.measures.joining import joins
from netlab.running import Lab, Progress
from netlab.state import Design
from netlab.topology.model import Cluster, Node

if TYPE_CHECKING:
    from netlab.plan.dataplane import Dataplane

ROUNDS = 5
_MORE_THAN_24_HOLDS = 256
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One row to be: a dataplane on an underlay; or why it cannot be built here."""

    name: str
    underlay: Underlay
    dataplane: Dataplane | None
    unable: str = ""

    def design(self, nodes: int) -> tuple[Design, PlainPods]:
        """So many nodes with a pod each, and two plain pods; built whatever the dataplane says."""
        wanted = design(self._cluster(nodes), {}, force=True)
        return wanted, add_plain_pods(wanted.plan, wanted.layout)

    def refusal(self) -> str:
        """Why the dataplane says that it cannot work there; empty where it does not."""
        try:
            design(self._cluster(2), {})
        except BadInput as error:
            return error.what
        return ""

    def _cluster(self, nodes: int) -> Cluster:
        assert self.dataplane is not None
        return Cluster(
            nodes=nodes,
            pods_per_node=1,
            containers=0,
            external=False,
            underlay=UNDERLAYS[self.underlay],
            dataplane=self.dataplane,
        )


def compare(
    names: Sequence[str] = (), *, rounds: int = ROUNDS, progress: Progress | None = None
) -> Comparison:
    """Measure dataplanes, all that there are if none is named.

    Of those not named, what this host cannot run is a row that says why. Raises BadInput for
    a name that is unknown, and Unmet for a dataplane that is named and cannot run here.
    """
    began = time.monotonic()
    for name in names:
        if lookup(name) is None:
            raise unknown("dataplane", name, registry())
    capabilities.require([capabilities.SANDBOX], "`netlab compare`")
    chosen = dict.fromkeys(names or sorted(registry()))
    wanted = [one for name in chosen for one in _wanted(name, bool(names))]
    folders.clear_stale()
    _load()
    rows = []
    for number, one in enumerate(wanted, 1):
        say = _teller(progress, f"{one.name}, {one.underlay} ({number} of {len(wanted)})")
        rows.append(_row(one, rounds, say))
    general = _general(_teller(progress, "addresses"))
    return Comparison(
        kernel=platform.release(),
        processors=len(os.sched_getaffinity(0)),
        rounds=rounds,
        seconds=round(time.monotonic() - began, 3),
        rows=tuple(rows),
        general=tuple(general),
    )


def _load() -> None:
    """Load once what the work takes that is done in processes forked from this one."""
    import netlab.kernel.apply
    import netlab.probe.engines.decode
    import netlab.probe.measures.costs
    import netlab.probe.measures.crossing

    netlab.probe.engines.decode.decode(bytes(64))


def _teller(progress: Progress | None, about: str) -> Say:
    def say(words: str) -> None:
        if progress:
            progress(f"{about}: {words}", 0, 0)

    return say


def _wanted(name: str, named: bool) -> Iterator[_Wanted]:
    """Its rows. Raises Unmet or BadInput for one that is named and cannot be built here."""
    dataplane, unable = None, ""
    try:
        dataplane = make(name)
        if dataplane.spares:
            dataplane = dataplane.without(capabilities.missing(dataplane.spares))
        _require(_Wanted(name, "one-segment", dataplane))
    except TypeError as error:
        unable = f"it has options without a default ({error})"
    except (BadInput, Unmet) as error:
        if named:
            raise
        unable = str(error).rstrip(".")
    if named and unable:
        raise BadInput(f"The dataplane {name} cannot be compared: {unable}.")
    for underlay in UNDERLAYS:
        yield _Wanted(name, underlay, dataplane, unable)


def _require(one: _Wanted) -> None:
    """Raise Unmet for what this host has not that a dataplane takes."""
    from netlab.kernel.processes import preflight

    assert one.dataplane is not None
    plan = guarded(one.dataplane, lambda: one.design(2))[0].plan
    capabilities.require(plan.requires, f"The dataplane {one.name}")
    preflight(plan)


def _row(one: _Wanted, rounds: int, say: Say) -> Row:
    if one.unable or one.dataplane is None:
        return Row(one.name, one.underlay, unable=one.unable)
    say("building")
    refusal = guarded(one.dataplane, one.refusal)
    wanted, plain = guarded(one.dataplane, lambda: one.design(2))
    row = row_id(one.name, one.underlay)
    with throwaway(wanted, _lab_name()) as lab:
        cells = sandbox.run_inside(lab.keeper, lambda: _cells(row, lab, plain, rounds), relay=say)
        say("a node joins")
        cells.append(_joined(row, one, lab) if cells[0].value else _not_joined(row))
    return Row(one.name, one.underlay, refusal=refusal, cells=tuple(cells))


def _lab_name() -> str:
    return f"compare-{os.getpid()}"


def _cells(row: str, lab: Lab, plain: PlainPods, rounds: int) -> list[Cell]:
    """In the sandbox: all cells of a row but that of the node that joins."""
    from netlab.kernel.answers import tell
    from netlab.probe.engines.sockets import await_closing
    from netlab.probe.engines.traffic import Path
    from netlab.probe.measures import costs, crossing

    asked = ProbedLab(lab.layout, lab.dataplane, lab.plan)
    tell("who reaches whom, and how")
    found = crossing.works(row, asked)
    if not found.value:
        names = (*crossing.OF_WIRE, "mtu", *costs.NAMES)
        return [
            found,
            *(unmeasured(f"{row}/{name}", "pods do not reach each other") for name in names),
        ]
    source, target = lab.layout.pods[:2]
    pods = Path(source.name, target.name, str(target.address))
    cells = [found, *crossing.on_the_wire(row, asked), crossing.path_mtu(row, asked)]
    cells += costs.costs(row, pods, Path(*plain), rounds, inside.daemon_names(lab.folder), tell)
    await_closing()
    return cells


def _joined(row: str, one: _Wanted, lab: Lab) -> Cell:
    """Build a third node into the lab, and count what that changed on the two that were there."""
    assert one.dataplane is not None
    names = [node.name for node in lab.layout.nodes]
    before = lab.run_inside(lambda: inside.observed(lab.folder, lab.plan, names))
    more, _ = guarded(one.dataplane, lambda: one.design(3))
    lab.remake(None, more)
    larger = Lab(lab.folder, more)
    wait_for(larger)
    reached = larger.run_inside(lambda: _reached(larger))
    after = larger.run_inside(lambda: inside.observed(lab.folder, more.plan, names))
    return joins(row, before, after, reached)


def _reached(lab: Lab) -> str:
    """In the sandbox: what came of asking the last node's pod from the first one's."""
    from netlab.plan.probing.actions import Echo
    from netlab.probe.engines.icmp import send_echoes

    first, last = lab.layout.pods[0], lab.layout.pods[-1]
    reply = send_echoes([Echo(first.name, str(last.address))])[0]
    return f"{first.name} > {last.name}: {reply.error or 'echo reply'}"


def _not_joined(row: str) -> Cell:
    return unmeasured(f"{row}/node-joins", "pods do not reach each other")


def _general(say: Say) -> list[Cell]:
    """What is measured of no one dataplane: a node that is full, and pods where no Service is."""
    full, refusal = _full_node()
    say("a node with as many pods as its /24 takes")
    with throwaway(full, _lab_name()) as lab:
        return lab.run_inside(lambda: _general_cells(lab, refusal))


def _full_node() -> tuple[Design, str]:
    """A cluster whose first node has as many pods as are taken, and why one more is refused."""
    refusal = ""
    for pods in range(_MORE_THAN_24_HOLDS, 0, -1):
        cluster = Cluster(
            nodes=[Node(pods=pods), Node(pods=1)],
            containers=0,
            external=False,
            node_mask=24,
            dataplane="flannel-host-gw",
        )
        try:
            return design(cluster, {}), refusal
        except BadInput as error:
            refusal = error.what
    raise NetlabError(f"No node takes a pod: {refusal}")


def _general_cells(lab: Lab, refusal: str) -> list[Cell]:
    """In the sandbox."""
    from netlab.probe.measures.general import full_node, without_service

    asked = ProbedLab(lab.layout, lab.dataplane, lab.plan)
    found = inside.observed(lab.folder, lab.plan, list(lab.plan.namespaces))
    return [full_node(asked, refusal), without_service(asked, found)]
