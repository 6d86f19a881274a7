"""Aligned columns of plain text, and colours where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

import click

from netlab.plan.exceptions import NotCompared

GAP = "  "
Paint = Callable[[str], str]


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    paint: Callable[[str], Paint] | None = None,
) -> str:
    """Columns as wide as their widest cell; `paint` gives the colour for a cell's text.

    What stands over a column may have several lines. Colours are added last, as their codes would
    count as width.
    """
    heads = [list(line) for line in zip_longest(*(h.split("\n") for h in head), fillvalue="")]
    cells = heads + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for number, row in enumerate(cells):
        parts = []
        for text, width in zip(row, widths, strict=True):
            padded = text.ljust(width)
            parts.append(paint(text)(padded) if paint and number >= len(heads) else padded)
        lines.append(GAP.join(parts).rstrip())
    return "\n".join(lines)


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values, the values aligned."""
    listed = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{value}".rstrip() for name, value in listed)


def section(title: str, body: str, *, style: bool = False) -> str:
    return f"{bold(title, style)}\n{body}"


def left_out(items: Iterable[NotCompared], style: bool = False) -> str:
    """What a comparison left out, where checks failed although it found nothing."""
    title = "Checks failed while nothing differs between kernel and plan. Not compared:"
    lines = "\n".join(map(str, items))
    return section(title, lines, style=style) if lines else ""


def blocks(parts: Iterable[str]) -> str:
    """Parts with an empty line between; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def bold(text: str, style: bool) -> str:
    return click.style(text, bold=True) if style else text


def red(text: str, style: bool) -> str:
    return click.style(text, fg="red") if style else text


def green(text: str, style: bool) -> str:
    return click.style(text, fg="green") if style else text


def count(number: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
