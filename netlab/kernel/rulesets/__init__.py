"""Rulesets of the current namespace: read as the plan's own values, and made equal to them.

A file for each kind: nftables by libnftables in this process, iptables by its restore and save
programs, ip sets and IPVS by netlink.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from netlab.kernel.rulesets import held, ipset, iptables, ipvs, nft
from netlab.kernel.rulesets.canonical import Canonical
from netlab.kernel.rulesets.errors import RulesetError
from netlab.kernel.rulesets.present import look
from netlab.plan.rulesets import AnyRuleset, Ipset, IptablesTable, IpvsTable, NftTable, Ruleset
from netlab.plan.rulesets.iptables import empty
from netlab.plan.types import Plan

__all__ = ["Canonical", "RulesetError", "apply", "observe", "preflight", "prepare"]


def preflight(plan: Plan) -> None:
    """Raise Unmet where a program or library for the plan's rulesets is not installed."""
    items = [item for space in plan.namespaces.values() for item in space.ruleset]
    if any(isinstance(item, NftTable) for item in items):
        nft.require()
    iptables.require(item for item in items if isinstance(item, IptablesTable))


def prepare(planned: Iterable[Ruleset]) -> Canonical:
    """What tells, for one observation, how the planned rulesets are printed."""
    return Canonical(planned)


def observe(wanted: Sequence[Ruleset], canonical: Canonical) -> list[AnyRuleset]:
    """What the current namespace has. What only is printed otherwise than planned is as planned.

    Raises RulesetError for planned rules that cannot be loaded at all.
    """
    there = look()
    planned = {item.key: item for item in wanted}
    found: list[Ruleset] = []
    if there.nft:
        keys = held.keys()
        own = iptables.made_by_iptables([key for key in keys if key not in planned])
        names = {f"{item.family} {item.name}" for item in own}
        found += nft.tables(key for key in keys if key not in names)
        found += own
    for family, tables in there.legacy:
        found += iptables.save("legacy", family, tables)
    if there.ipsets:
        found += ipset.listed()
    if ipvs.loaded() and ipvs.there():
        found.append(ipvs.listed())
    spelled = [
        canonical.spelled(want, item) if (want := planned.get(item.key)) else item for item in found
    ]
    order = {key: place for place, key in enumerate(planned)}
    spelled.sort(key=lambda item: order.get(item.key, len(order)))
    shown = [item for item in spelled if item.key in planned or not _is_as_born(item)]
    return cast(list[AnyRuleset], shown)


def _is_as_born(item: Ruleset) -> bool:
    """A legacy table without rules: it cannot be deleted, and is as good as none."""
    if not isinstance(item, IptablesTable) or item.backend != "legacy":
        return False
    return all(chain.idle for chain in item.chains)


def apply(
    missing: Sequence[Ruleset],
    changed: Sequence[tuple[Ruleset, Ruleset]],
    unexpected: Sequence[Ruleset],
) -> int:
    """Make good what differs (`changed` are wanted and present ones); returns the writes.

    Raises RulesetError. Sets come before the rules that name them, and go after them.
    """
    gone = [item.key for item in unexpected if isinstance(item, NftTable)]
    gone += [
        f"{item.family} {item.name}"
        for item in unexpected
        if isinstance(item, IptablesTable) and item.backend == "nft"
    ]
    tables = [item for item in missing if isinstance(item, NftTable)]
    pairs = [(w, h) for w, h in changed if isinstance(w, NftTable) and isinstance(h, NftTable)]
    if gone or tables or pairs:
        nft.apply(tables, pairs, gone)
    ipset.apply(
        [item for item in missing if isinstance(item, Ipset)],
        [(w, h) for w, h in changed if isinstance(w, Ipset) and isinstance(h, Ipset)],
    )
    iptables.apply(_iptables(missing, changed, unexpected))
    ipvs.apply(
        [item for item in missing if isinstance(item, IpvsTable)],
        [(w, h) for w, h in changed if isinstance(w, IpvsTable) and isinstance(h, IpvsTable)],
        [item for item in unexpected if isinstance(item, IpvsTable)],
    )
    ipset.destroy(item.name for item in unexpected if isinstance(item, Ipset))
    return len(missing) + len(changed) + len(unexpected)


def _iptables(
    missing: Iterable[Ruleset],
    changed: Iterable[tuple[Ruleset, Ruleset]],
    unexpected: Iterable[Ruleset],
) -> list[tuple[IptablesTable, IptablesTable | None]]:
    """Each table of iptables to change, with what is there; one too many is emptied."""
    result: list[tuple[IptablesTable, IptablesTable | None]] = [
        (item, None) for item in missing if isinstance(item, IptablesTable)
    ]
    for want, have in changed:
        if isinstance(want, IptablesTable) and isinstance(have, IptablesTable):
            result.append((want, have))
    result += [
        (empty(item), item)
        for item in unexpected
        if isinstance(item, IptablesTable) and item.backend == "legacy"
    ]
    return result
