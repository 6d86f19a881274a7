"""A comparison as tables and as JSON: what was measured, and what is claimed beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from netlab.probe.measures.cells import Cell, Comparison, Row
from netlab.report.claims import Judged
from netlab.report.text import blocks, bold, count, green, red, section, table

WIDTH = 110  # characters of a line of evidence
_IS = ("works", "encapsulation", "overhead", "mtu", "addresses", "runs-in")
_COSTS = ("latency-udp", "throughput", "packets")
_PAINTED = {"wrong": red, "right": green}
_VERDICTS = {
    "wrong": "WRONG",
    "right": "right",
    "undecided": "undecided, as rounds differ",
    "not measured": "not measured",
}


def document(found: Comparison, judged: Sequence[Judged]) -> dict[str, Any]:
    """The document of `netlab compare --json`."""
    return {
        "kernel": found.kernel,
        "processors": found.processors,
        "rounds": found.rounds,
        "seconds": found.seconds,
        "dataplanes": [
            {
                "dataplane": row.dataplane,
                "underlay": row.underlay,
                "unable": row.unable or None,
                "refusal": row.refusal or None,
                "cells": {cell.name: _cell(cell) for cell in row.cells},
            }
            for row in found.rows
        ],
        "general": [_cell(cell) for cell in found.general],
        "claims": [_claim(one) for one in judged],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if cell.spread:
        more = {"least": cell.spread[0], "most": cell.spread[1], **cell.figures}
    return {"check": cell.check, "value": cell.value, **more, "evidence": cell.evidence}


def _claim(one: Judged) -> dict[str, Any]:
    claim = one.claim
    return {
        "text": claim.text,
        "source": claim.source,
        "check": claim.check,
        "claimed": {claim.bound: claim.value},
        "verdict": one.verdict,
        "measured": [{"check": cell.check, "value": cell.value} for cell in one.cells],
        "why": one.why or None,
    }


def comparison_table(found: Comparison, judged: Sequence[Judged], *, style: bool = False) -> str:
    """What each dataplane is, what it costs, what a node that joins changes; then the claims."""
    parts = [
        section("What was measured", _cells(found, _IS), style=style),
        section(_about_costs(found), _cells(found, _COSTS), style=style),
        section(
            "What a node that joins changes on each that was there", _joins(found), style=style
        ),
        "\n".join(_apart(found)),
        section("Of no one dataplane", _general(found), style=style),
        "A cell's check is DATAPLANE/UNDERLAY/COLUMN; --json has the evidence of each.",
        _claims(judged, style),
        f"{count(_measured_cells(found), 'cell')} measured in {found.seconds:.1f} s "
        f"(Linux {found.kernel})",
    ]
    return blocks(parts)


def _measured_cells(found: Comparison) -> int:
    return sum(cell.value is not None for cell in found.cells)


def _about_costs(found: Comparison) -> str:
    return (
        "What it costs, as a multiple of plain routed pods in the same lab (median of "
        f"{count(found.rounds, 'round')}, and their middle half)"
    )


def _working(found: Comparison) -> Iterator[Row]:
    return (row for row in found.rows if not row.unable)


def _cells(found: Comparison, names: Sequence[str]) -> str:
    rows = [
        (row.dataplane, row.underlay, *(_shown(row.cell(name)) for name in names))
        for row in _working(found)
    ]
    return table(("DATAPLANE", "UNDERLAY", *map(str.upper, names)), rows) if rows else "nothing"


def _shown(cell: Cell | None) -> str:
    return cell.words if cell else "-"


def _joins(found: Comparison) -> str:
    """One line where it is the same on every underlay."""
    texts: dict[str, dict[str, str]] = {}
    for row in _working(found):
        texts.setdefault(row.dataplane, {})[row.underlay] = _shown(row.cell("node-joins"))
    rows = []
    for dataplane, own in texts.items():
        measured = {underlay: text for underlay, text in own.items() if text != "-"} or own
        if len(set(measured.values())) == 1:
            rows.append((dataplane, ", ".join(measured), next(iter(measured.values()))))
        else:
            rows += [(dataplane, *item) for item in measured.items()]
    return table(("DATAPLANE", "UNDERLAY", "NODE-JOINS"), rows) if rows else "nothing"


def _apart(found: Comparison) -> Iterator[str]:
    """Which dataplanes do not work on an underlay or cannot run here, and why."""
    for row in found.rows:
        works = row.cell("works")
        if works and not works.value:
            said = f" It says: {row.refusal}" if row.refusal else ""
            yield from _wrapped(f"{row.id} does not work: {works.evidence}.{said}")
    for dataplane, why in {row.dataplane: row.unable for row in found.rows if row.unable}.items():
        yield from _wrapped(f"{dataplane} was not measured: {why}")


def _general(found: Comparison) -> str:
    return "\n".join(
        line
        for cell in found.general
        for line in _wrapped(f"{cell.check}: {cell.words}: {cell.evidence}")
    )


def _claims(judged: Sequence[Judged], style: bool) -> str:
    about = [one for one in judged if one.cells or one.why]
    lines: list[str] = []
    for one in about:
        verdict, paint = _VERDICTS[one.verdict], _PAINTED.get(one.verdict, bold)
        first, *more = _wrapped(f"{verdict}: {one.claim.text} ({one.claim.source})")
        lines += [first.replace(verdict, paint(verdict, style), 1), *more]
        lines += _wrapped(_measured(one), "    ")
    if others := len(judged) - len(about):
        lines.append(f"{count(others, 'claim')} more about what was not asked for")
    return section("Commonly claimed, and measured", "\n".join(lines), style=style) if lines else ""


def _measured(one: Judged) -> str:
    """The cells that decide; of those that show a claim wrong also the evidence of the first."""
    if not one.cells:
        return one.why
    words = {cell.words for cell in one.cells}
    if one.verdict == "wrong":
        told = f"{one.cells[0].check} is {one.cells[0].words}: {one.cells[0].evidence}"
        others = [f"{cell.check} is {cell.words}" for cell in one.cells[1:]]
        return "; ".join([told, *others])
    if len(words) == 1 and len(one.cells) > 2:
        return f"{one.claim.check}: all {len(one.cells)} are {one.cells[0].words}"
    return "; ".join(f"{cell.check} is {cell.words}" for cell in one.cells)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent or "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
