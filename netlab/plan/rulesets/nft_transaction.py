"""What makes one state of an nftables table into another, touching nothing else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from netlab.plan.rulesets.nft import AnyPiece, Chain, Elements, NftTable, split_value

_WORD = re.compile(r"[\w./-]+")
# An element's options, which are no part of its key (`delete element` takes only that).
_OPTIONS = re.compile(r" (?:comment|timeout|expires|counter|limit|quota)\b.*")


def transaction(want: NftTable, have: NftTable) -> Iterator[str]:
    """nft commands, for one transaction, that make `have` into `want` and touch nothing else.

    A chain whose rules differ is flushed and filled, elements are deleted and added; what cannot be
    changed in place is made again, and with it what names it. Counters of other chains stay.
    """
    if (want.comment, want.flags) != (have.comment, have.flags):
        yield from (f"delete table {have.key}", want.script.rstrip())
        return
    new, old = want.pieces, have.pieces
    differing = {key for key in new if key in old and new[key] != old[key]}
    again = {key for key in differing if new[key].header != old[key].header}
    names = {name for _, name in again}
    gone = [key for key in old if key not in new or key in again]
    fresh = [key for key in new if key not in old or key in again]
    # A piece that is the same in both states is looked at only where it may name one made again.
    kept = {
        key: old[key] for key in (new if names else differing) if key in old and key not in again
    }
    touched = {*fresh, *kept}
    refilled = [
        c for c in want.chains if c.id in touched and _must_be_filled(c, kept.get(c.id), names)
    ]
    flushed = {c.id for c in refilled if c.id in kept} | {key for key in gone if key[0] == "chain"}

    yield from (f"flush chain {want.key} {key[1]}" for key in old if key in flushed)
    stale, added = _elements(want, kept, touched, names)
    yield from _element_commands("delete", want, {k: map(_key, v) for k, v in stale.items()})
    for kind, name in sorted(gone, key=_removal):
        yield f"delete {kind} {want.key} {name}"
    yield from (_add(want, new[key]) for key in fresh)
    for key, piece in kept.items():
        if piece.definition != new[key].definition:  # the policy, which can change in place
            yield _add(want, new[key])
    yield from _element_commands("add", want, added)
    for chain in refilled:
        yield from (f"add rule {want.key} {chain.name} {rule}" for rule in chain.rules)


def _must_be_filled(chain: Chain, old: AnyPiece | None, names: Collection[str]) -> bool:
    if not isinstance(old, Chain) or old.rules != chain.rules:
        return True
    return any(_names(rule, names) for rule in chain.rules)


def _names(text: str, names: Collection[str]) -> bool:
    """Whether a rule or element names one of these; a chance likeness only costs a little."""
    return bool(names) and not set(names).isdisjoint(_WORD.findall(text))


_Texts = dict[tuple[str, str], list[str]]


def _elements(
    want: NftTable,
    kept: Mapping[tuple[str, str], AnyPiece],
    touched: Collection[tuple[str, str]],
    names: Collection[str],
) -> tuple[_Texts, _Texts]:
    """The elements to delete and to add, of sets and maps."""
    stale: _Texts = {}
    added: _Texts = {}
    for item in (*want.sets, *want.maps):
        if item.id not in touched:
            continue
        old = kept.get(item.id)
        present = old.texts if isinstance(old, Elements) else ()
        wanted, there = set(item.texts), set(present)
        stale[item.id] = [t for t in present if t not in wanted or _names(t, names)]
        added[item.id] = [t for t in item.texts if t not in there or _names(t, names)]
    return stale, added


def _element_commands(
    verb: str, table: NftTable, elements: Mapping[tuple[str, str], Collection[str] | Iterator[str]]
) -> Iterator[str]:
    for (_, name), texts in elements.items():
        if words := ", ".join(texts):
            yield f"{verb} element {table.key} {name} {{ {words} }}"


def _key(text: str) -> str:
    """The key alone of an element, as `delete element` takes it, for sets and maps."""
    return _OPTIONS.sub("", split_value(text)[0])


def _removal(key: tuple[str, str]) -> int:
    """Sets name chains, chains name objects: what names others goes first."""
    return {"set": 0, "map": 0, "chain": 1}.get(key[0], 2)


def _add(table: NftTable, piece: AnyPiece) -> str:
    lines = "".join(f" {line};" for line in piece.definition)
    block = f" {{{lines} }}" if lines else ""
    return f"add {piece.kind} {table.key} {piece.name}{block}"
