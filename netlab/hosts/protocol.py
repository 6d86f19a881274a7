"""What the controller and the agent on a machine say to each other: JSON, one document a line.

The agent speaks first: a `Hello`. Then the controller sends requests, and an empty line each second
(`BEAT`); the agent sends for each request any number of words on the way, then a value or an error.

    → {"id": 1, "call": "build", "with": {…}}
    ← {"id": 1, "tell": ["Building", 3, 7]}
    ← {"id": 1, "value": {…}}
    ← {"id": 1, "error": {"kind": "Unmet", "what": "…", "remedy": "…"}}
    → {"id": 1, "call": "cancel"}      ends the request, if it is still at work

A call is a function that both sides have (`netlab.hosts.calls`), of one value and of what to tell
words to, annotated, as its result is. So the types of what travels are those of the function, and
are written nowhere else.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from netlab import errors
from netlab.errors import NetlabError
from netlab.state import decode, encode

BEAT = 1.0  # seconds between two lines of the controller, at most
SILENCE = 10.0  # seconds without a line after which the agent takes the controller to be gone
CANCEL = "cancel"
Given = TypeVar("Given")
Found = TypeVar("Found")
Tell = Callable[[str, int, int], None]  # words, and how much is done of how much (0: unknown)
Call = Callable[[Given, Tell], Found]
_KINDS = ("BadInput", "Unmet", "LabUnavailable", "NetlabError")
_NOTHING = msgspec.Raw(b"null")


class Hello(msgspec.Struct, frozen=True):
    """What an agent says of itself. `clock` is the machine's, in seconds; order nothing by it."""

    digest: str  # of the netlab that it runs, see netlab.hosts.package
    version: str
    python: str
    kernel: str
    architecture: str
    clock: float
    root: bool
    identity: str  # the same for two names of one machine


class Lacks(msgspec.Struct, frozen=True):
    """What a machine says in place of a Hello that has no such netlab, or one it cannot load."""

    lacks: str  # Python's reason
    python: tuple[int, int]
    architecture: str
    libc: str  # "glibc 2.36", or "" for any other
    sudo: bool = False  # whether it took sudo to be root


class Request(msgspec.Struct, frozen=True):
    id: int
    call: str
    given: msgspec.Raw = msgspec.field(name="with", default=_NOTHING)


class Failure(msgspec.Struct, frozen=True):
    """A `NetlabError`, by its class; of any other (`kind` "bug") `remedy` is the traceback."""

    kind: str
    what: str
    remedy: str = ""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one of the three is there."""

    id: int
    tell: tuple[str, int, int] | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Failure | None = None


def line(message: Request | Reply | Hello) -> bytes:
    """A message as it travels. JSON has no line break but between its words, where none is."""
    return encode(message) + b"\n"


def value_of(call: Call[Any, Any], raw: msgspec.Raw) -> Any:
    """What a call returned, from JSON. Raises ValueError for anything else."""
    return decode(bytes(raw), _types(call)[1])


def given_of(call: Call[Any, Any], raw: msgspec.Raw) -> Any:
    """What a call is given, from JSON. Raises ValueError for anything else."""
    return decode(bytes(raw), _types(call)[0])


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


def failure(error: BaseException) -> Failure:
    """An exception as it travels."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    kind = next((known for known in _KINDS if known in kinds), "bug")
    if isinstance(error, NetlabError):
        return Failure(kind, error.what, error.remedy)
    return Failure(kind, f"{type(error).__name__}: {error}")


def raised(failure: Failure, machine: str) -> Exception:
    """The exception on this side, of the same class, with the machine's name in front."""
    what = f"{machine}: {failure.what}"
    if failure.kind not in _KINDS:
        bug = RuntimeError(what)
        bug.add_note(failure.remedy)
        return bug
    kind: type[NetlabError] = getattr(errors, failure.kind)
    return kind(what, failure.remedy)


def _types(call: Call[Any, Any]) -> tuple[Any, Any]:
    """What a call takes and what it returns."""
    hints = typing.get_type_hints(call)
    given, _tell = inspect.signature(call).parameters
    return hints[given], hints["return"]
