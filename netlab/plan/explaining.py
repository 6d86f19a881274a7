"""Who writes each object of a lab, and why: every part that plans objects is asked for its words.

Nothing of it is stored, and `up` does none of it. Parts are told apart by planning once more, so
that none answers for what another one planned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from netlab.plan import compile as compiling
from netlab.plan import dns, spreading, underlay
from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.explanations import Says, explains, told
from netlab.plan.local_table import local_routes
from netlab.plan.ownership import brought
from netlab.plan.proxy import Proxy
from netlab.plan.routing import Address, connected
from netlab.plan.rulesets import Ruleset
from netlab.plan.things import Thing, namespace_thing, thing, things
from netlab.plan.types import FIELDS, Namespace, Object, Plan
from netlab.topology.resolved import Layout

THERE, MISSING, CHANGED, UNEXPECTED = "there", "missing", "changed", "unexpected"
NOBODYS = Says(
    "*",
    "nobody of the lab",
    "Not in the plan: made or set by hand, or by a program that the lab knows nothing of. "
    "`netlab up` undoes it.",
)
TELLS_NOTHING = "plans it, and tells nothing of why."
OF_NETLAB = (*compiling.EXPLAINS, *underlay.EXPLAINS, *dns.EXPLAINS, *spreading.EXPLAINS)


class Explained(msgspec.Struct, frozen=True):
    """An object of a namespace, who writes it and why.

    `state` is THERE, or what `netlab diff` says of it. `names` are what a user may call it.
    """

    namespace: str
    kind: str
    object: str
    writer: str
    why: str
    state: str
    names: tuple[str, ...]


class _Planner(NamedTuple):
    """Who plans objects beside netlab itself: a dataplane, or its way to attach pods."""

    title: str
    says: tuple[Says, ...]

    @property
    def silence(self) -> Says:
        return Says("*", self.title, f"The {self.title} {TELLS_NOTHING}")


_NETLAB = Says("*", "netlab", f"netlab {TELLS_NOTHING}")
_Key = tuple[str, str]  # what an object is, and its key
_Planners = Mapping[tuple[str, _Key], list[_Planner]]  # by namespace and key


@dataclass(slots=True)
class _Differs:
    """How one namespace differs from the plan, and what daemons wrote there."""

    lost: dict[_Key, Item | Change] = field(default_factory=dict)
    gone: bool = False
    foreign: list[Item] = field(default_factory=list)
    unexpected: list[Item] = field(default_factory=list)


def explain(
    layout: Layout,
    dataplane: Dataplane,
    plan: Plan,
    found: Diff | None = None,
    proxy: Proxy | None = None,
) -> list[Explained]:
    """Everything that is in the namespaces of a lab, or should be; `found` is how it differs."""
    differs = _by_namespace(found or Diff())
    planners = _planners(layout, dataplane, plan, proxy)
    own = _dataplane(dataplane)
    result: list[Explained] = []
    for name, space in plan.namespaces.items():
        result += _Explainer(space, own, planners, differs.pop(name, _Differs())).everything()
    for name, more in differs.items():  # made by hand, or a machine's own of a lab on several
        result += _unexpected(name, more)
    return result


def _dataplane(dataplane: Dataplane) -> _Planner:
    return _Planner(f"dataplane {dataplane.name}", explains(type(dataplane)))


def _planners(layout: Layout, dataplane: Dataplane, plan: Plan, proxy: Proxy | None) -> _Planners:
    """Who plans each object of nodes and pods; what netlab itself plans is not among them."""
    found: dict[tuple[str, _Key], list[_Planner]] = defaultdict(list)

    def note(space: str, planner: _Planner, items: Iterable[Object]) -> None:
        for item in items:
            found[space, (item.what, item.key)].append(planner)

    own = _dataplane(dataplane)
    for node in layout.nodes:
        attach = dataplane.attach(layout, node)
        title = f"way '{attach.name}' in which the dataplane {dataplane.name} attaches pods"
        way = _Planner(title, explains(type(attach)))
        if proxy:
            services = _Planner(f"proxy {proxy.name}", explains(type(proxy)))
            note(node.name, services, proxy.node(layout, node))
            if space := plan.namespaces.get(node.name):
                note(node.name, services, proxy.at_addresses(layout, node, space.addresses))
        note(node.name, own, dataplane.node(layout, node))
        note(node.name, way, attach.node(layout, node))
        for pod in node.pods:
            attached = attach.pod(layout, node, pod)
            note(pod.name, way, attached.pod)
            note(node.name, way, attached.node)
        for spec, its_way in dataplane.endpoints(layout, node):
            attached = its_way.pod(layout, node, spec)
            for planner in (own, way):
                note(spec.name, planner, attached.pod)
                note(node.name, planner, attached.node)
    return dict(found)


def _by_namespace(difference: Diff) -> dict[str, _Differs]:
    found: dict[str, _Differs] = defaultdict(_Differs)
    for item in difference.missing:
        differs = found[item.namespace]
        if item.object is None:
            differs.gone = True
        else:
            differs.lost[item.object.what, item.object.key] = item
    for change in difference.changed:
        found[change.namespace].lost[change.want.what, change.want.key] = change
    for item in difference.foreign:
        found[item.namespace].foreign.append(item)
    for item in difference.unexpected:
        found[item.namespace].unexpected.append(item)
    return dict(found)


@dataclass(frozen=True, slots=True)
class _Explainer:
    """Of one namespace: what is planned in it, what comes with that, and what others wrote."""

    space: Namespace
    dataplane: _Planner
    planners: _Planners
    differs: _Differs

    def everything(self) -> Iterator[Explained]:
        itself, says = namespace_thing(self.space.name), self._netlabs()
        yield self._answer(itself, says, _NETLAB, MISSING if self.differs.gone else THERE)
        by_kernel = [way for address in self.space.addresses if (way := connected(address))]
        for name in FIELDS:
            for item in getattr(self.space, name):
                yield from self._planned(item, item in by_kernel)
        yield from self._of_daemons()
        yield from _unexpected(self.space.name, self.differs)

    def _netlabs(self) -> tuple[Says, ...]:
        """What is told where no planner was asked; an endpoint is the dataplane's as a whole."""
        first = self.dataplane.says if self.space.role == "endpoint" else ()
        return (*first, *OF_NETLAB, *compiling.BY_KERNEL)

    def _planned(self, item: Object, by_kernel: bool) -> Iterator[Explained]:
        key = (item.what, item.key)
        asked, lost = self.planners.get((self.space.name, key), []), self.differs.lost.get(key)
        if asked:
            says = (*(one for planner in asked for one in planner.says), *compiling.BY_KERNEL)
        elif by_kernel:
            says = compiling.WITH_ADDRESS
        else:
            says = self._netlabs()
        silence = asked[0].silence if asked else _NETLAB
        for one in things(item):
            yield self._answer(one, says, silence, _state(one, lost))
        if isinstance(item, Address):
            yield from self._local(item, lost)

    def _local(self, address: Address, lost: Item | Change | None) -> Iterator[Explained]:
        """What the kernel has in the table `local` for an address."""
        without = {"local": "not local", "broadcast": "no broadcast"}
        for way in local_routes(address):
            is_lost = isinstance(lost, Item) or (
                isinstance(lost, Change) and getattr(lost.have, "state", "") == without[way.type]
            )
            state = MISSING if is_lost else THERE
            yield self._answer(thing(way), compiling.WITH_ADDRESS, _NETLAB, state)

    def _of_daemons(self) -> Iterator[Explained]:
        """What daemons wrote, and what they must bring and have not yet."""
        for item in self.differs.foreign:
            if item.object is not None:
                yield from self._by_daemon(item.object, item.owner or "", THERE)
        written = [item.object for item in self.differs.foreign if item.object]
        for daemon in self.space.daemons:
            for way in daemon.brings:
                if not any(brought(way, item) for item in written):
                    lost = (way.what, way.key) in self.differs.lost
                    yield from self._by_daemon(way, daemon.name, MISSING if lost else THERE)

    def _by_daemon(self, item: Object, owner: str, state: str) -> Iterator[Explained]:
        title = self.dataplane.title
        silence = Says("*", owner, f"This daemon writes it; the {title} tells nothing of why.")
        for one in things(item):
            yield self._answer(one, self.dataplane.says, silence, state)

    def _answer(self, one: Thing, says: Iterable[Says], silence: Says, state: str) -> Explained:
        answer = told(says, self.space.role, one.words, one.item) or silence
        return _explained(self.space.name, one, answer, state)


def _unexpected(name: str, differs: _Differs) -> Iterator[Explained]:
    """What is there and is nobody's, down to a rule in a chain that is planned."""
    for item in differs.unexpected:
        for one in things(item.object) if item.object else [namespace_thing(name)]:
            yield _explained(name, one, NOBODYS, UNEXPECTED)
    for change in differs.lost.values():
        if isinstance(change, Change) and isinstance(change.have, Ruleset):
            wanted = {one.words for one in things(change.want)}
            for one in things(change.have):
                if one.words not in wanted:
                    yield _explained(name, one, NOBODYS, UNEXPECTED)


def _state(one: Thing, lost: Item | Change | None) -> str:
    """How a thing is; of a ruleset that changed, whether this piece of it is there."""
    if lost is None:
        return THERE
    if isinstance(lost, Item):
        return MISSING
    if one.item is not None:
        return CHANGED
    return THERE if any(one.words == other.words for other in things(lost.have)) else MISSING


def _explained(name: str, one: Thing, says: Says, state: str) -> Explained:
    return Explained(name, one.kind, one.words, says.writer, says.why, state, one.names)
