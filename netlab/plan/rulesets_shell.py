"""Rulesets in the words of the programs that load them."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.plan.rulesets import NftTable, Ruleset
from netlab.plan.shell.words import here_document


def tools(items: Iterable[Ruleset]) -> list[str]:
    """The programs that loading them takes."""
    return ["nft"] if any(isinstance(item, NftTable) for item in items) else []


def script(namespace: str, item: Ruleset) -> str:
    """The command that loads one of them in a namespace."""
    assert isinstance(item, NftTable)
    lines = [f"table {item.family} {item.name} {{", *item.body.splitlines(), "}"]
    return here_document(f"ip netns exec {namespace} nft -f -", lines)
