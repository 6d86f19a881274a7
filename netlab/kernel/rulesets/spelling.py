"""What was observed in the plan's own words: a rule or element that only is printed otherwise than
it was planned becomes the planned one, so that equality is `==`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from netlab.plan.rulesets import Chain, Ipset, IptablesTable, IpvsTable, NftTable, Ruleset
from netlab.plan.rulesets.nft import Elements


def respelled(want: Ruleset, printed: Ruleset, have: Ruleset) -> Ruleset:
    """`have` as the plan spells it; `printed` is `want` as its tool prints it.

    What rules and programs put into a set that learns is left out.
    """
    if isinstance(want, NftTable):
        return _nft(want, printed, have)
    if isinstance(want, IptablesTable):
        return _iptables(want, printed, have)
    if isinstance(want, IpvsTable):
        return _ipvs(want, have)
    return _ipset(want, printed, have)


def _nft(want: Any, printed: Any, have: Any) -> Ruleset:
    fields = {
        name: _pieces(getattr(want, name), getattr(printed, name), getattr(have, name))
        for name in ("objects", "sets", "maps", "chains")
    }
    for name in ("comment", "flags"):
        same = getattr(have, name) == getattr(printed, name)
        fields[name] = getattr(want if same else have, name)
    result: NftTable = replace(have, **fields)
    return result


def _pieces(want: Iterable[Any], printed: Iterable[Any], have: Iterable[Any]) -> tuple[Any, ...]:
    """The pieces in the plan's order; those that are not planned come last."""
    planned = {item.id: item for item in want}
    loaded = {item.id: item for item in printed}
    order = {name: place for place, name in enumerate(planned)}
    found = [
        _piece(planned[item.id], loaded[item.id], item) if item.id in planned else item
        for item in have
    ]
    return tuple(sorted(found, key=lambda item: order.get(item.id, len(order))))


def _piece(want: Any, printed: Any, have: Any) -> Any:
    if isinstance(have, Chain):
        base = want if have.definition == printed.definition else have
        return replace(base, rules=_rules(want.rules, printed.rules, have.rules))
    if isinstance(have, Elements):
        base = want if have.header == printed.header else have
        expires = "timeout" in have.flags
        return base.holding(
            _members(want.texts, printed.texts, have.texts, learns=have.learns, expires=expires)
        )
    return want if have == printed else have


def _iptables(want: Any, printed: Any, have: Any) -> Ruleset:
    planned, loaded = want.by_name, printed.by_name
    order = {name: place for place, name in enumerate(planned)}
    found = []
    for name, chain in have.whole.items():
        if name in planned:
            rules = _rules(planned[name].rules, loaded[name].rules, chain.rules)
            found.append(replace(chain, rules=rules))
        elif not chain.idle:
            found.append(chain)
    found.sort(key=lambda chain: order.get(chain.name, len(order)))
    result: IptablesTable = replace(have, chains=tuple(found))
    return result


def _ipset(want: Any, printed: Any, have: Any) -> Ruleset:
    base: Ipset = want if have.definition == printed.definition else have
    expires = have.timeout is not None
    entries = _members(want.entries, printed.entries, have.entries, learns=expires, expires=expires)
    return replace(base, entries=tuple(entries))


def _ipvs(want: Any, have: Any) -> Ruleset:
    """In the plan's order: the kernel's is that of a hash."""
    planned = want.by_key
    servers = []
    for server in have.servers:
        real = planned[server.key].real if server.key in planned else ()
        servers.append(replace(server, real=_ordered(real, server.real)))
    result: IpvsTable = replace(have, servers=_ordered(want.servers, servers))
    return result


def _ordered(want: Sequence[Any], have: Sequence[Any]) -> tuple[Any, ...]:
    order = {item.key: place for place, item in enumerate(want)}
    return tuple(sorted(have, key=lambda item: order.get(item.key, len(order))))


def _spelling(want: Sequence[str], printed: Sequence[str]) -> dict[str, str]:
    """Each line as it is printed, with the planned one; none where they are not one for one."""
    return dict(zip(printed, want, strict=True)) if len(printed) == len(want) else {}


def _rules(want: Sequence[str], printed: Sequence[str], have: Sequence[str]) -> tuple[str, ...]:
    if have == printed:
        return tuple(want)
    spelling = _spelling(want, printed)
    return tuple(spelling.get(rule, rule) for rule in have)


def _members(
    want: Sequence[str],
    printed: Sequence[str],
    have: Sequence[str],
    *,
    learns: bool,
    expires: bool,
) -> list[str]:
    """The elements of a set, in the plan's order; those that are not planned come last."""
    if expires or set(have) == set(printed):
        return list(want)
    spelling = _spelling(want, printed)
    present = dict.fromkeys(spelling.get(text, text) for text in have)
    planned = set(want)
    others = [] if learns else [text for text in present if text not in planned]
    return [text for text in want if text in present] + others
