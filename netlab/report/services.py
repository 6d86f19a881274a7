"""The Services of a lab at a glance: a row for each port, and who asked it in the columns."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.probe.result import Check, Report
from netlab.report.reach import ROWS, first, left_out, paint, verdict
from netlab.report.text import section, table
from netlab.topology.resolved import EXTERNAL

_COLUMNS = ("from pods", "from nodes", "from itself", "from outside")
_LEGEND = "ok answers as it should, no rightly does not, FAIL, . not asked"


def services(report: Report, style: bool) -> str:
    """Of many the failing ones go before the rest."""
    cells: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        if check.target in report.services:
            cells.setdefault((check.target, _column(check, report)), []).append(check)
    if not cells:
        return ""
    rows = {
        name: [verdict(_cell(cells, name, one)) for one in _COLUMNS] for name in report.services
    }
    bad = {name for name, texts in rows.items() if any(text.startswith("FAIL") for text in texts)}
    shown = first(report.services, bad, dict.fromkeys(rows, 1), ROWS)
    drawn = table(
        ("service", *_COLUMNS),
        [(name, *rows[name]) for name in shown],
        lambda text: paint(text, style),
    )
    more = left_out("rows", report.services, shown, bad, "use --json")
    return section(f"Services ({_LEGEND})", drawn + more, style=style)


def _cell(cells: dict[tuple[str, str], list[Check]], name: str, column: str) -> Sequence[Check]:
    return cells.get((name, column), ())


def _column(check: Check, report: Report) -> str:
    """Itself is a pod that is one of the Service's own endpoints."""
    if check.kind == "hairpin":
        return "from itself"
    if check.source in report.places:
        return "from pods"
    return "from outside" if check.source == EXTERNAL else "from nodes"
