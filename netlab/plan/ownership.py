"""Whose an object is that the plan does not name: what a daemon of the namespace says it owns."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.plan.links import Link
from netlab.plan.processes import Daemon, Owner
from netlab.plan.routing import Route, Rule
from netlab.plan.types import Object


def owner_of(item: Object, daemons: Iterable[Daemon]) -> str | None:
    """The name of the daemon that owns an object; None for nobody's."""
    return next(
        (
            daemon.name
            for daemon in daemons
            if owns(daemon.owns, item) or any(brought(way, item) for way in daemon.brings)
        ),
        None,
    )


def brought(way: Route, item: Object) -> bool:
    """Whether an object is the route that a daemon must bring: metric and protocol are its own."""
    return isinstance(item, Route) and (
        (way.destination, way.type, way.next_hops) == (item.destination, item.type, item.next_hops)
    )


def owns(owner: Owner, item: Object) -> bool:
    """Whether the object is among what an owner writes by itself."""
    if isinstance(item, Route):
        return (
            item.protocol in owner.protocols
            or item.table in owner.tables
            or any(hop.link in owner.devices for hop in item.next_hops)
        )
    if isinstance(item, Rule):
        return item.table in owner.tables
    if isinstance(item, Link):
        return item.name in owner.devices
    return getattr(item, "link", None) in owner.devices
