"""The difference between what namespaces must hold and what they hold.

One function, used three ways: `up` applies it against nothing or against the running lab, and
`netlab diff` prints it. What a daemon of the lab wrote is a third answer beside missing and
unexpected: *foreign*, shown with its owner and never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netlab.plan import words
from netlab.plan.exceptions import NotCompared
from netlab.plan.ownership import brought, owner_of
from netlab.plan.rulesets import Ruleset
from netlab.plan.types import FIELDS, Namespace, Object


@dataclass(frozen=True, slots=True)
class Item:
    """An object of a namespace; None is the namespace itself.

    `owner` is the daemon that made the object or, of one that is missing, must bring it.
    """

    namespace: str
    object: Object | None
    owner: str | None = None

    def __str__(self) -> str:
        owner = f" (of {self.owner})" if self.owner else ""
        return f"{self.namespace}: {self.object or 'the whole namespace'}{owner}"


@dataclass(frozen=True, slots=True)
class Change:
    """One object (same key) in two states."""

    namespace: str
    want: Object
    have: Object

    @property
    def fields(self) -> list[str]:
        """The names of the fields that differ; all of them where the type does."""
        if type(self.want) is not type(self.have):
            return ["kind", *self.want.__struct_fields__]
        return [
            name
            for name in self.want.__struct_fields__
            if getattr(self.want, name) != getattr(self.have, name)
        ]

    def __str__(self) -> str:
        return f"{self.namespace}: {self.want}: {', '.join(self.differences)}"

    @property
    def differences(self) -> list[str]:
        """What differs, in words; of a ruleset down to the rule and element."""
        if type(self.want) is not type(self.have):
            return [f"kind is {words.kind(self.have)}, not {words.kind(self.want)}"]
        if differences := getattr(self.want, "differences", None):
            return list(differences(self.have))
        return list(words.differences(self.want, self.have))


@dataclass(slots=True, repr=False)
class Diff:
    """What lacks, what should not be there, what is there in another state, what is others'.

    `foreign` is no fault: it is what daemons of the lab wrote, each with its owner. `not_compared`
    is what was not looked at, and why.
    """

    missing: list[Item] = field(default_factory=list)
    unexpected: list[Item] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    foreign: list[Item] = field(default_factory=list)
    not_compared: list[NotCompared] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.missing or self.unexpected or self.changed)

    @property
    def awaited(self) -> list[Item]:
        """What daemons must bring and have not yet: nothing that netlab can write."""
        return [item for item in self.missing if item.owner]

    @property
    def repaired(self) -> bool:
        """Whether nothing is left that netlab itself could make good."""
        return self.ok or (
            not self.unexpected and not self.changed and len(self.awaited) == len(self.missing)
        )

    def __repr__(self) -> str:
        kinds = ("missing", "unexpected", "changed")
        counts = [f"{count} {kind}" for kind in kinds if (count := len(getattr(self, kind)))]
        return f"<Diff: {', '.join(counts) or 'none'}>"

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.changed)


def diff(want: Mapping[str, Namespace], have: Mapping[str, Namespace]) -> Diff:
    """Compare namespaces. A namespace that lacks is missing itself and with all it should hold."""
    result = Diff()
    for name, wanted in want.items():
        present = have.get(name)
        if present is None:
            result.missing.append(Item(name, None))
            result.missing += [Item(name, item) for f in FIELDS for item in getattr(wanted, f)]
            _await(wanted, Namespace(name, wanted.role), result)
        else:
            _compare(wanted, present, result)
    result.unexpected += [Item(name, None) for name in have if name not in want]
    return result


def _compare(want: Namespace, have: Namespace, result: Diff) -> None:
    for attribute in FIELDS:
        wanted = {item.key: item for item in getattr(want, attribute)}
        present: dict[str, list[Object]] = {}
        for item in getattr(have, attribute):
            present.setdefault(item.key, []).append(item)
        if attribute == "ruleset":
            _set_apart(want, wanted, present, result)
        for key, item in wanted.items():
            others = present.get(key)
            if not others:
                result.missing.append(Item(want.name, item))
            elif others[0] == item or item not in others:
                # The first counts where there are several: of routes the kernel takes that one.
                other = others.pop(0)
                if other != item:
                    result.changed.append(Change(want.name, item, other))
            else:
                others.remove(item)
        for others in present.values():
            for item in others:
                _sort(want, item, result)
    _await(want, have, result)


def _set_apart(
    want: Namespace,
    wanted: Mapping[str, Ruleset],
    present: dict[str, list[Any]],
    result: Diff,
) -> None:
    """Elements of sets that a daemon fills are the daemon's, whatever they are."""
    for daemon in want.daemons:
        for key, item in wanted.items() if daemon.owns.sets else ():
            for index, other in enumerate(present.get(key, ())):
                present[key][index], theirs = item.without(daemon.owns.sets, other)
                if theirs is not None:
                    result.foreign.append(Item(want.name, theirs, daemon.name))


def _sort(want: Namespace, item: Object, result: Diff) -> None:
    """What the plan does not name is a daemon's, or unexpected."""
    owner = owner_of(item, want.daemons)
    (result.foreign if owner else result.unexpected).append(Item(want.name, item, owner))


def _await(want: Namespace, have: Namespace, result: Diff) -> None:
    """Routes that daemons must bring: of those only what makes them arrive is compared."""
    for daemon in want.daemons:
        result.missing += [
            Item(want.name, way, daemon.name)
            for way in daemon.brings
            if not any(brought(way, item) for item in have.routes)
        ]
