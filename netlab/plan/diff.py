"""The difference between what namespaces must hold and what they hold.

One function, used three ways: `up` applies it against nothing or against the running lab, and
`netlab diff` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netlab.plan.types import FIELDS, Namespace, Object


@dataclass(frozen=True, slots=True)
class Item:
    """An object of a namespace; None is the namespace itself."""

    namespace: str
    object: Object | None

    def __str__(self) -> str:
        return f"{self.namespace}: {self.object or 'the whole namespace'}"


@dataclass(frozen=True, slots=True)
class Change:
    """One object (same key) in two states."""

    namespace: str
    want: Object
    have: Object

    @property
    def fields(self) -> list[str]:
        """The names of the fields that differ."""
        return [
            name
            for name in self.want.__dataclass_fields__
            if getattr(self.want, name) != getattr(self.have, name)
        ]

    def __str__(self) -> str:
        differences = ", ".join(
            f"has {getattr(self.have, name)}"
            if name == "altered"
            else f"{name} is {getattr(self.have, name)}, not {getattr(self.want, name)}"
            for name in self.fields
        )
        return f"{self.namespace}: {self.want}: {differences}"


@dataclass(slots=True)
class Diff:
    """What lacks, what should not be there, and what is there in another state."""

    missing: list[Item] = field(default_factory=list)
    unexpected: list[Item] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not (self.missing or self.unexpected or self.changed)

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.changed)


def diff(want: Mapping[str, Namespace], have: Mapping[str, Namespace]) -> Diff:
    """Compare namespaces. A namespace that lacks is missing itself and with all it should hold."""
    result = Diff()
    for name, wanted in want.items():
        present = have.get(name)
        if present is None:
            result.missing.append(Item(name, None))
            present = Namespace(name, wanted.role)
        _compare(wanted, present, result)
    result.unexpected += [Item(name, None) for name in have if name not in want]
    return result


def _compare(want: Namespace, have: Namespace, result: Diff) -> None:
    for attribute in FIELDS:
        wanted = {item.key: item for item in getattr(want, attribute)}
        present: dict[str, list[Object]] = {}
        for item in getattr(have, attribute):
            present.setdefault(item.key, []).append(item)
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
        result.unexpected += [
            Item(want.name, item) for others in present.values() for item in others
        ]
