"""What in a plan has a name of its own, and how users call it: objects, and pieces of rulesets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

from netlab.plan.links import Link
from netlab.plan.processes import Container, Daemon
from netlab.plan.routing import Address, FdbEntry, Neighbour, Route, Rule, Sysctl
from netlab.plan.rulesets import Ipset, IptablesTable, IpvsTable, NftTable, Ruleset
from netlab.plan.types import Object

_EVERYTHING = {"0.0.0.0/0", "::/0"}


class Thing(NamedTuple):
    """`words` are those of `netlab diff`, and `names` what a user types for it.

    `item` is the object; None for a piece of one, and for a namespace.
    """

    kind: str
    words: str
    names: tuple[str, ...]
    item: Object | None = None


def things(item: Object) -> Iterator[Thing]:
    """The object, and of a ruleset its pieces, which go by its names too.

    A rule goes by the name of its chain as well.
    """
    whole = thing(item)
    yield whole
    chain = ""
    for part in item.parts if isinstance(item, Ruleset) else ():
        chain = part.name if part.kind == "chain" else chain
        within = (chain,) if part.kind == "rule" else ()
        yield Thing(part.kind, part.words, (part.name, *within, *whole.names))


def thing(item: Object) -> Thing:
    """The object alone."""
    return Thing(item.what, str(item), tuple(dict.fromkeys(_names(item))), item)


def namespace_thing(name: str) -> Thing:
    """A namespace as one of its own objects."""
    return Thing("namespace", f"namespace {name}", (name,))


@singledispatch
def _names(item: object) -> Iterator[str]:
    """Nothing but its words, as of an object whose type no plan has."""
    return iter(())


@_names.register
def _(item: Link) -> Iterator[str]:
    yield item.name
    if item.alias:
        yield item.alias
    if item.mac:
        yield item.mac


@_names.register
def _(item: Address) -> Iterator[str]:
    yield from (item.address, item.ip)


@_names.register
def _(item: Route) -> Iterator[str]:
    yield item.destination
    address, _, length = item.destination.partition("/")
    if length in ("32", "128"):
        yield address
    if item.destination in _EVERYTHING:
        yield "default"


@_names.register
def _(item: Rule) -> Iterator[str]:
    yield f"rule {item.priority}"


@_names.register
def _(item: Neighbour) -> Iterator[str]:
    yield from (item.address, item.mac)


@_names.register
def _(item: FdbEntry) -> Iterator[str]:
    yield from (item.mac, item.destination)


@_names.register
def _(item: Sysctl) -> Iterator[str]:
    """As `sysctl` has it, which swaps dots and slashes, as people write it, and its last word."""
    yield item.path.translate(str.maketrans("/.", "./"))
    yield item.path
    yield item.path.replace("/", ".")
    yield f"/proc/sys/{item.path}"
    yield item.path.rpartition("/")[2]


@_names.register
def _(item: NftTable) -> Iterator[str]:
    yield from (item.key, item.name, f"table {item.key}")


@_names.register
def _(item: IptablesTable) -> Iterator[str]:
    yield from (str(item), item.key, item.name)


@_names.register
def _(item: Ipset) -> Iterator[str]:
    yield item.name


@_names.register
def _(item: IpvsTable) -> Iterator[str]:
    yield item.key


@_names.register(Daemon)
@_names.register(Container)
def _(item: Daemon | Container) -> Iterator[str]:
    yield item.name
