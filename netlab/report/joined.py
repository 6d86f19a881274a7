"""What the machines of one lab report of their shares, joined to the report of the lab. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from netlab.plan.machines import STITCH_PORT, Machine, Spread, devices
from netlab.probe.result import Check, Report

_TELL_NOTHING = ("state", "negative")  # kinds whose failure does not mean that a packet was lost

_PAIRS = 3  # of machines, that are named


def join(reports: Mapping[str, Report], spread: Spread) -> Report:
    """The report of a lab, from those of its machines by their names.

    Each check was made by one machine, the one that its source is on; they are in the order in
    which a lab on one machine has them. A machine without a report is a failed check.
    """
    names = [machine.name for machine in spread.machines]
    parts = {name: reports[name] for name in names if name in reports}
    found = [_of_machine(one, name, spread) for name in parts for one in parts[name].checks]
    absent = [_absent(name) for name in names if name not in parts]
    checks = (*absent, *sorted(found, key=lambda check: check.number))
    differs = any(check.kind == "state" and not check.ok for check in checks)
    left_out = [] if differs else [item for part in parts.values() for item in part.not_compared]
    return Report(
        max((part.seconds for part in parts.values()), default=0.0),
        checks,
        {pod: node for part in parts.values() for pod, node in part.places.items()},
        tuple(dict.fromkeys(item for part in parts.values() for item in part.skipped)),
        tuple(dict.fromkeys(left_out)),
        any(part.drifted for part in parts.values()),
        next((part.carrier for part in parts.values()), ""),
        wire_words(spread),
        tuple(_notes(checks, spread)),
        next((part.services for part in parts.values()), ()),
    )


def wire_words(spread: Spread) -> str:
    """What joins the machines, as in `over macvlan devices on eth1`; empty for one machine."""
    if len(spread.machines) == 1:
        return ""
    kind = "macvlan devices" if spread.wire == "macvlan" else "a VXLAN"
    return f"{kind} on {devices(spread.machines)}"


def _of_machine(check: Check, machine: str, spread: Spread) -> Check:
    """A check of the kernel's state says whose, where every machine has such a one."""
    if check.kind != "state" or check.source in spread.placement or check.source == machine:
        return check
    return replace(check, source=f"{check.source} of {machine}")


def _absent(name: str) -> Check:
    expected = "reports what it probed of its share"
    return Check("state", name, "its share of the lab", expected, "no report came", False)


def _notes(checks: Iterable[Check], spread: Spread) -> Iterator[str]:
    """What to switch on where two machines do not hear each other, and all else is well."""
    checks = list(checks)
    names = {machine.name for machine in spread.machines}
    broken = {check.source for check in checks if not check.ok} & names
    arrived = _arrived(checks, spread)
    deaf: list[tuple[Machine, Machine]] = []
    for one, other in combinations(spread.machines, 2):
        pair = frozenset((one.name, other.name))
        apart = arrived.get(pair)
        at_home = [arrived.get(frozenset((name,)), [False]) for name in pair]
        if apart and not any(apart) and all(map(any, at_home)) and not pair & broken:
            deaf.append((one, other))
    if deaf:
        yield _deaf(deaf, spread)


def _arrived(checks: Sequence[Check], spread: Spread) -> dict[frozenset[str], list[bool]]:
    """For the machines that packets were to pass, between two or on one, which checks held."""
    found: dict[frozenset[str], list[bool]] = {}
    for check in checks:
        places = {spread.placement.get(name) for name in (check.source, check.target)}
        known = frozenset(place for place in places if place)
        if check.kind not in _TELL_NOTHING and check.crossed == (len(known) > 1):
            found.setdefault(known, []).append(check.ok)
    return found


def _deaf(pairs: Sequence[tuple[Machine, Machine]], spread: Spread) -> str:
    shown = [f"{one.name} and {other.name}" for one, other in pairs[:_PAIRS]]
    if len(pairs) > _PAIRS:
        shown.append(f"{len(pairs) - _PAIRS} pairs more")
    what = f"Nothing passes between {', '.join(shown)}, though each is well by itself"
    device = pairs[0][0].device
    if spread.wire == "vxlan":
        return f"{what}: let UDP {STITCH_PORT} pass between their addresses on {device}."
    return (
        f"{what}: allow promiscuous mode and foreign MAC addresses on the hypervisor's network of "
        f"{device} (VirtualBox: modifyvm --nicpromisc2 allow-all), or use one on which the "
        "machines are only routed to each other, which a VXLAN then joins."
    )
