"""Tables of iptables as `iptables-save` prints them, without its remarks."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.plan.rulesets import IptablesTable
from netlab.plan.rulesets.iptables import BUILTIN


def saved(tables: Iterable[IptablesTable]) -> str:
    """Tables by name; in each the built-in chains, then the others by name."""
    lines: list[str] = []
    for table in sorted(tables, key=lambda one: one.name):
        own = sorted(name for name in table.by_name if name not in BUILTIN[table.name])
        chains = [table.whole[name] for name in (*BUILTIN[table.name], *own)]
        lines.append(f"*{table.name}")
        lines += [f":{chain.name} {chain.policy or '-'} [0:0]" for chain in chains]
        lines += [f"-A {chain.name} {rule}" for chain in chains for rule in chain.rules]
        lines.append("COMMIT")
    return "\n".join([*lines, ""])
