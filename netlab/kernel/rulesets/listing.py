"""What `nft list ruleset` prints, as tables. Nothing that it prints is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netlab.plan.rulesets import Chain, Hook, Map, NftObject, NftTable, Set
from netlab.plan.rulesets.nft import split_value

# A newer nft adds remarks, as `table ip t { # progname x` or `size 65535	# count 3`.
_OPENS = re.compile(r"^(\t*)(\S.*?) \{(?:\s+#.*)?$")
_REMARK = re.compile(r"\s+# (?:count|handle) \d+$")
_COMMENT = re.compile(r'^comment "(.*)"$')
_HOOK = re.compile(
    r"^type (?P<type>\S+) hook (?P<hook>\S+)(?: devices? (?:= \{ (?P<many>.*?) \}|(?P<one>\S+)))?"
    r" priority (?P<priority>[^;]+);(?: policy (?P<policy>\w+);)?$"
)
_SEPARATOR = re.compile(r",\s+")


def parse(listing: str) -> list[NftTable]:
    """The tables of a ruleset, listed without counter values and handles."""
    found = []
    for header, body in _blocks(listing.splitlines(), 0):
        if header.startswith("table "):
            _, family, name = header.split(" ", 2)
            found.append(_table(family, name, body))
    return found


def _blocks(lines: Iterable[str], depth: int) -> Iterator[tuple[str, list[str]]]:
    """What stands in braces at a depth of tabs, as header and body; plain lines have no body."""
    header = ""
    body: list[str] = []
    closes = "\t" * depth + "}"
    for line in lines:
        if header:
            if line == closes:
                yield header, body
                header, body = "", []
            else:
                body.append(line)
        elif (opens := _OPENS.match(line)) and len(opens[1]) == depth:
            header = opens[2]
        elif line.strip():
            yield line.strip(), []


def _table(family: str, name: str, lines: list[str]) -> NftTable:
    comment = ""
    flags: tuple[str, ...] = ()
    objects: list[NftObject] = []
    sets: list[Set] = []
    maps: list[Map] = []
    chains: list[Chain] = []
    inner = [_REMARK.sub("", line) if "#" in line else line for line in lines]
    for header, body in _blocks(inner, 1):
        kind, _, title = header.rpartition(" ")
        if words := _COMMENT.match(header):
            comment = words[1]
        elif kind == "flags":
            flags = tuple(title.split(","))
        elif kind == "chain":
            chains.append(_chain(title, body))
        elif kind == "set":
            sets.append(_set(title, body))
        elif kind == "map":
            maps.append(_map(title, body))
        else:
            objects.append(NftObject(kind=kind, name=title, lines=tuple(map(str.strip, body))))
    return NftTable(
        family=family,
        name=name,
        comment=comment,
        flags=flags,
        objects=tuple(objects),
        sets=tuple(sets),
        maps=tuple(maps),
        chains=tuple(chains),
    )


def _chain(name: str, lines: list[str]) -> Chain:
    comment, hook = "", None
    rules: list[str] = []
    for line in _joined(lines):
        if words := _COMMENT.match(line):
            comment = words[1]
        elif found := _HOOK.match(line):
            hook = _hook(found)
        else:
            rules.append(line)
    return Chain(name=name, comment=comment, hook=hook, rules=tuple(rules))


def _hook(found: re.Match[str]) -> Hook:
    devices = found["many"] or found["one"] or ""
    return Hook(
        type=found["type"],
        hook=found["hook"],
        priority=found["priority"],
        policy=found["policy"] or "accept",
        devices=tuple(name.strip('"') for name in _SEPARATOR.split(devices)) if devices else (),
    )


def _set(name: str, lines: list[str]) -> Set:
    kind, flags, options, comment, texts = _contents(lines)
    return Set(
        name=name, type=kind, flags=flags, options=options, comment=comment, elements=tuple(texts)
    )


def _map(name: str, lines: list[str]) -> Map:
    kind, flags, options, comment, texts = _contents(lines)
    elements = tuple(map(split_value, texts))
    return Map(
        name=name, type=kind, flags=flags, options=options, comment=comment, elements=elements
    )


def _contents(
    lines: list[str],
) -> tuple[str, tuple[str, ...], tuple[str, ...], str, list[str]]:
    kind = comment = ""
    flags: tuple[str, ...] = ()
    options: list[str] = []
    texts: list[str] = []
    for line in _joined(lines):
        if line.startswith("type "):
            kind = line.removeprefix("type ")
        elif line.startswith("typeof "):
            kind = line
        elif line.startswith("flags "):
            flags = tuple(line.removeprefix("flags ").split(","))
        elif words := _COMMENT.match(line):
            comment = words[1]
        elif line.startswith("elements = {"):
            texts = _split(line.removeprefix("elements = {").removesuffix("}").strip())
        else:
            options.append(line)
    return kind, flags, tuple(options), comment, texts


def _joined(lines: Iterable[str]) -> list[str]:
    """Lines of a block, those that nft wrapped put together again."""
    result: list[list[str]] = []
    for line in lines:
        if line.startswith("\t\t\t") and result:
            result[-1].append(line.strip())
        elif line.strip():
            result.append([line.strip()])
    return [" ".join(parts) for parts in result]


def _split(elements: str) -> list[str]:
    """Elements are separated by a comma with a space, which may also be in a comment."""
    texts: list[str] = []
    for part in _SEPARATOR.split(elements):
        if texts and texts[-1].count('"') % 2:
            texts[-1] += f", {part}"
        else:
            texts.append(part)
    return texts
