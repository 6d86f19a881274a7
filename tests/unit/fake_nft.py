"""A table of nftables as commands change it, with what the kernel refuses: for transactions."""

from __future__ import annotations

import re

from netlab.plan.rulesets import NftTable
from netlab.plan.rulesets.nft import split_value

State = dict[tuple[str, str], tuple[str, list[str]]]
_COMMAND = re.compile(
    r"(?P<verb>add|delete|flush) (?P<kind>rule|element|table|ct \w+|\w+) (?P<table>\S+ \S+)"
    r"(?: (?P<name>\S+))?(?: (?P<rest>.*))?$",
    re.DOTALL,
)


class Refused(Exception):
    """What the kernel would not do."""


def state(table: NftTable) -> State:
    """What a table is, as the fake keeps it: the words that make each piece, and its content."""
    result: State = {}
    for key, piece in table.pieces.items():
        content = list(getattr(piece, "rules", ())) or list(getattr(piece, "texts", ()))
        result[key] = (" ".join(f"{line};" for line in piece.definition), content)
    return result


class FakeTable:
    """Applies commands one by one; names must be there when they are used, and unused to go."""

    def __init__(self, table: NftTable) -> None:
        self.state = state(table)

    def apply(self, command: str) -> None:
        match = _COMMAND.match(command)
        assert match, f"no command that is known: {command}"
        verb, kind, name, rest = match["verb"], match["kind"], match["name"], match["rest"] or ""
        if kind == "rule":
            self._use(rest)
            self._content("chain", name).append(rest)
        elif kind == "element":
            self._elements(verb, name, rest.removeprefix("{ ").removesuffix(" }"))
        elif verb == "flush":
            self._content(kind, name).clear()
        elif verb == "delete":
            self._delete(kind, name)
        else:
            self._add(kind, name, rest.removeprefix("{").removesuffix("}").strip())

    def _content(self, kind: str, name: str) -> list[str]:
        if (kind, name) not in self.state:
            raise Refused(f"no {kind} {name}")
        return self.state[kind, name][1]

    def _elements(self, verb: str, name: str, texts: str) -> None:
        kind = "set" if ("set", name) in self.state else "map"
        content = self._content(kind, name)
        keys = {_key(text): text for text in content}
        for text in re.split(r', (?=(?:[^"]*"[^"]*")*[^"]*$)', texts):
            if verb == "add":
                if _key(text) in keys and keys[_key(text)] != text:
                    raise Refused(f"another element {_key(text)}")
                self._use(text)
                content.append(text)
            elif text not in keys:
                raise Refused(f"no element {text}")
            else:
                content.remove(keys[text])

    def _delete(self, kind: str, name: str) -> None:
        self._content(kind, name)
        users = [user for user in self._users(name) if user != (kind, name)]
        if users:
            raise Refused(f"{kind} {name} is in use by {users}")
        if kind == "chain" and self.state[kind, name][1]:
            raise Refused(f"chain {name} has rules")
        del self.state[kind, name]

    def _add(self, kind: str, name: str, definition: str) -> None:
        old = self.state.get((kind, name))
        if old and _without_policy(old[0]) != _without_policy(definition):
            raise Refused(f"{kind} {name} exists and is another")
        self.state[kind, name] = (definition, old[1] if old else [])

    def _use(self, text: str) -> None:
        for kind, name in _names(text):
            if not any((one, name) in self.state for one in kind):
                raise Refused(f"{text}: there is no {name}")

    def _users(self, name: str) -> list[tuple[str, str]]:
        return [
            key
            for key, (_, content) in self.state.items()
            if any(name == used for text in content for _, used in _names(text))
        ]


def _key(text: str) -> str:
    return re.sub(" comment .*", "", split_value(text)[0])


def _without_policy(definition: str) -> str:
    return re.sub(r" policy \w+;", "", definition)


def _names(text: str) -> list[tuple[tuple[str, ...], str]]:
    chains = [(("chain",), name) for name in re.findall(r"(?:jump|goto) (\S+)", text)]
    sets = [(("set", "map"), name) for name in re.findall(r"@(\S+)", text)]
    return chains + sets
