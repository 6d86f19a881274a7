"""Nodes and pods that come: what others have stays, and what they get names the new ones only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from netlab.designing import design
from netlab.plan.diff import Change, diff
from netlab.plan.links import Veth
from netlab.plan.processes import Daemon, File, Owner, Ready
from netlab.plan.routing import route
from netlab.state import Design
from netlab.topology import loader

NAMED = "seed-cilium"  # gives its nodes names and CIDRs, so that they have no number to set
NODES = [(1, 2), (3, 4)]
PODS = [(1, 3), (63, 66)]
# Where Services have all pods as endpoints, a new one changes every node's rules.
TOPOLOGIES = loader.available().keys() - {"services"}
CASES = [(name, "pods_per_node", *step) for name in sorted(TOPOLOGIES) for step in PODS]
CASES += [
    (name, "nodes", *step)
    for name in sorted(TOPOLOGIES)
    for step in NODES
    if name != NAMED and (name, step) != ("calico-rr", (1, 2))  # it has two reflectors
]


def told(one: Design, other: Design) -> re.Pattern[str]:
    """What names a node or pod that only the other has: its name, addresses, MACs, far ends."""
    found: set[str] = set()
    before = {str(cidr) for node in one.layout.nodes for cidr in node.pod_cidrs}
    for node in other.layout.nodes:
        found |= {str(cidr) for cidr in node.pod_cidrs} - before
    for name in other.plan.namespaces.keys() - one.plan.namespaces.keys():
        space = other.plan.namespaces[name]
        found |= {name, *(address.ip for address in space.addresses)}
        found |= {link.mac for link in space.links}
        found |= {link.peer.link for link in space.links if isinstance(link, Veth) and link.peer}
    words = "|".join(re.escape(word) for word in found - {"", "127.0.0.1", "::1"})
    return re.compile(rf"(?<![\w.:])({words})(?![\w:]|\.\d)")


def stays(one: Design, other: Design) -> Mapping[str, Any]:
    spaces = one.plan.namespaces
    return {name: space for name, space in spaces.items() if name in other.plan.namespaces}


@pytest.mark.parametrize(("topology", "option", "few", "more"), CASES)
def test_others_get_what_names_the_new_ones_and_lose_nothing(
    topology: str, option: str, few: int, more: int
) -> None:
    before, after = design(topology, {option: few}), design(topology, {option: more})
    new = told(before, after)
    difference = diff(stays(after, before), stays(before, after))
    assert difference.unexpected == []
    added = [item for item in difference.missing if item.owner is None]
    assert [str(item) for item in added if not new.search(str(item))] == []
    assert any("link" in str(item) for item in added), "a port of the switch, or a pod's"
    others = [words for change in difference.changed for words in changed(change)]
    assert [words for words in others if not new.search(words)] == []


def changed(change: Change) -> Iterator[str]:
    """What differs, line by line; a daemon goes on as it runs."""
    want, have = change.want, change.have
    if not (isinstance(want, Daemon) and isinstance(have, Daemon)):
        yield from change.differences
        return
    assert want.takes_over(have)
    assert have.takes_over(want)
    yield from (str(way) for way in want.brings if way not in have.brings)
    assert [way for way in have.brings if way not in want.brings] == []
    for one, other in zip(want.files, have.files, strict=True):
        new, old = (lines(file.content) for file in (one, other))
        assert [line for line in old if line not in new] == []
        yield from (line.replace("_", ".") for line in new if line not in old)


def lines(text: str) -> list[str]:
    """Those with words, without what ends a line of JSON that is not the last."""
    return [line.rstrip(",") for line in text.splitlines() if re.search(r"\w", line)]


PLAIN = Daemon(
    name="d",
    command=("d",),
    files=(File("read", "1"), File("fixed", "1")),
    reloads=("read",),
)
CHANGES: dict[str, tuple[Callable[[Daemon], Daemon], bool]] = {
    "nothing": (lambda daemon: daemon, True),
    "a file that is read anew": (
        lambda daemon: replace(daemon, files=(File("read", "2"), File("fixed", "1"))),
        True,
    ),
    "what it must bring": (
        lambda daemon: replace(daemon, brings=(route("10.0.0.0/8", "eth0"),)),
        True,
    ),
    "what it owns": (lambda daemon: replace(daemon, owns=Owner(protocols=("bird",))), True),
    "another file": (
        lambda daemon: replace(daemon, files=(File("read", "1"), File("fixed", "2"))),
        False,
    ),
    "a file more": (
        lambda daemon: replace(daemon, files=(*daemon.files, File("more", "1"))),
        False,
    ),
    "the command": (lambda daemon: replace(daemon, command=("d", "-v")), False),
    "how it is ready": (lambda daemon: replace(daemon, ready=Ready(tcp=179)), True),
    "a file by which it is ready": (lambda daemon: replace(daemon, ready=Ready(file="up")), False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_daemon_goes_on_where_it_can(name: str) -> None:
    change, goes_on = CHANGES[name]
    assert change(PLAIN).takes_over(PLAIN) is goes_on
