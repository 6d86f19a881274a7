"""Values in words: what differs between two states of an object, without Python's punctuation."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.links import Other, Value

LONGEST = 60  # characters of a text that are shown


def differences(want: Value, have: Value, within: str = "") -> Iterator[str]:
    """`FIELD is THIS, not THAT` for each field that differs; of fields of fields, `within` which.

    Both are of one type.
    """
    for name in want.__struct_fields__:
        wanted, present = getattr(want, name), getattr(have, name)
        if wanted == present:
            continue
        words = f"{within}{name.replace('_', ' ')}"
        if isinstance(wanted, Value) and type(wanted) is type(present) and not _speaks(wanted):
            yield from differences(wanted, present, f"{words} ")
        elif name in want.secret:
            yield f"{words} differs"
        elif (this := text(present)) != (that := text(wanted)):
            yield f"{words} is {this}, not {that}"
        else:
            yield f"{words} differs"  # beyond where its text is cut


def kind(item: object) -> str:
    """The kind of a device, also of one that no type describes; of all else what it is."""
    if isinstance(item, Other) and item.type:
        return item.type
    return str(getattr(item, "kind", getattr(item, "what", "")))


def text(value: object) -> str:
    """A field's value. A long text is cut."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return (" and " if isinstance(value[0], Value) else " ").join(map(text, value))
    if isinstance(value, Value) and not _speaks(value):
        return " ".join(_told(value)) or "by default"
    short = " ".join(str(value).split()) or "none"
    return short if len(short) <= LONGEST else short[: LONGEST - 1] + "…"


def _speaks(value: Value) -> bool:
    """Whether its type has words of its own."""
    return type(value).__str__ is not object.__str__


def _told(value: Value) -> Iterator[str]:
    """The fields that are not as by default, each with its name."""
    names, defaults = value.__struct_fields__, value.__struct_defaults__
    usual = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    for name in names:
        given = getattr(value, name)
        if name not in usual or given != usual[name]:
            yield f"{name.replace('_', ' ')} {'given' if name in value.secret else text(given)}"
