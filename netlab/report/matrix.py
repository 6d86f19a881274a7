"""A verification as a person reads it: the matrix, the evidence, and what failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from netlab.probe.result import Check, Report
from netlab.report.reach import reachability
from netlab.report.services import services
from netlab.report.text import blocks, bold, green, left_out, red, section
from netlab.topology.resolved import EXTERNAL

_FAILURES = 40  # failed checks that are written out
_EVIDENCE = ("wire", "node-node", "mtu", "hairpin", "container")
_IN_MATRIX = {("node-node", protocol) for protocol in ("tcp", "udp", "arp", "ndp")}
_OF_SERVICES = ("evenly", "itself", "keeps", "refused", "no answer", "no echo reply")
_ASKED = re.compile("^[A-Z]+ (\\d+ on )?…: ")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+(:\d+)?|\[?[0-9a-f]*:[0-9a-f:]*:[0-9a-f]*(\]:\d+)?")


def matrix(report: Report, style: bool = False, width: int = 80) -> str:
    """Who reaches whom, what was seen on the wire, and the failed checks, in this order."""
    return blocks(
        (
            reachability(report, style, width),
            services(report, style),
            _evidence(report, style),
            section("Between nodes", report.carrier, style=style) if report.carrier else "",
            _skipped(report, style),
            _failures(report.failed, style),
            left_out(report.not_compared, style),
            "\n".join(report.notes),
            _summary(report, style),
        )
    )


def _evidence(report: Report, style: bool) -> str:
    """One example for each class of paths: checks that differ in addresses only are one class."""
    classes: dict[tuple[str, str], list[Check]] = {}
    for check in report.checks:
        # Between nodes packets are captured; that they also call each other is in the matrix.
        if _is_evidence(check, report):
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


def _is_evidence(check: Check, report: Report) -> bool:
    """Of the state that which a daemon told, as its BGP sessions: of the rest only failures. Of
    Services what their table does not tell.
    """
    if check.target in report.services:
        return any(words in check.expected for words in _OF_SERVICES)
    if check.kind == "state":
        return bool(check.protocol)
    return check.kind in _EVIDENCE and (check.kind, check.protocol) not in _IN_MATRIX


def _skipped(report: Report, style: bool) -> str:
    lines = [f"{kind}: {reason}" for kind, reason in report.skipped]
    return section("Not asked of this lab", "\n".join(lines), style=style) if lines else ""


def _class(check: Check, report: Report) -> str:
    words = _ADDRESS.sub("…", check.expected)
    words = re.sub(r"^.* answers on …; ", "", words).split(", once at")[0]
    words = _ASKED.sub("", words)
    if check.family == 6 and "IPv6" not in words:
        words += " (IPv6)"
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
    verdict = bold(red(f"{failed} failed", style), style) if failed else green("all passed", style)
    return words + verdict + _crossing(report)


def _crossing(report: Report) -> str:
    if not report.wire:
        return ""
    crossed = sum(check.crossed for check in report.checks)
    return f"\n{crossed} of {len(report.checks)} checks crossed machines, over {report.wire}"
