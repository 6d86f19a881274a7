"""What is commonly claimed about dataplanes, judged by what was measured.

The claims are data, in the file beside this one. Measuring knows nothing of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from netlab.probe.measures.cells import Cell, Comparison

FILE = Path(__file__).with_name("claims.toml")
Verdict = Literal["wrong", "right", "undecided", "not measured"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What is said, by whom, and what the cells of a `check` are by it.

    `check` is an id, in which a * stands for any text. `bound` is `is`, `at_least` or `at_most`.
    """

    text: str
    source: str
    check: str
    bound: Literal["is", "at_least", "at_most"]
    value: Any


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim and the cells that decide about it; `why` is what lacks where there are none.

    Both are empty where nobody asked for what the claim is about.
    """

    claim: Claim
    verdict: Verdict
    cells: tuple[Cell, ...] = ()
    why: str = ""


def read(document: str) -> list[Claim]:
    """The claims of a document such as the file beside this one. Raises ValueError."""
    return [_claim(one) for one in tomllib.loads(document).get("claim", [])]


def shipped() -> list[Claim]:
    return read(FILE.read_text())


def _claim(given: dict[str, Any]) -> Claim:
    said = {"text", "source", "check"}
    bounds = given.keys() - said
    if said - given.keys() or len(bounds) != 1 or not bounds <= {"is", "at_least", "at_most"}:
        raise ValueError(f"a claim is text, source, check and one bound, not {given}")
    (bound,) = bounds
    return Claim(given["text"], given["source"], given["check"], bound, given[bound])  # type: ignore[arg-type]


def judge(claims: Iterable[Claim], found: Comparison) -> list[Judged]:
    """Each claim with its verdict; those that are wrong come first."""
    judged = [_judge(claim, found) for claim in claims]
    order: Sequence[Verdict] = ("wrong", "undecided", "right", "not measured")
    return sorted(judged, key=lambda one: order.index(one.verdict))


def _judge(claim: Claim, found: Comparison) -> Judged:
    cells = [
        cell
        for cell in found.cells
        if fnmatchcase(cell.check, claim.check) and cell.value is not None
    ]
    if not cells:
        return Judged(claim, "not measured", why=_lacking(claim, found))
    answers = {cell.check: _agrees(claim, cell) for cell in cells}
    for answer, verdict in _VERDICTS:
        deciding = tuple(cell for cell in cells if answers[cell.check] is answer)
        if deciding:
            return Judged(claim, verdict, deciding)
    raise AssertionError(answers)


# One cell that is otherwise makes a claim wrong, and one that leaves it open leaves it open.
_VERDICTS: tuple[tuple[bool | None, Verdict], ...] = (
    (False, "wrong"),
    (None, "undecided"),
    (True, "right"),
)


def _agrees(claim: Claim, cell: Cell) -> bool | None:
    """Whether a cell is as claimed; None where some rounds say so and others do not."""
    if claim.bound == "is":
        return claim.value in (cell.value, cell.words) and not _mixed(claim.value, cell.value)
    least, most = cell.spread or (cell.value, cell.value)
    if claim.bound == "at_least":
        return True if least >= claim.value else False if most < claim.value else None
    return True if most <= claim.value else False if least > claim.value else None


def _mixed(one: Any, other: Any) -> bool:
    """In Python True is 1."""
    return isinstance(one, bool) is not isinstance(other, bool)


def _lacking(claim: Claim, found: Comparison) -> str:
    """Why there is no cell to judge by; empty where nobody asked for one."""
    empty = [cell.evidence for cell in found.cells if fnmatchcase(cell.check, claim.check)]
    column = claim.check.rpartition("/")[2]
    empty += [
        row.unable
        for row in found.rows
        if row.unable and fnmatchcase(f"{row.id}/{column}", claim.check)
    ]
    return "; ".join(dict.fromkeys(empty))
