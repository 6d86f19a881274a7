"""Text that a user gave (`--set KEY=VALUE`) to the type that an option has."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from netlab.errors import BadInput, shown

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
NUMBERS: dict[type[Any], str] = {int: "a whole number", float: "a number"}


def convert(text: str, wanted: Any, option: str) -> Any:
    """Turn the text given for `option` into a value of the type `wanted`.

    Types are str, int, float, bool, a Literal, a list, tuple or Sequence of them (by commas), and a
    union (a sequence where there are commas). Raises BadInput for other types and other text.
    """
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return convert(text, _member(text, wanted), option)
    if origin is Literal:
        return _choose(text, typing.get_args(wanted), option)
    if _is_sequence(wanted):
        kinds = [kind for kind in typing.get_args(wanted) if kind is not Ellipsis] or [str]
        parts = [convert(part.strip(), kinds[0], option) for part in text.split(",") if part]
        if _has_length(wanted) and len(parts) != len(kinds):
            raise BadInput(
                f"The option {option} is {len(kinds)} values with commas between, not {shown(text)}"
                "."
            )
        return tuple(parts) if (origin or wanted) is tuple else parts
    if wanted is bool:
        return _boolean(text, option)
    if wanted is str:
        return text
    if wanted in NUMBERS:
        try:
            return wanted(text)
        except ValueError:
            kind = NUMBERS[wanted]
            raise BadInput(f"The option {option} is {kind}, not {shown(text)}.") from None
    raise BadInput(f"The option {option} cannot be given as text", "set it in a topology file")


def is_text(wanted: Any) -> bool:
    """Whether `convert` knows the type."""
    if _is_sequence(wanted):
        return all(is_text(kind) for kind in typing.get_args(wanted) if kind is not Ellipsis)
    return typing.get_origin(wanted) is Literal or wanted in (str, bool, *NUMBERS)


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function which can be given by name."""
    by_name = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    everything = inspect.signature(function).parameters
    return {name: value for name, value in everything.items() if value.kind in by_name}


def parameter_types(function: Callable[..., Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The type of each of those parameters: what its annotation says, or else its default.

    Where neither does, it is the `usual` type of that name, or else text.
    """
    hints = _hints(function)
    return {
        name: hints.get(name, _type_of(parameter.default, usual.get(name, str)))
        for name, parameter in parameters(function).items()
    }


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations, but for those which name something that only type checkers see."""
    hints = {}
    for name, kind in inspect.get_annotations(function).items():
        try:
            names = getattr(function, "__globals__", {})
            hints[name] = eval(kind, names) if isinstance(kind, str) else kind
        except Exception:  # the user's own code: it may fail in any way
            continue
    return hints


def _type_of(default: Any, otherwise: Any) -> Any:
    """The type of a parameter without annotation; `otherwise` with no or an odd default."""
    return type(default) if isinstance(default, bool | int | float | list | tuple) else otherwise


def _has_length(wanted: Any) -> bool:
    items = typing.get_args(wanted)
    return typing.get_origin(wanted) is tuple and Ellipsis not in items


def _is_sequence(wanted: Any) -> bool:
    return (typing.get_origin(wanted) or wanted) in (list, tuple, Sequence)


def _member(text: str, union: Any) -> Any:
    """The member of a union that the text is for: a sequence where it has commas."""
    kinds = [kind for kind in typing.get_args(union) if kind is not types.NoneType]
    single = [kind for kind in kinds if not _is_sequence(kind)]
    if bool in single and len(single) > 1 and text.lower() not in TRUE + FALSE:
        single.remove(bool)
    several = [kind for kind in kinds if _is_sequence(kind)]
    return (several + single if "," in text else single + several)[0]


def _boolean(text: str, option: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise BadInput(f"The option {option} is true or false, not {shown(text)}.")
    return text.lower() in TRUE


def _choose(text: str, choices: tuple[Any, ...], option: str) -> Any:
    for choice in choices:
        if str(choice) == text:
            return choice
    names = ", ".join(str(choice) for choice in choices)
    raise BadInput(f"The option {option} is one of {names}, not {shown(text)}.")
