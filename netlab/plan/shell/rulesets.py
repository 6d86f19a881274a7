"""Rulesets in the words of the programs that load them."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.plan.rulesets import Ipset, IptablesTable, NftTable, Ruleset
from netlab.plan.rulesets.iptables import transaction
from netlab.plan.shell.words import here_document, word


def tools(items: Iterable[Ruleset]) -> list[str]:
    """The programs that loading them takes."""
    return list(dict.fromkeys(command(item).split()[0] for item in items))


def script(namespace: str, item: Ruleset) -> str:
    """The command that loads one of them in a namespace that has none."""
    return here_document(f"ip netns exec {word(namespace)} {command(item)}", lines(item))


def command(item: Ruleset) -> str:
    """The program that reads `lines`."""
    if isinstance(item, NftTable):
        return "nft -f -"
    if isinstance(item, IptablesTable):
        return f"{item.program('restore')} --noflush"
    return "ipset restore"


def lines(item: Ruleset) -> list[str]:
    """What the program reads that loads it."""
    if isinstance(item, NftTable):
        return item.script.splitlines()
    if isinstance(item, IptablesTable):
        return list(transaction(item, None))
    assert isinstance(item, Ipset)
    entries = (f"add {item.name} {entry}" for entry in item.entries)
    return [f"create {item.definition}", *entries]
