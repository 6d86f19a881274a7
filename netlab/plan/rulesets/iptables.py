"""iptables tables of both backends, legacy and nft, with chains as `iptables-save` has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, Self, TypeVar

import msgspec

from netlab.plan.links import Value
from netlab.plan.rulesets.base import Part, Ruleset, chain_parts, rule_differences
from netlab.plan.rulesets.ipset import Ipset

Kind = TypeVar("Kind", bound=Ruleset)
Backend = Literal["legacy", "nft"]
Family = Literal["ip", "ip6"]
# The chains that each table always has (iptables(8)); they cannot be deleted.
BUILTIN = {
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "raw": ("PREROUTING", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
ACCEPT = "ACCEPT"


class IptablesChain(Value, frozen=True, kw_only=True):
    """A chain; a rule is what follows `-A CHAIN`. A user's own chain has no policy (None)."""

    name: str
    rules: tuple[str, ...] = ()
    policy: str | None = None

    @property
    def idle(self) -> bool:
        """Whether it is as a table is born with it: a plan need not name it."""
        return self.policy == ACCEPT and not self.rules


class IptablesTable(Ruleset, frozen=True, kw_only=True):
    """A table of iptables (`family` ip) or ip6tables (ip6).

    Built-in chains that are left out are empty, with the policy ACCEPT.
    """

    what: ClassVar[str] = "iptables table"
    backend: Backend = "nft"
    family: Family = "ip"
    name: str
    chains: tuple[IptablesChain, ...] = ()

    @property
    def key(self) -> str:
        return f"iptables-{self.backend} {self.family} {self.name}"

    @property
    def requires(self) -> tuple[str, ...]:
        return (f"iptables-{self.backend}",)

    def __str__(self) -> str:
        return f"{self.program()} table {self.name}"

    def program(self, verb: str = "") -> str:
        """The command's name, as `ip6tables-nft`, or with a verb `iptables-legacy-save`."""
        tool = "iptables" if self.family == "ip" else "ip6tables"
        return f"{tool}-{self.backend}{'-' + verb if verb else ''}"

    @property
    def by_name(self) -> dict[str, IptablesChain]:
        return {chain.name: chain for chain in self.chains}

    @property
    def whole(self) -> dict[str, IptablesChain]:
        """Its chains with the built-in ones that are left out."""
        builtin = (IptablesChain(name=n, policy=ACCEPT) for n in BUILTIN.get(self.name, ()))
        return {chain.name: chain for chain in builtin} | self.by_name

    @property
    def parts(self) -> tuple[Part, ...]:
        chains = (chain_parts(self, chain.name, chain.rules) for chain in self.chains)
        return tuple(part for parts in chains for part in parts)

    def differences(self, have: Self) -> list[str]:
        return list(_differences(self, have))


def _differences(want: IptablesTable, have: IptablesTable) -> Iterator[str]:
    want, have = _apart(want, have)
    wanted, present = want.whole, have.whole
    for name, chain in wanted.items():
        other = present.get(name)
        if other is None:
            yield f"chain {name} is missing"
            continue
        if other.policy != chain.policy:
            yield f"chain {name}: policy is {other.policy}, not {chain.policy}"
        yield from rule_differences(f"chain {name}", chain.rules, other.rules)
    yield from (f"unexpected chain {name}" for name in present if name not in wanted)


def transaction(want: IptablesTable, have: IptablesTable | None) -> Iterator[str]:
    """Lines for `iptables-restore --noflush` that change only the chains that differ.

    `have` None: a table that is not there, or is as it was born.
    """
    want, have = _apart(want, have or empty(want))
    wanted, present = want.whole, have.whole
    changed = [chain for name, chain in wanted.items() if present.get(name) != chain]
    gone = [name for name in present if name not in wanted]
    yield f"*{want.name}"
    # A user's chain that is named like this is made, or emptied; a built-in one only gets a policy.
    yield from (f":{chain.name} {chain.policy or '-'} [0:0]" for chain in changed)
    filled = [
        chain.name
        for chain in changed
        if chain.policy and (other := present.get(chain.name)) and other.rules
    ]
    yield from (f"-F {name}" for name in [*filled, *gone])
    for chain in changed:
        yield from (f"-A {chain.name} {rule}" for rule in chain.rules)
    yield from (f"-X {name}" for name in gone)
    yield "COMMIT"


def _apart(want: IptablesTable, have: IptablesTable) -> tuple[IptablesTable, IptablesTable]:
    """Both without the chains that they begin and end with alike.

    Those are nearly all of the thousands that there are, where one Service changed.
    """
    start = _alike(want.chains, have.chains)
    one, other = want.chains[start:], have.chains[start:]
    end = _alike(reversed(one), reversed(other))
    return (
        msgspec.structs.replace(want, chains=one[: len(one) - end]),
        msgspec.structs.replace(have, chains=other[: len(other) - end]),
    )


def _alike(one: Iterable[IptablesChain], other: Iterable[IptablesChain]) -> int:
    """How many chains are the same from the beginning."""
    count = 0
    for chain, present in zip(one, other, strict=False):
        if chain != present:
            break
        count += 1
    return count


def empty(table: IptablesTable) -> IptablesTable:
    """The table as it is born."""
    return msgspec.structs.replace(table, chains=())


def merged(rulesets: Iterable[Kind]) -> list[Kind]:
    """One value for each table that several write into, as flannel and kube-proxy do.

    The rules of a chain follow each other in the order of the values. ip sets come first, as
    rules name them.
    """
    result: dict[str, Kind] = {}
    for item in rulesets:
        other = result.get(item.key)
        if isinstance(item, IptablesTable) and isinstance(other, IptablesTable):
            item = msgspec.structs.replace(item, chains=_joined(other, item))
        result[item.key] = item
    return sorted(result.values(), key=lambda item: not isinstance(item, Ipset))


def _joined(first: IptablesTable, second: IptablesTable) -> tuple[IptablesChain, ...]:
    chains = first.by_name
    for chain in second.chains:
        rules = chains[chain.name].rules if chain.name in chains else ()
        chains[chain.name] = msgspec.structs.replace(chain, rules=(*rules, *chain.rules))
    return tuple(chains.values())
