"""Rulesets as text for the tools that load them, for `netlab plan --sh`."""

from __future__ import annotations

from netlab.plan.rulesets.base import Ruleset
from netlab.plan.rulesets.ipset import Ipset
from netlab.plan.rulesets.iptables import IptablesTable, transaction
from netlab.plan.rulesets.nft import NftTable


def command(ruleset: Ruleset) -> str:
    """The command that reads `text` on its standard input."""
    if isinstance(ruleset, NftTable):
        return "nft -f -"
    if isinstance(ruleset, Ipset):
        return "ipset restore"
    if isinstance(ruleset, IptablesTable):
        tool = "iptables" if ruleset.family == "ip" else "ip6tables"
        return f"{tool}-{ruleset.backend}-restore --noflush"
    raise TypeError(f"There is no command for {ruleset}.")


def text(ruleset: Ruleset) -> str:
    """What the tool reads to make the ruleset in a namespace that has none."""
    if isinstance(ruleset, NftTable):
        return ruleset.script
    if isinstance(ruleset, Ipset):
        adds = (f"add {ruleset.name} {entry}" for entry in ruleset.entries)
        return "\n".join([f"create {ruleset.definition}", *adds, ""])
    if isinstance(ruleset, IptablesTable):
        return "\n".join([*transaction(ruleset, None), ""])
    raise TypeError(f"There is no text for {ruleset}.")
