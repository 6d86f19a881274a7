"""The types of what a topology file gives, checked where a value is made: there the line is known.

Python itself never looks at annotations; here they are what a field may hold.
"""

from __future__ import annotations

import functools
import itertools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from netlab.errors import shown

ONE = {int: "a whole number", float: "a number", str: "a string", bool: "True or False"}
MANY = {int: "whole numbers", float: "numbers", str: "strings"}


def check_fields(value: object, kind: type, elsewhere: tuple[str, ...] = ()) -> None:
    """Insist that the fields of `kind`, a dataclass, hold what their annotations say.

    Sequences become tuples: a frozen value must not change with the user's list. `elsewhere` are
    types which only type checkers know, and which are checked at another place. Raises TypeError.
    """
    for name, wanted in hints(kind, elsewhere).items():
        object.__setattr__(
            value, name, fit(getattr(value, name), wanted, f"{kind.__name__}.{name}")
        )


def fit(value: Any, wanted: Any, where: str) -> Any:
    """The value as it is kept, a sequence as a tuple. Raises TypeError, naming `where` it is."""
    kinds = members(wanted)
    for kind in kinds:
        if not _is_sequence(kind):
            if _is_one(value, kind):
                return value
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            each = _item_kinds(kind, len(value))
            if each is not None:
                pairs = enumerate(zip(value, each, strict=False))
                return tuple(fit(item, inner, f"{where}[{n}]") for n, (item, inner) in pairs)
    wants = " or ".join(_in_words(kind) for kind in kinds if kind is not types.NoneType)
    if isinstance(value, str) and any(_is_sequence(kind, str) for kind in kinds):
        raise TypeError(
            f"{where} is a string, {shown(value)}, not {wants} such as "
            f"{shown(tuple(value.split()))}"
        )
    raise TypeError(f"{where} is {shown(value)}, not {wants}")


@functools.cache
def hints(kind: type, elsewhere: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """The types of a dataclass' fields; those that are `elsewhere` count as any object's."""
    return typing.get_type_hints(kind, localns=dict.fromkeys(elsewhere, object))


def members(wanted: Any) -> tuple[Any, ...]:
    """The types that a union is of; of any other type, itself alone."""
    union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    return typing.get_args(wanted) if union else (wanted,)


def _is_sequence(kind: Any, of: Any = None) -> bool:
    """Whether it is a sequence's type; with `of`, one of such items."""
    if typing.get_origin(kind) not in (list, tuple, Sequence):
        return False
    return of is None or typing.get_args(kind)[0] is of


def _item_kinds(kind: Any, length: int) -> Sequence[Any] | itertools.repeat[Any] | None:
    """The type of each item; None where the type has a fixed number of items and not this one."""
    items = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and Ellipsis not in items:
        return items if len(items) == length else None
    return itertools.repeat(items[0])


def _is_one(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if isinstance(value, bool) and kind in (int, float):
        return False  # to Python it is a number, but nobody means one by it
    return isinstance(value, (int, float) if kind is float else kind)


def _in_words(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    if not _is_sequence(kind):
        return ONE.get(kind, f"a {kind.__name__}")
    items = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and Ellipsis not in items:
        return f"({', '.join(map(_in_words, items))})"
    return f"a sequence of {MANY.get(items[0], getattr(items[0], '__name__', items[0]))}"
