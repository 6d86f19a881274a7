"""A difference as it travels as JSON, and back: an object goes with the name of its type's list."""

from __future__ import annotations

from typing import Any

import msgspec

from netlab.plan.diff import Change, Diff, Item
from netlab.plan.exceptions import NotCompared
from netlab.plan.links import AnyLink
from netlab.plan.rulesets import AnyRuleset
from netlab.plan.types import FIELDS, Object
from netlab.state import decode, encode

# Of lists whose objects are of several types, the union by which their JSON tells them apart.
_TYPES: dict[str, Any] = FIELDS | {"links": AnyLink, "ruleset": AnyRuleset}


_NOTHING = msgspec.Raw(b"null")


class One(msgspec.Struct, frozen=True):
    """An object, or a whole namespace where `field` is empty; of one changed both its states."""

    namespace: str
    field: str = ""
    want: msgspec.Raw = _NOTHING
    have: msgspec.Raw = _NOTHING
    owner: str | None = None


class Found(msgspec.Struct, frozen=True):
    """A `Diff`."""

    missing: tuple[One, ...]
    unexpected: tuple[One, ...]
    changed: tuple[One, ...]
    foreign: tuple[One, ...]
    not_compared: tuple[NotCompared, ...]


def travelling(diff: Diff) -> Found:
    return Found(
        tuple(map(_item, diff.missing)),
        tuple(map(_item, diff.unexpected)),
        tuple(_change(change) for change in diff.changed),
        tuple(map(_item, diff.foreign)),
        tuple(diff.not_compared),
    )


def arrived(found: Found) -> Diff:
    """Raises ValueError for what is no difference."""
    return Diff(
        [_as_item(one) for one in found.missing],
        [_as_item(one) for one in found.unexpected],
        [
            Change(one.namespace, _object(one, one.want), _object(one, one.have))
            for one in found.changed
        ],
        [_as_item(one) for one in found.foreign],
        list(found.not_compared),
    )


def _item(item: Item) -> One:
    if item.object is None:
        return One(item.namespace, owner=item.owner)
    return One(item.namespace, _field(item.object), _raw(item.object), owner=item.owner)


def _change(change: Change) -> One:
    field = _field(change.want)
    return One(change.namespace, field, _raw(change.want), _raw(change.have))


def _as_item(one: One) -> Item:
    return Item(one.namespace, _object(one, one.want) if one.field else None, one.owner)


def _object(one: One, raw: msgspec.Raw) -> Any:
    if one.field not in _TYPES:
        raise ValueError(f"no list of a namespace is {one.field!r}")
    return decode(bytes(raw), _TYPES[one.field])


def _raw(item: Object) -> msgspec.Raw:
    return msgspec.Raw(encode(item))


def _field(item: Object) -> str:
    return next(field for field, kind in FIELDS.items() if isinstance(item, kind))
