"""Ask the kernel whether a lab does what its topology promises, with real packets.

Every scenario that fits the lab says what it wants to be done and to see; all of it is done in one
batch for each engine (a few, in a large lab), and what does not come is waited for once per batch,
not once per probe.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Diff
from netlab.plan.probing.check import Check
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample
from netlab.plan.types import Plan
from netlab.probe.engines.inspect import ContainerNamespaces
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import await_closing
from netlab.probe.mesh import mesh, too_many
from netlab.probe.result import Report
from netlab.probe.runner import Progress, Runner
from netlab.probe.scenarios import registry
from netlab.probe.state import Compared, state
from netlab.topology.resolved import Layout

Drift = Callable[[bool], Diff]


def verify(
    layout: Layout,
    dataplane: Dataplane,
    plan: Plan,
    *,
    containers: ContainerNamespaces,
    drift: Drift | None = None,
    sample: Sample | None = None,
    progress: Progress | None = None,
) -> Report:
    """Probe every expectation. Never raises for what the lab lacks: that is a failed check.

    `containers` has, for each (pod, container) that runs, the inodes of its `net`, `pid`, `mnt`
    and `uts` namespaces. `drift` compares the kernel with the plan, all settings of pods too where
    it is told so: that is if checks fail while nothing else differs; what it says without may have
    been looked at since the start. `progress` is told, in a few words, what is probed next.
    """
    began = time.monotonic()
    tell = progress or (lambda words: None)
    sample = sample or Sample()
    whole = too_many(layout, sample)
    lab = Lab(layout, dataplane, plan)
    neighbours = Neighbours(lab, tell)
    checks: list[Check] = []
    fitting, skipped = [], []
    for scenario in (*registry(), *dataplane.scenarios(layout)):
        reason = scenario.applies(lab)
        if reason is None:
            fitting.append(scenario)
        else:
            skipped.append((scenario.kind, reason))
    probes = [
        probe
        for scenario in fitting
        for probe in scenario.probes(lab, Sample() if whole else sample)
    ]
    checks += Runner(lab, neighbours, containers, tell).run(probes)
    compared = _compare(drift, tell, all_settings=False)
    if whole:
        tell("all pairs of pods")
        checks += mesh(lab, neighbours)
    await_closing()
    unexplained = compared.equal and not all(check.ok for check in checks)
    if unexplained:
        compared = _compare(drift, tell, all_settings=True)
    return Report(
        time.monotonic() - began,
        (*compared.checks, *checks),
        {pod.name: pod.node for pod in layout.pods},
        tuple(skipped),
        compared.left_out if unexplained and compared.equal else (),
        drifted=unexplained and not compared.equal,
    )


def _compare(drift: Drift | None, tell: Progress, *, all_settings: bool) -> Compared:
    if drift is None:
        return Compared([], ())
    tell("kernel against plan")
    return state(lambda: drift(all_settings))
