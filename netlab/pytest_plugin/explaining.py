"""What netlab's values in an assertion that failed say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netlab.errors import NetlabError
from netlab.plan.diff import Diff
from netlab.probe.result import Report
from netlab.reaching.result import Reach, differences

_MOST_CHECKS = 10


def explained(values: Iterable[Any]) -> list[str]:
    """Lines of the last value of each kind: those before it are what it was made from."""
    found: dict[type, Any] = {type(value): value for value in values}
    lines: list[str] = []
    for kind, words in _WORDS.items():
        if kind in found:
            lines += words(found[kind])
    return lines


def _reach(reach: Reach) -> list[str]:
    try:
        return reach.explain()
    except NetlabError as error:
        return [reach.summary, str(error)]


def _report(report: Report) -> list[str]:
    if report.ok:
        return [f"all {len(report.checks)} checks passed"]
    lines = [f"{len(report.failed)} of {len(report.checks)} checks failed:"]
    for check in report.failed[:_MOST_CHECKS]:
        evidence = f" ({check.evidence})" if check.evidence else ""
        lines.append(
            f"  {check.kind}: {check.source} > {check.target} {check.protocol}: "
            f"expected {check.expected}, observed {check.observed}{evidence}"
        )
    more = len(report.failed) - _MOST_CHECKS
    return [*lines, *([f"  and {more} more"] if more > 0 else [])]


_WORDS: dict[type, Callable[[Any], list[str]]] = {Reach: _reach, Report: _report, Diff: differences}
