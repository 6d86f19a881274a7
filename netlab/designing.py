"""From a topology, as a user names it, to the design of a lab: nothing here touches the kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from netlab.errors import BadInput, unknown
from netlab.loading import Loaded, guarded, load_read, load_topology, loaded
from netlab.plan import spreading
from netlab.plan.compile import compile_plan, flaws
from netlab.plan.dataplane import Dataplane
from netlab.plan.machines import Machine, Spread
from netlab.state import Design
from netlab.topology.fields import cluster_options, with_fields
from netlab.topology.kubectl import Read
from netlab.topology.layout import lay_out
from netlab.topology.model import Cluster
from netlab.topology.resolved import Layout, ServiceSpec

_NO_TEXT = ("services",)  # fields of a Cluster that only a program can give

Topology = str | Path | Cluster | Read


Fits = Callable[[str, Layout], None]


def design(
    topology: Topology,
    options: Mapping[str, Any],
    *,
    force: bool = False,
    fits: Fits | None = None,
) -> Design:
    """Load, lay out and compile a topology: a name, a file, a Cluster, or what was read of one that
    is there. Raises BadInput.

    `options` are those of `--set`, with values of any type; `force` is for what the dataplane
    refuses, and for CIDRs that overlap. `fits` is called with the name and the layout before the
    plan is made, and raises for what there is no room for.
    """
    if isinstance(topology, Cluster):
        found = _changed(topology, options)
    else:
        given = {key: value for key, value in options.items() if value is not None}
        values = {key: value for key, value in given.items() if key in _NO_TEXT}
        texts = {key: _text(value) for key, value in given.items() if key not in _NO_TEXT}
        if isinstance(topology, Read):
            found = load_read(topology, texts)
        else:
            name = topology if isinstance(topology, str) else str(topology.absolute())
            found = load_topology(name, settings=texts)
        if values:
            found = loaded(found.name, with_fields(found.name, found.cluster, values))

    def work() -> Design:
        layout = lay_out(found.cluster, found.dataplane.allocator(), force=force)
        if fits:
            fits(found.name, layout)
        plan = compile_plan(found.name, layout, found.dataplane, found.proxy, force=force)
        return Design(layout, found.dataplane, plan, found.proxy)

    return guarded(found.dataplane, found.proxy, work)


def without(wanted: Design, lacking: Collection[str], *, force: bool = False) -> Design:
    """The same cluster by its dataplane's form for a kernel that lacks these features."""
    own = wanted.dataplane
    dataplane = guarded(own, None, lambda: own.without(lacking))
    return _carried_by(wanted, dataplane, force)


def _carried_by(wanted: Design, dataplane: Dataplane, force: bool) -> Design:
    if dataplane == wanted.dataplane:
        return wanted

    def work() -> Design:
        plan = compile_plan(wanted.topology, wanted.layout, dataplane, wanted.proxy, force=force)
        return dataclasses.replace(wanted, dataplane=dataplane, plan=plan)

    return guarded(dataplane, wanted.proxy, work)


def with_services(wanted: Design, services: tuple[ServiceSpec, ...]) -> Design:
    """The same lab with other Services. Raises BadInput for what its parts refuse of them.

    What they refused of it before, it was forced to be.
    """

    def work() -> Design:
        layout = dataclasses.replace(wanted.layout, services=services)
        parts = wanted.dataplane, wanted.proxy
        before = set(flaws(wanted.layout, *parts))
        if reason := next((one for one in flaws(layout, *parts) if one not in before), None):
            raise BadInput(reason)
        plan = compile_plan(wanted.topology, layout, *parts, force=True)
        return dataclasses.replace(wanted, layout=layout, plan=plan)

    return guarded(wanted.dataplane, wanted.proxy, work)


def spread_design(
    topology: Topology,
    options: Mapping[str, Any],
    machines: Sequence[Machine],
    *,
    shares_segment: bool,
    lab: str | None = None,
    force: bool = False,
    plain: Design | None = None,
) -> tuple[Design, Spread]:
    """As `design`, for a lab on several machines: its plan is the whole, with uplinks as they are
    there. Raises BadInput also for what cannot be spread so.

    The underlay's MTU is what the wire between the machines carries, unless that is said to be more
    than it does. `plain` is what `design` made of the same, if it was asked.
    """
    wanted = plain or design(topology, options, force=force)
    wire, why = spreading.choose_wire(wanted.layout, machines, shares_segment)
    mtus = spreading.underlay_mtus(wanted.layout, machines, wire)
    subnets = wanted.layout.subnets
    if less := [mtu for mtu, subnet in zip(mtus, subnets, strict=True) if mtu != subnet.mtu]:
        if "underlay_mtu" in options:
            narrow = min(machines, key=lambda machine: machine.mtu)
            raise BadInput(
                f"The underlay's MTU is to be {options['underlay_mtu']}, and what joins the "
                f"machines ({wire} over {narrow.device}) carries {less[0]} bytes",
                f"leave it out, or set underlay_mtu={less[0]}",
            )
        dataplane = wanted.dataplane
        wanted = design(topology, {**options, "underlay_mtu": mtus}, force=force)
        if dataplane.spares:
            wanted = _carried_by(wanted, dataplane, force)
    plan, how = spreading.spread(wanted.plan, wanted.layout, machines, wire, why, lab)
    return dataclasses.replace(wanted, plan=plan), how


def _changed(cluster: Cluster, options: Mapping[str, Any]) -> Loaded:
    for key in options:
        if key not in cluster_options():
            raise unknown("option", key, cluster_options())
    changed = with_fields("given", cluster, options)
    found = loaded("", changed)
    return dataclasses.replace(found, name=found.dataplane.name)


def _text(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)
