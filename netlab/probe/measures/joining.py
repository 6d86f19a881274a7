"""What a node that joins changes on the nodes that were there before. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from netlab.plan.ownership import owner_of
from netlab.plan.processes import Daemon, Owner
from netlab.plan.types import FIELDS, Namespace, Object
from netlab.probe.measures.cells import Cell

# One and several of a kind, in words.
_WORDS = {
    "links": ("device", "devices"),
    "addresses": ("address", "addresses"),
    "routes": ("route", "routes"),
    "rules": ("rule", "rules"),
    "neighbours": ("neighbour", "neighbours"),
    "fdb": ("FDB entry", "FDB entries"),
    "extras": ("other object", "other objects"),
    "sysctls": ("setting", "settings"),
    "ruleset": ("ruleset", "rulesets"),
    "daemons": ("daemon's configuration", "daemons' configurations"),
    "containers": ("container", "containers"),
}


def joins(
    row: str, before: Mapping[str, Namespace], after: Mapping[str, Namespace], reached: str
) -> Cell:
    """How many objects of each kind are other than before, on each node that stayed.

    `reached` is what was seen of the new node's pod, so that it is known to have joined.
    """
    counts = {name: _count(before[name], after[name]) for name in before}
    evidence = [
        f"{name}: {'; '.join(_changes(before[name], after[name])) or 'nothing'}" for name in before
    ]
    return Cell(f"{row}/node-joins", counts, _in_words(counts), "; ".join([*evidence, reached]))


def _in_words(counts: Mapping[str, Mapping[str, int]]) -> str:
    """One text where all nodes have the same."""
    texts = {name: _listed(count) for name, count in counts.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _listed(count: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {_WORDS[kind][n > 1]}" for kind, n in count.items()) or "none"


def _count(before: Namespace, after: Namespace) -> dict[str, int]:
    found = Counter(kind for kind, _, _ in _different(before, after))
    return dict(found)


def _changes(before: Namespace, after: Namespace) -> Iterator[str]:
    for _, what, item in _different(before, after):
        owner = None if isinstance(item, Daemon) else owner_of(item, after.daemons)
        yield f"{what} {item}{f' (by {owner})' if owner else ''}"


def _different(before: Namespace, after: Namespace) -> Iterator[tuple[str, str, Object]]:
    """Kind, what became of it, and the object."""
    for kind in FIELDS:
        was, is_now = _by_key(before, kind), _by_key(after, kind)
        for key, items in is_now.items():
            if key not in was:
                yield from ((kind, "new", item) for item in items)
            elif items != was[key]:
                yield kind, "changed", items[0]
        for key, items in was.items():
            if key not in is_now:
                yield from ((kind, "gone", item) for item in items)


def _by_key(space: Namespace, kind: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in getattr(space, kind):
        found.setdefault(item.key, []).append(_as_it_runs(item))
    return found


def _as_it_runs(item: Any) -> Any:
    """Of a daemon its command and files: what it must bring about is the plan's, not its own."""
    if isinstance(item, Daemon):
        return msgspec.structs.replace(item, brings=(), owns=Owner(), ready=None)
    return item
