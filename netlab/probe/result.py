"""What a verification yields: one `Check` for each thing that was asked of the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netlab.plan.exceptions import NotCompared
from netlab.plan.probing.check import Check, Kind

__all__ = ["Check", "Kind", "Report", "to_json"]


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """All checks of one `verify`; `seconds` is how long it took; `places` are the pods' nodes.

    `skipped` are the kinds that this lab was not asked for, each with the reason. `not_compared`,
    where checks failed although nothing differs: what the comparison left out. `drifted`: it was
    made once more as checks failed, and now something differed. `carrier` is what carries packets
    between nodes, where kernels differ in that. `services` are the ports of Services, as checks
    name them.

    Of a lab on several machines `wire` is what joins them, in words, and `notes` are sentences on
    what failed, each with a remedy.
    """

    seconds: float
    checks: tuple[Check, ...]
    places: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[tuple[Kind, str], ...] = ()
    not_compared: tuple[NotCompared, ...] = ()
    drifted: bool = False
    carrier: str = ""
    wire: str = ""
    notes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def __bool__(self) -> bool:
        """So that `assert lab.verify()` is no test that always passes."""
        return self.ok

    def __repr__(self) -> str:
        return f"<Report: {len(self.checks)} checks, {len(self.failed)} failed>"

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.ok]


def to_json(report: Report) -> dict[str, Any]:
    """The document of `netlab verify --json`; of a lab on several machines it says more."""
    failed = len(report.failed)
    machines = {"wire": report.wire, "notes": list(report.notes)} if report.wire else {}
    return {
        "ok": report.ok,
        "seconds": round(report.seconds, 3),
        "summary": {
            "checks": len(report.checks),
            "passed": len(report.checks) - failed,
            "failed": failed,
        },
        "skipped": [{"kind": kind, "reason": reason} for kind, reason in report.skipped],
        "not_compared": [{"what": item.what, "why": item.why} for item in report.not_compared],
        **({"carrier": report.carrier} if report.carrier else {}),
        **machines,
        "checks": [
            {
                "kind": check.kind,
                "family": check.family,
                "protocol": check.protocol,
                "from": check.source,
                "to": check.target,
                "expected": check.expected,
                "observed": check.observed,
                "ok": check.ok,
                "evidence": check.evidence,
                **({"crossed": check.crossed} if report.wire else {}),
            }
            for check in report.checks
        ],
    }
