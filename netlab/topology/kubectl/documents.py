"""The documents of files that kubectl wrote: JSON or YAML, one or several, logs between them.

YAML is read from libyaml's events, so that a large dump takes little time: every scalar is text,
which its reader turns into what a field is. Aliases, which can make a small file a huge document,
and keys that are there twice are refused. Nothing that is read is run.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from netlab.errors import BadInput, sentence, shown

STDIN = "-"
LARGEST = 1 << 28  # bytes of a file
_LOGS, _LOGS_END = "==== START logs for ", "==== END logs for "  # `kubectl cluster-info dump`
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


class Located(dict[str, Any]):
    """A mapping that knows in which line it begins."""

    __slots__ = ("line",)
    line: int


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, all of it; `name` is how the user calls it."""

    name: str
    text: str

    def error(self, line: int, problem: str, remedy: str = "") -> BadInput:
        return BadInput(f"{self.name} line {line}: {problem}{'' if remedy else '.'}", remedy)


def source(path: str) -> Source:
    """What a file holds, or standard input for `-`. Raises BadInput."""
    name = "standard input" if path == STDIN else path
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(LARGEST + 1)
        else:
            with Path(path).open("rb") as stream:
                data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or error
        raise BadInput(f"{name} cannot be read: {problem}.") from None
    if len(data) > LARGEST:
        raise BadInput(f"{name} is larger than {LARGEST >> 20} MiB", "leave out what is no object")
    encoding = next((code for mark, code in _MARKS if data.startswith(mark)), "utf-8")
    return Source(name, data.decode(encoding, errors="replace"))


def documents(given: Source) -> Iterator[Located]:
    """The mappings that stand in a file by themselves. Raises BadInput for what is none."""
    text = _without_logs(given.text)
    collecting = gc.isenabled()
    gc.disable()  # half of the time: of so many values none is garbage
    try:
        if text.lstrip().startswith(("{", "[")):
            yield from _json(given, text)
        else:
            yield from _yaml(given, text)
    except RecursionError:
        raise BadInput(f"{given.name} is nested too deeply to be from kubectl.") from None
    finally:
        if collecting:
            gc.enable()


def _without_logs(text: str) -> str:
    """The text without pods' logs; their lines stay, empty."""
    parts: list[str] = []
    position = 0
    while (start := text.find(_LOGS, position)) >= 0:
        end = text.find(_LOGS_END, start)
        end = len(text) if end < 0 else text.find("\n", end)
        end = len(text) if end < 0 else end
        parts += [text[position:start], "\n" * text.count("\n", start, end)]
        position = end
    return "".join((*parts, text[position:])) if parts else text


def _json(given: Source, text: str) -> Iterator[Located]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    position = len(text) - len(text.lstrip())
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise given.error(error.lineno, f"this is not JSON ({error.msg})") from None
        except ValueError as error:
            raise given.error(line, sentence(str(error))) from None
        if not isinstance(value, dict):
            raise _foreign(given, line)
        yield _located(value, line)
        while text[position : position + 1].isspace():
            position += 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{shown(twice)} is given twice in one object")
    return {key: value for key, value in pairs if value is not None}


def _located(value: dict[str, Any], line: int) -> Located:
    found = Located(value)
    found.line = line
    return found


def _foreign(given: Source, line: int) -> BadInput:
    return given.error(
        line,
        "this is no object of Kubernetes",
        "give what `kubectl get nodes,pods,services,endpointslices -A -o yaml` prints, or "
        "`kubectl cluster-info dump`",
    )


def _yaml(given: Source, text: str) -> Iterator[Located]:
    import yaml  # as late as it is needed: 20 ms

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        for line, value in _Builder(given, yaml).documents(yaml.parse(text, Loader=loader)):
            if not isinstance(value, Located):
                if value is None:
                    continue
                raise _foreign(given, line)
            yield value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = sentence(str(getattr(error, "problem", None) or error)).rstrip(".")
        line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise given.error(line, f"this is not YAML ({problem})") from None


class _Builder:
    """From events to values: mappings, lists and text."""

    def __init__(self, given: Source, yaml: Any) -> None:
        self._given = given
        self._scalar, self._alias = yaml.ScalarEvent, yaml.AliasEvent
        self._starts = {yaml.MappingStartEvent: Located, yaml.SequenceStartEvent: list}
        self._ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)

    def documents(self, events: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        """Each document's value with its line."""
        stack: list[tuple[Any, str | None]] = []  # what is around, with the key that waits there
        here: Any = None
        key: str | None = None
        for event in events:
            kind = type(event)
            if kind is self._scalar:
                value = event.value
                if type(here) is Located and key is None:
                    if value in here:
                        self._refuse(event, f"{shown(value)} is given twice")
                    key = value
                    continue
                if event.implicit[0] and value in _NULL:
                    value = None
            elif made := self._starts.get(kind):
                if type(here) is Located and key is None:
                    self._refuse(event, "a mapping's key is no text")
                stack.append((here, key))
                here, key = made(), None
                if made is Located:
                    here.line = event.start_mark.line + 1
                continue
            elif kind in self._ends:
                value = here
                here, key = stack.pop()
            elif kind is self._alias:
                self._refuse(event, f"&{event.anchor} is used again", "write it out")
            else:
                continue
            if here is None:
                yield event.start_mark.line + 1, value
            elif type(here) is list:
                here.append(value)
            else:
                if value is not None:  # what is null is as what is not there
                    here[key] = value
                key = None

    def _refuse(self, event: Any, problem: str, remedy: str = "") -> NoReturn:
        raise self._given.error(event.start_mark.line + 1, problem, remedy)


def items(given: Source) -> Iterator[tuple[Located, int]]:
    """The objects of a file, those of its Lists one by one, each with its line.

    Raises BadInput for documents that are not of Kubernetes.
    """
    for document in documents(given):
        kind, line = document.get("kind"), document.line
        if not isinstance(kind, str) or not isinstance(document.get("apiVersion"), str):
            raise _foreign(given, line)
        if not kind.endswith("List") or "items" not in document:
            yield document, line
            continue
        common = {"apiVersion": document["apiVersion"], "kind": kind.removesuffix("List")}
        own = document["items"] or []
        if not isinstance(own, list) or not all(isinstance(one, dict) for one in own):
            raise given.error(line, f"the items of the {shown(kind)} are no objects")
        for one in own:
            # Those of a NodeList do not say that they are nodes; those of a List do.
            found = one if "kind" in one else common | one
            yield _located(found, getattr(one, "line", line)), getattr(one, "line", line)


def sources(paths: Sequence[str]) -> list[Source]:
    """Each file, once. Raises BadInput."""
    for path in paths:
        if paths.count(path) > 1:
            raise BadInput(f"The file {path} is given twice", "give it once")
    return [source(path) for path in paths]
