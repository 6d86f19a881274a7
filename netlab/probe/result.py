"""What a verification yields: one `Check` for each thing that was asked of the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "container",
    "pod-same-node",
    "pod-cross-node",
    "node-pod",
    "pod-service",
    "external-service",
    "pod-external",
    "negative",
    "wire",
    "mtu",
    "state",
]


@dataclass(frozen=True, slots=True)
class Check:
    """What was expected between two named things, and what happened, both in words.

    `evidence` holds the facts seen: addresses, TTLs, a frame of the underlay. It may be empty.
    """

    kind: Kind
    source: str
    target: str
    expected: str
    observed: str
    ok: bool
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one `verify`; `seconds` is how long it took; `places` are the pods' nodes."""

    seconds: float
    checks: tuple[Check, ...]
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if not check.ok]


def to_json(report: Report) -> dict[str, Any]:
    """The document of `netlab verify --json`."""
    failed = len(report.failed)
    return {
        "ok": report.ok,
        "seconds": round(report.seconds, 3),
        "summary": {
            "checks": len(report.checks),
            "passed": len(report.checks) - failed,
            "failed": failed,
        },
        "checks": [
            {
                "kind": check.kind,
                "from": check.source,
                "to": check.target,
                "expected": check.expected,
                "observed": check.observed,
                "ok": check.ok,
                "evidence": check.evidence,
            }
            for check in report.checks
        ],
    }
