"""What is there, in the plan's words: as it is printed where that is as planned, else as its tool
prints what was planned, which is found out in scratch namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from netlab.kernel.namespaces import scratch
from netlab.kernel.rulesets import ipset, iptables, nft
from netlab.kernel.rulesets.errors import RulesetError
from netlab.kernel.rulesets.spelling import respelled
from netlab.plan.rulesets import Ipset, IptablesTable, NftTable, Ruleset


class Canonical:
    """How planned rulesets are printed by their tools, for one observation.

    Most are printed as they are planned, and only what is not is tried, each rule of iptables once.
    Raises RulesetError for an ip set's entry that is none.
    """

    def __init__(self, planned: Iterable[Ruleset]) -> None:
        self._sets = {item: ipset.printed(item) for item in planned if isinstance(item, Ipset)}
        self._rules: dict[tuple[str, str], str] = {}  # as printed, by table and rule

    def spelled(self, want: Ruleset, have: Ruleset) -> Ruleset:
        """What is there as the plan spells it. Raises RulesetError for what cannot be loaded."""
        plain = respelled(want, want, have)
        if plain == want:
            return plain
        try:
            return respelled(want, self._printed(want, plain), have)
        except RulesetError as error:
            raise RulesetError(f"The plan's rules cannot be loaded: {error}.") from error

    def _printed(self, want: Ruleset, have: Ruleset) -> Ruleset:
        if isinstance(want, NftTable) and isinstance(have, NftTable):
            return _nft(want, have)
        if isinstance(want, IptablesTable) and isinstance(have, IptablesTable):
            return self._iptables(want, have)
        assert isinstance(want, Ipset)
        return self._sets[want]

    def _iptables(self, want: IptablesTable, have: IptablesTable) -> IptablesTable:
        """How iptables-save prints a table. Only rules that are not there as planned are tried, of
        chains in which there are others.
        """
        tried = dict.fromkeys(_differing(want, have))
        new = [rule for rule in tried if (want.key, rule) not in self._rules]
        if new:
            with scratch():
                ipset.create({item.name: item for item in self._sets}.values())  # rules name them
                printed = iptables.printed(want, new)
            self._rules |= {(want.key, rule): text for rule, text in printed.items()}
        chains = (
            replace(
                chain,
                rules=tuple(
                    self._rules[want.key, rule] if rule in tried else rule for rule in chain.rules
                ),
            )
            for chain in want.chains
        )
        return replace(want, chains=tuple(chains))


def _differing(want: IptablesTable, have: IptablesTable) -> Iterator[str]:
    """The rules that may be there in other words."""
    present = have.by_name
    for chain in want.chains:
        if chain.name in present and set(rules := present[chain.name].rules) - set(chain.rules):
            yield from (rule for rule in chain.rules if rule not in rules)


def _nft(want: NftTable, have: NftTable) -> NftTable:
    """How nft prints a table. Only what differs from what is there needs its rules and elements to
    be loaded, unless a definition differs, as that of a set may follow from rules.
    """
    present = have.pieces
    differing = {
        key: piece for key, piece in want.pieces.items() if key in present and present[key] != piece
    }
    if any(present[key].definition != piece.definition for key, piece in differing.items()):
        return _loaded(want)
    tried = _loaded(
        replace(
            want,
            sets=tuple(i if i.id in differing else i.holding(()) for i in want.sets),
            maps=tuple(i if i.id in differing else i.holding(()) for i in want.maps),
            chains=tuple(c if c.id in differing else replace(c, rules=()) for c in want.chains),
        )
    )
    planned = want.pieces
    return replace(
        tried,
        sets=tuple(i if i.id in differing else planned[i.id] for i in tried.sets),
        maps=tuple(i if i.id in differing else planned[i.id] for i in tried.maps),
        chains=tuple(c if c.id in differing else planned[c.id] for c in tried.chains),
    )


def _loaded(table: NftTable) -> NftTable:
    with scratch():
        return nft.printed(table)
