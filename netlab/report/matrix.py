"""A verification as a person reads it: the matrix, the evidence, and what failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from netlab.probe.result import Check, Report
from netlab.report.text import Paint, blocks, bold, green, red, section, table
from netlab.topology.layout import EXTERNAL

SINGLE_PODS = 16  # up to so many pods each has a row; beyond, each node
_COLUMNS = 20  # a wider matrix is left out: nobody can read it
_FAILURES = 40  # failed checks that are written out
_REACH = ("pod-same-node", "pod-cross-node", "node-pod", "pod-external", "negative")
_EVIDENCE = ("wire", "mtu", "container")
_OK, _FAIL, _BARRED, _NOT_PROBED = "ok", "FAIL", "no", "."
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+(:\d+)?")


def matrix(report: Report, style: bool = False) -> str:
    """Who reaches whom, what was seen on the wire, and the failed checks, in this order."""
    return blocks(
        (
            _reachability(report, style),
            _evidence(report, style),
            _failures(report.failed, style),
            _summary(report, style),
        )
    )


def _reachability(report: Report, style: bool) -> str:
    # Where a row stands for a node, it is that of its pods' checks and of its own.
    groups = report.places if len(report.places) > SINGLE_PODS else {}
    cells: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        if _is_reach(check, report) and "/" not in check.target:
            key = (
                groups.get(check.source, check.source),
                groups.get(check.target, check.target),
            )
            cells.setdefault(key, []).append(check)
    rows = list(dict.fromkeys(source for source, _ in cells))
    columns = list(dict.fromkeys(target for _, target in cells))
    if not cells or len(columns) > _COLUMNS:
        return ""
    columns.sort(key=lambda name: (name not in rows, rows.index(name) if name in rows else 0))
    body = table(
        ("from \\ to", *columns),
        [
            [
                source,
                *(_cell(source, target, cells.get((source, target), ())) for target in columns),
            ]
            for source in rows
        ],
        lambda text: _paint(text, style),
    )
    legend = f"{_OK} reaches, {_BARRED} rightly does not, {_FAIL}, {_NOT_PROBED} not probed"
    return section(f"Reachability ({legend})", body, style=style)


def _is_reach(check: Check, report: Report) -> bool:
    """Nodes among themselves are proved on the wire, so in a matrix of nodes and pods it counts.

    Where rows stand for nodes with their pods, it would hide that the pods don't reach each other.
    """
    if check.kind != "wire" or len(report.places) > SINGLE_PODS:
        return check.kind in _REACH
    return check.source not in report.places and check.target not in report.places


def _cell(source: str, target: str, checks: Sequence[Check]) -> str:
    if not checks:
        return "" if source == target else _NOT_PROBED
    failed = sum(not check.ok for check in checks)
    if failed:
        return _FAIL if failed == len(checks) else f"{_FAIL} {failed}/{len(checks)}"
    return _BARRED if all(check.kind == "negative" for check in checks) else _OK


def _paint(text: str, style: bool) -> Paint:
    if text.startswith(_FAIL):
        return lambda padded: red(padded, style)
    if text == _OK:
        return lambda padded: green(padded, style)
    return str


def _evidence(report: Report, style: bool) -> str:
    """One example for each class of paths: checks that differ in addresses only are one class."""
    classes: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        if check.kind in _EVIDENCE:
            classes.setdefault((check.kind, _class(check, report)), []).append(check)
    lines = []
    for (kind, name), checks in classes.items():
        passed = sum(check.ok for check in checks)
        mark = green("ok", style) if passed == len(checks) else red("FAIL", style)
        lines.append(f"{kind}: {name}: {passed} of {len(checks)} {mark}")
        example = next((check for check in checks if not check.ok), checks[0])
        if example.evidence and example.evidence != example.expected:
            lines.append(f"    {example.source} > {example.target}: {example.evidence}")
    return section("Evidence", "\n".join(lines), style=style) if lines else ""


def _class(check: Check, report: Report) -> str:
    words = _ADDRESS.sub("…", check.expected)
    words = re.sub(r"^.* answers on …; ", "", words).split(", once at")[0]
    if check.kind == "wire" and check.source != check.target:
        return f"{_way(check, report)}: {words}"
    return words


def _way(check: Check, report: Report) -> str:
    source, target = report.places.get(check.source), report.places.get(check.target)
    if source is None:
        return "node to outside" if check.target == EXTERNAL else "node to node"
    if target is None:
        return "pod to outside"
    return "on one node" if source == target else "across nodes"


def _failures(failed: Sequence[Check], style: bool) -> str:
    if not failed:
        return ""
    parts = [_failure(check, style) for check in failed[:_FAILURES]]
    if len(failed) > _FAILURES:
        parts.append(f"and {len(failed) - _FAILURES} more; --json lists them all")
    return section(f"Failed checks: {len(failed)}", "\n".join(parts), style=style)


def _failure(check: Check, style: bool) -> str:
    lines: list[str] = [red(f"{check.kind}  {check.source} > {check.target}", style)]
    lines += _indented((("expected", check.expected), ("observed", check.observed)))
    if check.evidence:
        lines += _indented((("evidence", check.evidence),))
    return "\n".join(lines)


def _indented(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"    {name}  {value}" for name, value in pairs]


def _summary(report: Report, style: bool) -> str:
    failed = len(report.failed)
    words = f"{len(report.checks)} checks in {report.seconds:.2f} s: "
    if not failed:
        return words + green("all passed", style)
    return words + bold(red(f"{failed} failed", style), style)
