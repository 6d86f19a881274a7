"""From rules with where they stand to tables of iptables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netlab.plan.rulesets import IptablesChain, IptablesTable
from netlab.plan.rulesets.iptables import ACCEPT, BUILTIN, Backend
from netlab.proxy.iptables_rules import Line


def tables(
    lines: Iterable[Line], chains: Mapping[str, Sequence[str]], backend: Backend, *, ipv6: bool
) -> Iterator[IptablesTable]:
    """A table for each name in `chains`, with these chains, which may be empty, and all others."""
    held: dict[str, dict[str, list[str]]] = {
        table: {name: [] for name in names} for table, names in chains.items()
    }
    for line in lines:
        held[line.table].setdefault(line.chain, []).append(line.rule)
    for table, rules in held.items():
        yield IptablesTable(
            backend=backend,
            family="ip6" if ipv6 else "ip",
            name=table,
            chains=tuple(
                IptablesChain(
                    name=name,
                    rules=tuple(own),
                    policy=ACCEPT if name in BUILTIN[table] else None,
                )
                for name, own in rules.items()
            ),
        )
