"""Rulesets as objects: nftables tables, iptables chains, ip sets."""

from __future__ import annotations

from typing import ClassVar

from netlab.plan.links import Value


class Ruleset(Value, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of a ruleset's objects; each type has a file in `netlab/kernel/rulesets/`."""

    what: ClassVar[str] = "ruleset"


class NftTable(Ruleset, frozen=True, kw_only=True):
    """One nftables table, as `nft` syntax without the surrounding `table family name { … }`."""

    what: ClassVar[str] = "table"
    family: str
    name: str
    body: str

    @property
    def key(self) -> str:
        return f"{self.family} {self.name}"

    def __str__(self) -> str:
        return f"nftables table {self.key}"


AnyRuleset = NftTable
