"""Who writes what is in a lab, as text: a block for each kind of namespace, alike objects once."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from netlab.plan.explaining import THERE, Explained
from netlab.report.text import blocks

INDENT = " " * 4
NARROWEST = 60  # columns
_Row = tuple[str, str, str, str]  # kind, writer, why, state
_Group = dict[_Row, list[str]]  # of one namespace, with the objects in words


def explanations(explained: Iterable[Explained], width: int) -> str:
    """Namespaces of which the same is told are one block, with the objects of the first of them."""
    spaces: dict[str, _Group] = {}
    for one in explained:
        group = spaces.setdefault(one.namespace, {})
        group.setdefault((one.kind, one.writer, one.why, one.state), []).append(one.object)
    alike: dict[tuple[_Row, ...], list[str]] = {}
    for name, group in spaces.items():
        alike.setdefault(tuple(group), []).append(name)
    width = max(width, NARROWEST)
    return blocks(_block(names, spaces[names[0]], width) for names in alike.values())


def _block(names: Sequence[str], group: _Group, width: int) -> str:
    first, *others = names
    title = f"{first} (alike: {', '.join(others)})" if others else first
    lines = textwrap.wrap(title, width, subsequent_indent=INDENT)
    for (_, writer, why, state), objects in group.items():
        more = f", and {len(objects) - 1} more" if len(objects) > 1 else ""
        lines.append(f"{INDENT}{objects[0]}{more}{'' if state == THERE else f' ({state})'}")
        lines += textwrap.wrap(
            f"{writer}: {why}", width, initial_indent=INDENT * 2, subsequent_indent=INDENT * 2
        )
    return "\n".join(lines)
