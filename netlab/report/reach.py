"""The reachability matrix: who reaches whom, at a glance, on a screen of any width."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from netlab.probe.result import Check, Report
from netlab.report.text import GAP, Paint, green, red, section, table

SINGLE_PODS = 16  # up to so many pods each has a row; beyond, each node
ROWS = 40  # more of them nobody reads
_SHORTEST = 5  # characters of a name that stay on one line, however narrow the screen
_PODS = ("pod-same-node", "pod-cross-node", "negative")
_HOSTS = ("node-pod", "pod-node", "node-node", "pod-external", "node-external", "external-node")
_OK, _FAIL, _BARRED, _NOT_PROBED = "ok", "FAIL", "no", "."
_CORNER = "from \\ to"

Grid = Mapping[tuple[str, str], str]


def reachability(report: Report, style: bool, width: int) -> str:
    """A row for each source and a column for each target, as many as fit in `width`."""
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
    if not cells:
        return ""
    rows = list(dict.fromkeys(source for source, _ in cells))
    columns = list(dict.fromkeys(target for _, target in cells))
    columns.sort(key=lambda name: (name not in rows, rows.index(name) if name in rows else 0))
    grid = {
        (source, target): _cell(source, target, cells.get((source, target), ()))
        for source in rows
        for target in columns
    }
    legend = f"{_OK} reaches, {_BARRED} rightly does not, {_FAIL}, {_NOT_PROBED} not probed"
    body = _draw(grid, rows, columns, style, width)
    return section(f"Reachability ({legend})", body, style=style)


def _is_reach(check: Check, report: Report) -> bool:
    """What is proved on the wire counts between hosts; of pods it is evidence for what counts."""
    if check.kind == "wire":
        return check.source not in report.places and check.target not in report.places
    return check.kind in _PODS or check.kind in _HOSTS


def _cell(source: str, target: str, checks: Sequence[Check]) -> str:
    """Where a cell stands for two nodes with their pods, that the nodes reach each other would
    hide that the pods do not: so where pods are asked for, they decide.
    """
    if not checks:
        return "" if source == target else _NOT_PROBED
    failed = sum(not check.ok for check in checks)
    decisive = [check for check in checks if check.kind in _PODS]
    return verdict(checks if failed else decisive or checks)


def verdict(checks: Sequence[Check]) -> str:
    """What a cell says of its checks."""
    if not checks:
        return _NOT_PROBED
    failed = sum(not check.ok for check in checks)
    if failed:
        return _FAIL if failed == len(checks) else f"{_FAIL} {failed}/{len(checks)}"
    return _BARRED if all(check.kind == "negative" for check in checks) else _OK


def paint(text: str, style: bool) -> Paint:
    if text.startswith(_FAIL):
        return lambda padded: red(padded, style)
    if text == _OK:
        return lambda padded: green(padded, style)
    return str


def _draw(grid: Grid, rows: Sequence[str], columns: Sequence[str], style: bool, width: int) -> str:
    """The table, and below it the numbers of the columns and rows that have no room in it."""
    failed = {ends for ends, text in grid.items() if text.startswith(_FAIL)}
    bad_rows, bad_columns = {source for source, _ in failed}, {target for _, target in failed}
    listed = first(rows, bad_rows, dict.fromkeys(rows, 1), ROWS)
    room = width - max(map(len, (_CORNER, *listed)))
    longest = max(_SHORTEST, *map(len, columns))
    shorter = range(longest, _SHORTEST - 1, -1)
    # Words of a name stay whole unless nothing else helps.
    for limit, word in [(n, longest) for n in shorter] + [(n, n) for n in shorter]:
        heads = {name: _wrapped(name, limit, word) for name in columns}
        sizes = {
            name: len(GAP) + max(map(len, (*heads[name], *(grid[row, name] for row in listed))))
            for name in columns
        }
        if sum(sizes.values()) <= room:
            break
    shown = first(columns, bad_columns, sizes, room)
    drawn = table(
        (_CORNER, *("\n".join(heads[name]) for name in shown)),
        [(row, *(grid[row, name] for name in shown)) for row in listed],
        lambda text: paint(text, style),
    )
    return drawn + (
        left_out("columns", columns, shown, bad_columns, "widen the terminal or use --json")
        + left_out("rows", rows, listed, bad_rows, "use --json")
    )


def _wrapped(name: str, limit: int, longest: int) -> list[str]:
    """A name on lines of at most `limit` characters; a word alone on one may have `longest`."""
    lines = [""]
    for word in re.findall(r"[^-]*-|[^-]+", name):
        for part in re.findall(f".{{1,{longest}}}", word):
            if lines[-1] and len(lines[-1] + part) > limit:
                lines.append("")
            lines[-1] += part
    return lines


def first(
    names: Sequence[str], failing: Collection[str], sizes: Mapping[str, int], room: int
) -> list[str]:
    """As many names as there is room for, but one at least: what fails goes before the rest."""
    chosen: set[str] = set()
    for name in sorted(names, key=lambda name: name not in failing):
        room -= sizes[name]
        if room < 0 and chosen:
            break
        chosen.add(name)
    return [name for name in names if name in chosen]


def left_out(
    what: str, names: Sequence[str], shown: Collection[str], failing: Collection[str], remedy: str
) -> str:
    gone = {number: name for number, name in enumerate(names, 1) if name not in shown}
    if not gone:
        return ""
    bad = [number for number, name in gone.items() if name in failing]
    fails = f" ({_FAIL} in {_ranges(bad)} too)" if bad else ""
    return f"\n{what} {_ranges(list(gone))} of {len(names)} are not shown{fails}: {remedy}"


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers in words: `1, 3 to 7`."""
    words: list[list[int]] = []
    for number in numbers:
        if words and words[-1][-1] == number - 1:
            words[-1] = [words[-1][0], number]
        else:
            words.append([number])
    return ", ".join(" to ".join(map(str, ends)) for ends in words)
