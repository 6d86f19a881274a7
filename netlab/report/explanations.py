"""Who writes what is in a lab, as text: a block for each kind of namespace, alike objects once."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from netlab.plan.explaining import THERE, Explained
from netlab.report.text import blocks

INDENT = " " * 4
NARROWEST = 60  # columns
NAMED = 8  # namespaces of a block, beside the first
_Row = tuple[str, str, str, str]  # kind, writer, why, state
_Group = dict[_Row, list[str]]  # of one namespace, with the objects in words


def explanations(explained: Iterable[Explained], width: int, *, whole: bool) -> str:
    """Namespaces of which the same is told are one block, with the objects of the first of them.

    Of a `whole` lab what is told of every namespace, as of what each is born with, comes first.
    """
    spaces: dict[str, _Group] = {}
    for one in explained:
        group = spaces.setdefault(one.namespace, {})
        group.setdefault((one.kind, one.writer, one.why, one.state), []).append(one.object)
    width = max(width, NARROWEST)
    common: _Group = {}
    if whole:
        first, *others = spaces.values()
        common = {row: first[row] for row in first if all(row in group for group in others)}
    rest = {
        name: {row: objects for row, objects in group.items() if row not in common}
        for name, group in spaces.items()
    }
    of_all = [_block(["every namespace"], common, width)] if common else []
    return blocks([*of_all, *(_block(names, rest[names[0]], width) for names in _alike(rest))])


def _alike(spaces: Mapping[str, _Group]) -> list[list[str]]:
    """Namespaces with the same rows; those without any are left out."""
    alike: dict[tuple[_Row, ...], list[str]] = {}
    for name, group in spaces.items():
        alike.setdefault(tuple(group), []).append(name)
    return [names for rows, names in alike.items() if rows]


def _block(names: Sequence[str], group: _Group, width: int) -> str:
    first, others = names[0], list(names[1 : 1 + NAMED])
    if len(names) > 1 + NAMED:
        others.append(f"{len(names) - 1 - NAMED} more")
    title = f"{first} (alike: {', '.join(others)})" if others else first
    lines = textwrap.wrap(title, width, subsequent_indent=INDENT)
    for (_, writer, why, state), objects in group.items():
        more = f", and {len(objects) - 1} more" if len(objects) > 1 else ""
        lines.append(f"{INDENT}{objects[0]}{more}{'' if state == THERE else f' ({state})'}")
        lines += textwrap.wrap(
            f"{writer}: {why}",
            width,
            initial_indent=INDENT * 2,
            subsequent_indent=INDENT * 2,
            break_on_hyphens=False,
        )
    return "\n".join(lines)
