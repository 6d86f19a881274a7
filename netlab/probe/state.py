"""Whether the kernel still holds what the plan says: a check for each difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netlab.errors import NetlabError
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.probing.check import Check


def state(drift: Callable[[], Diff]) -> Iterator[Check]:
    """One check where the kernel equals the plan, else one failed check for each difference."""
    expected = "the kernel equals the plan"
    try:
        found = drift()
    except (NetlabError, OSError) as error:
        yield Check("state", "kernel", "plan", expected, f"not comparable: {error}", False)
        return
    if found.ok:
        yield Check("state", "kernel", "plan", expected, expected, True)
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
