"""nftables tables: chains, sets, maps with their elements, and the objects beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import ClassVar, Self

import msgspec

from netlab.plan.links import Value
from netlab.plan.rulesets.base import (
    Part,
    Ruleset,
    chain_parts,
    element_differences,
    rule_differences,
)


class Hook(Value, frozen=True, kw_only=True):
    """Where packets enter a base chain; `priority` as nft prints it, as `srcnat` or `filter - 5`.

    `devices` are those of the netdev family's ingress and egress.
    """

    type: str
    hook: str
    priority: str = "filter"
    policy: str = "accept"
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = f"type {self.type} hook {self.hook}"
        if len(self.devices) == 1:
            words += f' device "{self.devices[0]}"'
        elif self.devices:
            words += f" devices = {{ {', '.join(self.devices)} }}"
        return f"{words} priority {self.priority}"


class Piece(Value, frozen=True, kw_only=True):
    """Base of what a table is made of. What `header` says cannot be changed in place."""

    kind: ClassVar[str] = ""
    name: str
    comment: str = ""

    @property
    def id(self) -> tuple[str, str]:
        return self.kind, self.name

    @property
    def header(self) -> tuple[str, ...]:
        return (f'comment "{self.comment}"',) if self.comment else ()

    @property
    def definition(self) -> tuple[str, ...]:
        """The lines that make it, without rules and elements."""
        return self.header

    @property
    def content(self) -> tuple[str, ...]:
        """The lines that fill it."""
        return ()


class Chain(Piece, frozen=True, kw_only=True):
    """A chain; `hook` None: it is entered by a jump only. A rule is one line of nft's syntax."""

    kind: ClassVar[str] = "chain"
    rules: tuple[str, ...] = ()
    hook: Hook | None = None

    @property
    def header(self) -> tuple[str, ...]:
        return (*super().header, *((str(self.hook),) if self.hook else ()))

    @property
    def definition(self) -> tuple[str, ...]:
        policy = (f"{self.hook}; policy {self.hook.policy}",) if self.hook else ()
        return (*super().header, *policy)

    @property
    def content(self) -> tuple[str, ...]:
        return self.rules


def split_value(text: str) -> tuple[str, str]:
    """A map's element as key and value: at the first ` : ` outside a quoted comment."""
    quoted = False
    for i, letter in enumerate(text):
        if letter == '"':
            quoted = not quoted
        elif not quoted and text.startswith(" : ", i):
            return text[:i], text[i + 3 :]
    return text, ""


class Elements(Piece, frozen=True, kw_only=True):
    """What sets and maps have: a type, and data that change without their rules.

    `type` and `options` (as `timeout 3h`, `auto-merge`) are lines as nft prints them.
    """

    type: str
    flags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def learns(self) -> bool:
        """Whether rules add elements, which then are no drift."""
        return bool({"dynamic", "timeout"} & set(self.flags))

    @property
    def texts(self) -> tuple[str, ...]:
        """The elements as nft prints them."""
        raise NotImplementedError

    def holding(self, texts: Iterable[str]) -> Self:
        """The same with other elements."""
        raise NotImplementedError

    @property
    def header(self) -> tuple[str, ...]:
        kind = "" if self.type.startswith("typeof ") else "type "
        flags = (f"flags {','.join(self.flags)}",) if self.flags else ()
        return (f"{kind}{self.type}", *flags, *self.options, *super().header)

    @property
    def content(self) -> tuple[str, ...]:
        return (f"elements = {{ {', '.join(self.texts)} }}",) if self.texts else ()


class Set(Elements, frozen=True, kw_only=True):
    """A set, as `type="ipv4_addr . inet_service"`; an element may have options of its own, as
    `10.0.0.1 comment "web"`.
    """

    kind: ClassVar[str] = "set"
    elements: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return self.elements

    def holding(self, texts: Iterable[str]) -> Self:
        return msgspec.structs.replace(self, elements=tuple(texts))


class Map(Elements, frozen=True, kw_only=True):
    """A map, as `type="ipv4_addr : verdict"`; an element is its key and its value."""

    kind: ClassVar[str] = "map"
    elements: tuple[tuple[str, str], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{key} : {value}" for key, value in self.elements)

    def holding(self, texts: Iterable[str]) -> Self:
        return msgspec.structs.replace(self, elements=tuple(map(split_value, texts)))


class NftObject(Value, frozen=True, kw_only=True):
    """Anything else that a table holds, in nft's words: a named counter, quota, flowtable…"""

    kind: str
    name: str
    lines: tuple[str, ...] = ()

    @property
    def id(self) -> tuple[str, str]:
        return self.kind, self.name

    @property
    def header(self) -> tuple[str, ...]:
        return self.lines

    @property
    def definition(self) -> tuple[str, ...]:
        return self.lines

    @property
    def content(self) -> tuple[str, ...]:
        return ()


AnyPiece = NftObject | Set | Map | Chain


def block(piece: Piece | NftObject) -> str:
    """A piece within a table's braces."""
    inner = "".join(f"\t\t{line}\n" for line in (*piece.definition, *piece.content))
    return f"\t{piece.kind} {piece.name} {{\n{inner}\t}}"


class NftTable(Ruleset, frozen=True, kw_only=True):
    """One nftables table of a family (ip, ip6, inet, arp, bridge, netdev)."""

    what: ClassVar[str] = "table"
    family: str
    name: str
    comment: str = ""
    flags: tuple[str, ...] = ()
    objects: tuple[NftObject, ...] = ()
    sets: tuple[Set, ...] = ()
    maps: tuple[Map, ...] = ()
    chains: tuple[Chain, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.family} {self.name}"

    @property
    def requires(self) -> tuple[str, ...]:
        rules = (rule for chain in self.chains for rule in chain.rules)
        masquerades = any("masquerade" in rule for rule in rules)
        return ("nftables-masquerade",) if masquerades else ("nftables",)

    def __str__(self) -> str:
        return f"nftables table {self.key}"

    @property
    def pieces(self) -> dict[tuple[str, str], AnyPiece]:
        """What the table is made of, in the order in which it can be made."""
        every: tuple[AnyPiece, ...] = (*self.objects, *self.sets, *self.maps, *self.chains)
        return {piece.id: piece for piece in every}

    @property
    def script(self) -> str:
        """The table as `nft -f` takes it."""
        lines = [f"\tflags {','.join(self.flags)}"] if self.flags else []
        lines += [f'\tcomment "{self.comment}"'] if self.comment else []
        lines += [block(piece) for piece in self.pieces.values()]
        return "\n".join([f"table {self.key} {{", *lines, "}", ""])

    @property
    def parts(self) -> tuple[Part, ...]:
        found: list[Part] = []
        for kind, name in self.pieces:
            if kind != "chain":
                found.append(Part(kind, name, f"{self} {kind} {name}"))
        for chain in self.chains:
            found += chain_parts(self, chain.name, chain.rules)
        return tuple(found)

    def differences(self, have: Self) -> list[str]:
        return list(_differences(self, have))

    def without(self, sets: Collection[str], have: Self) -> tuple[Self, Self | None]:
        planned = {item.id: item for item in (*self.sets, *self.maps)}
        owned = [
            item
            for item in (*have.sets, *have.maps)
            if f"{self.key} {item.name}" in sets and item.id in planned
        ]
        ours = {item.id: item.holding(planned[item.id].texts) for item in owned}
        compared = msgspec.structs.replace(
            have,
            sets=tuple(ours.get(item.id, item) for item in have.sets),
            maps=tuple(ours.get(item.id, item) for item in have.maps),
        )
        theirs = type(self)(
            family=self.family,
            name=self.name,
            sets=tuple(item for item in owned if isinstance(item, Set) and item.elements),
            maps=tuple(item for item in owned if isinstance(item, Map) and item.elements),
        )
        return compared, theirs if theirs.pieces else None


def _differences(want: NftTable, have: NftTable) -> Iterator[str]:
    for name in ("comment", "flags"):
        if getattr(want, name) != getattr(have, name):
            yield f"{name} is '{getattr(have, name)}', not '{getattr(want, name)}'"
    wanted, present = want.pieces, have.pieces
    for (kind, name), piece in wanted.items():
        where, other = f"{kind} {name}", present.get((kind, name))
        if other is None:
            yield f"{where} is missing"
            continue
        if other.definition != piece.definition:
            yield f"{where} is '{_words(other)}', not '{_words(piece)}'"
        if isinstance(piece, Chain) and isinstance(other, Chain):
            yield from rule_differences(where, piece.rules, other.rules)
        elif isinstance(piece, Elements) and isinstance(other, Elements):
            yield from element_differences(where, piece.texts, other.texts)
    yield from (f"unexpected {kind} {name}" for kind, name in present.keys() - wanted.keys())


def _words(piece: AnyPiece) -> str:
    return "; ".join(piece.definition)
