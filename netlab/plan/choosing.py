"""Which objects of a lab a user means by a few words: a name, a part of one, a pasted line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from netlab.errors import BadInput, shown
from netlab.plan.explaining import Explained
from netlab.topology.resolved import Layout

# What `ip` and `bridge` print that the words of an object do not have.
_NOISE = re.compile(
    r"\b(scope \w+|proto (kernel|boot|static)|metric \d+|brd \S+|table (main|local)|linkdown|self"
    r"|permanent|inet6?|lower_up)\b"
)
_HOST = re.compile(r"/(32|128)\b")
_SETTING = re.compile(r"(/proc/sys/)?net[./]\w")
_NEAREST, _LISTED = 3, 8


def choose(explained: Sequence[Explained], text: str, layout: Layout) -> list[Explained]:
    """What the words mean: of the first way of reading them in which they mean something.

    A namespace is all in it; `NAMESPACE/OBJECT` is looked for there alone. Otherwise words are the
    whole name of an object or of its writer, or stand within its words, or all are among them.
    Raises BadInput where nothing is meant.
    """
    wanted = " ".join(text.split())
    spaces = _spaces(explained, layout)
    if here := spaces.get(wanted):
        return [one for one in explained if one.namespace in here]
    for name in sorted(spaces, key=len, reverse=True):
        rest = wanted.removeprefix(f"{name}/")
        if rest != wanted:
            within = [one for one in explained if one.namespace in spaces[name]]
            if found := _meant(within, rest):
                return found
            raise _unknown(rest, within, spaces, name)
    if found := _meant(explained, wanted):
        return found
    raise _unknown(wanted, explained, spaces)


def _spaces(explained: Iterable[Explained], layout: Layout) -> Mapping[str, set[str]]:
    """The namespaces that a name means: pods of two Kubernetes namespaces may share one."""
    spaces = {one.namespace: {one.namespace} for one in explained}
    for pod in layout.pods:
        for name in (pod.own_name, f"{pod.namespace}/{pod.own_name}"):
            if pod.name in spaces and pod.name != name:
                spaces.setdefault(name, set()).add(pod.name)
    return spaces


def _meant(explained: Sequence[Explained], text: str) -> list[Explained]:
    folded = text.casefold()
    # `bird` is a daemon, and BIRD the writer of what it brings.
    if found := [o for o in explained if folded in map(str.casefold, (*o.names, o.writer))]:
        return found
    plain = _plain(folded)
    if not plain:
        return []
    if found := [one for one in explained if f" {plain} " in f" {_plain(one.object)} "]:
        return found
    words = set(plain.split())
    return [one for one in explained if words <= set(_plain(one.object).split())]


def _plain(text: str) -> str:
    """Words of an object, or those that a command printed of it, without what differs of form."""
    quiet = _NOISE.sub(" ", text.casefold())
    plain = re.sub(r"(^| )default( |$)", r"\g<1>0.0.0.0/0\2", _HOST.sub("", quiet))
    return " ".join(plain.replace(": ", " ").split())


def _unknown(
    text: str,
    explained: Sequence[Explained],
    spaces: Iterable[str],
    within: str = "",
) -> BadInput:
    """The error for words that mean nothing, with the names that are nearest."""
    where = f" in {within}" if within else ""
    what = f"There is no object {shown(text)}{where}"
    if _SETTING.match(text):
        what = f"No part of the lab writes the setting {shown(text)}{where}"
    known = {name for one in explained for name in (*one.names, one.writer)}
    nearest = difflib.get_close_matches(text, known | set(spaces), n=_NEAREST, cutoff=0.6)
    if nearest:
        return BadInput(what, f"did you mean {' or '.join(nearest)}?")
    listed = [*dict.fromkeys(one.namespace for one in explained)][:_LISTED]
    return BadInput(
        what,
        "name a device, an address, a route, a setting, a chain, a rule or a daemon, or all that "
        f"is in one of {', '.join(listed)}",
    )
