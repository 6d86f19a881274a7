"""Whether the kernel still holds what the plan says: a check for each difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from netlab.errors import NetlabError
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.exceptions import NotCompared
from netlab.plan.probing.check import Check

_EXPECTED = "the kernel equals the plan"


class Compared(NamedTuple):
    """The checks of a comparison, and what it left out."""

    checks: list[Check]
    left_out: tuple[NotCompared, ...]

    @property
    def equal(self) -> bool:
        return all(check.ok for check in self.checks)


def state(drift: Callable[[], Diff]) -> Compared:
    """One check where the kernel equals the plan, else one failed check for each difference."""
    try:
        found = drift()
    except (NetlabError, OSError) as error:
        words = f"not comparable: {error}"
        return Compared([Check("state", "kernel", "plan", _EXPECTED, words, False)], ())
    return Compared(list(_checks(found)), tuple(found.not_compared))


def _checks(found: Diff) -> Iterator[Check]:
    if found.ok:
        yield Check("state", "kernel", "plan", _EXPECTED, _EXPECTED, True)
    for item in found.missing:
        yield _difference("missing", item)
    for item in found.unexpected:
        yield _difference("unexpected", item)
    for change in found.changed:
        yield _difference("changed", change)


def _difference(what: str, item: Item | Change) -> Check:
    subject = item.want if isinstance(item, Change) else item.object
    target = str(subject or "the whole namespace")
    expected = "absent" if what == "unexpected" else "as planned"
    return Check("state", item.namespace, target, expected, what, False, str(item))
