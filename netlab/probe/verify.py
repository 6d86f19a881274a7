"""Ask the kernel whether a lab does what its topology promises, with real packets.

Every scenario that fits the lab says what it wants to be done and to see; all of it is done in one
batch for each engine (a few, in a large lab), and what does not come is waited for once per batch,
not once per probe.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Diff
from netlab.plan.machines import Spread
from netlab.plan.probing.check import Check, Kind
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.plan.probing.service_paths import behind
from netlab.plan.proxy import Proxy
from netlab.plan.types import Plan
from netlab.probe.engines.inspect import ContainerNamespaces
from netlab.probe.engines.link import link_check
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import await_closing
from netlab.probe.mesh import mesh, too_many
from netlab.probe.result import Report
from netlab.probe.runner import Ask, Progress, Runner, nobody
from netlab.probe.scenarios import registry
from netlab.probe.state import Compared, state
from netlab.topology.resolved import Layout

Drift = Callable[[bool], Diff]
_LAST = 1 << 30  # the place of what comes after all other checks


def verify(
    layout: Layout,
    dataplane: Dataplane,
    plan: Plan,
    *,
    proxy: Proxy | None = None,
    containers: ContainerNamespaces,
    drift: Drift | None = None,
    sample: Sample | None = None,
    progress: Progress | None = None,
    spread: Spread | None = None,
    machine: str = "",
    ask: Ask = nobody,
    within: float = math.inf,
) -> Report:
    """Probe every expectation. Never raises for what the lab lacks: that is a failed check.

    Where the lab is spread over machines, `plan` is the whole of it, and what is asked is what can
    be asked from this `machine`; those of all joined ask everything once.

    `containers` has, for each (pod, container) that runs, the inodes of its `net`, `pid`, `mnt`
    and `uts` namespaces. `drift` compares the kernel with the plan, all settings of pods too where
    it is told so: that is if checks fail while nothing else differs; what it says without may have
    been looked at since the start. `ask` runs a command that asks a daemon. `progress` is told, in
    a few words, what is probed next. After `within` seconds no other kind of packet is begun with:
    what is not asked for that is among the `skipped`.
    """
    began = time.monotonic()
    tell = progress or (lambda words: None)
    sample = sample or Sample()
    whole = too_many(layout, sample)
    lab = Lab(layout, dataplane, plan, spread, machine, proxy)
    neighbours = Neighbours(lab, tell)
    probes, skipped = questions(lab, dataplane, sample)
    own = {number: one for number, one in enumerate(probes, 1) if _is_ours(lab, one)}
    runner = Runner(lab, neighbours, containers, tell, ask, began + within)
    checks = runner.run(list(own.values()))
    compared = _compare(drift, tell, all_settings=False)
    if whole:
        tell("all pairs of pods")
        checks += mesh(lab, neighbours)
    if spread:
        checks = [link_check(lab), *_numbered(lab, checks, [*own])]
    await_closing()
    unexplained = compared.equal and not all(check.ok for check in checks)
    if unexplained:
        compared = _compare(drift, tell, all_settings=True)
    return Report(
        time.monotonic() - began,
        (*compared.checks, *checks),
        {pod.name: pod.node for pod in layout.pods},
        (*skipped, *_out_of_time(runner.unasked, within)),
        compared.left_out if unexplained and compared.equal else (),
        drifted=unexplained and not compared.equal,
        carrier=dataplane.carrier(),
        services=tuple(behind(layout.services)),
    )


def questions(
    lab: Lab, dataplane: Dataplane, sample: Sample
) -> tuple[list[Probe[Any]], tuple[tuple[Kind, str], ...]]:
    """All that is asked of a lab, wherever from; and the kinds that are not, each with the reason.

    On every machine of a lab the same ones in the same order. What `mesh` asks is not among them.
    """
    sample = Sample() if too_many(lab.layout, sample) else sample
    fitting: list[Scenario] = []
    skipped: list[tuple[Kind, str]] = []
    for scenario in (*registry(), *dataplane.scenarios(lab.layout)):
        reason = scenario.applies(lab)
        if reason is None:
            fitting.append(scenario)
        else:
            skipped.append((scenario.kind, reason))
    probes = [probe for scenario in fitting for probe in scenario.probes(lab, sample)]
    return probes, tuple(skipped)


def _out_of_time(unasked: Sequence[Probe[Any]], within: float) -> Iterator[tuple[Kind, str]]:
    for kind, number in Counter(probe.kind for probe in unasked).items():
        yield kind, f"{number} checks were not made: the {within:g} seconds for them were over"


def _is_ours(lab: Lab, probe: Probe[Any]) -> bool:
    return all(lab.here(place) for place in probe.action.places)


def _numbered(lab: Lab, checks: Sequence[Check], numbers: Sequence[int]) -> list[Check]:
    """Checks that know whether they crossed machines, and their places; a mesh's come last.

    Of a packet that must not arrive nobody promises how far it goes.
    """
    places = [*numbers, *[_LAST] * (len(checks) - len(numbers))]
    return [
        replace(check, crossed=_crossed(lab, check), number=number)
        for check, number in zip(checks, places, strict=True)
    ]


def _crossed(lab: Lab, check: Check) -> bool:
    if check.kind == "negative":
        return False
    targets = behind(lab.layout.services).get(check.target, (check.target,))
    return any(lab.crosses(check.source, target) for target in targets)


def _compare(drift: Drift | None, tell: Progress, *, all_settings: bool) -> Compared:
    if drift is None:
        return Compared([], ())
    tell("kernel against plan")
    return state(lambda: drift(all_settings))
