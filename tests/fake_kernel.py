"""A kernel as far as a diff needs one: namespaces as values, and what happens in them by itself.

Deleting a device takes its addresses, routes and entries, and a veth's other end; an address brings
its connected route; a device that goes down loses its routes. What is refused is not there then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from netlab.kernel import devices, objects
from netlab.kernel.apply import Engine
from netlab.kernel.work import Share, Task, sort
from netlab.plan.diff import Diff, diff
from netlab.plan.links import LOOPBACK, Link, Veth
from netlab.plan.routing import LOCALHOST, Address, Route, connected
from netlab.plan.types import FIELDS, Namespace, Plan

Lists = dict[str, list[Any]]


class FakeKernel:
    """`spaces` is what it holds; `writes` counts what was asked of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.spaces: dict[str, Namespace] = {}
        self.writes = 0

    def apply(self, difference: Diff) -> None:
        """Do the work of a difference in the engine's order."""
        work = sort(difference)
        for name in [*work.gone, *work.new]:
            self._end(name)
        for name, task in work.tasks.items():
            if name in self.spaces:
                self._remove(name, task.remove)
        for name in work.new:
            self.writes += 1
            role = self.plan.namespaces[name].role
            self.spaces[name] = Namespace(name, role, links=[LOOPBACK], addresses=[LOCALHOST])
            self._bring_routes(name, "lo")
        for name, task in work.tasks.items():
            self._add_links(name, task)
        for name, task in work.tasks.items():
            self._fill(name, task)

    def _end(self, name: str) -> None:
        for link in list(self.spaces[name].links) if name in self.spaces else []:
            self.delete_link(name, link.name)
        self.spaces.pop(name, None)

    def _remove(self, name: str, share: Share) -> None:
        for item in share.objects:
            self.writes += 1
            self.delete(name, item)
        for link in share.links:
            self.writes += 1
            self.delete_link(name, link.name)
        space = self.spaces[name]
        for item in [*share.sysctls, *share.rulesets]:
            self.writes += 1
            field = "sysctls" if item.what == "sysctl" else "ruleset"
            setattr(space, field, [one for one in getattr(space, field) if one.key != item.key])

    def delete(self, name: str, item: Any) -> None:
        kind = objects.of(item)
        assert kind is not None
        present = getattr(self.spaces[name], kind.field)
        if item in present:
            present.remove(item)
        if isinstance(item, Address) and (way := connected(item)):
            others = [connected(one) for one in self.spaces[name].addresses]
            if way in self.spaces[name].routes and way not in others:
                self.spaces[name].routes.remove(way)

    def delete_link(self, name: str, device: str) -> None:
        """A device with all that stands on it, and the other end of a veth with all of its own."""
        space = self.spaces.get(name)
        link = next((one for one in space.links if one.name == device), None) if space else None
        if space is None or link is None:
            return
        space.links.remove(link)
        for kind in objects.TYPES.values():
            kept = [i for i in getattr(space, kind.field) if device not in kind.devices(i)]
            setattr(space, kind.field, kept)
        space.links = [
            msgspec.structs.replace(one, master=None, bridge_port=None)
            if one.master == device
            else one
            for one in space.links
        ]
        if isinstance(link, Veth) and link.peer:
            self.delete_link(link.peer.namespace, link.peer.link)

    def _add_links(self, name: str, task: Task) -> None:
        space = self.spaces[name]
        names = {link.name for link in space.links}
        for link in task.add.links:
            self.writes += 1
            there = isinstance(link, Veth) and link.peer and link.peer.namespace not in self.spaces
            if link.name not in names and not there:
                space.links.append(link)
        for change in task.links:
            self.writes += 1
            want: Any = change.want
            for place, link in enumerate(space.links):
                again = devices.of(want).must_be_made_again(want, link, change.fields)
                if link.name == want.name and not again:
                    space.links[place] = want
                    self._flip(name, link, want)

    def _flip(self, name: str, before: Link, after: Any) -> None:
        space = self.spaces[name]
        if before.up and not after.up:
            kind = objects.TYPES[Route]
            space.routes = [way for way in space.routes if after.name not in kind.devices(way)]
        elif after.up and not before.up:
            self._bring_routes(name, after.name)

    def _bring_routes(self, name: str, device: str) -> None:
        space = self.spaces[name]
        up = {link.name for link in space.links if link.up}
        for address in space.addresses:
            way = connected(address)
            if address.link == device and device in up and way and way not in space.routes:
                space.routes.append(way)

    def _fill(self, name: str, task: Task) -> None:
        space = self.spaces[name]
        kinds = [(objects.of(item), item) for item in task.add.objects]
        for kind, item in sorted(kinds, key=lambda pair: pair[0].rank if pair[0] else 0):
            assert kind is not None
            self.writes += 1
            self._add(space, getattr(space, kind.field), kind.devices(item), item)
        for change in task.objects:
            kind = objects.of(change.want)
            assert kind is not None
            self.writes += 1
            self.delete(name, change.have)
            self._add(space, getattr(space, kind.field), kind.devices(change.want), change.want)
        for item in task.add.sysctls:
            self.writes += 1
            space.sysctls = [one for one in space.sysctls if one.key != item.key] + [item]

    def _add(self, space: Namespace, present: list[Any], needed: Iterable[str], item: Any) -> None:
        """EXCL: what has the same key stays. A route wants its devices up."""
        up = {link.name for link in space.links if link.up or not isinstance(item, Route)}
        if set(needed) <= up and item.key not in [one.key for one in present]:
            present.append(item)
            if isinstance(item, Address):
                self._bring_routes(space.name, item.link)

    def sorted(self) -> dict[str, dict[str, list[Any]]]:
        """What it holds, without the order in which it came."""
        return {
            name: {field: sorted(getattr(space, field), key=str) for field in FIELDS}
            for name, space in self.spaces.items()
        }


class FakeEngine(Engine):
    """The engine, with a fake kernel under it."""

    def __init__(self, plan: Plan, kernel: FakeKernel) -> None:
        processes: Any = None
        super().__init__(plan, processes)
        self.kernel = kernel
        kernel.plan = plan

    def difference(self, *, all_settings: bool = False) -> Diff:
        return diff(self.plan.namespaces, self.kernel.spaces)

    def _apply(self, difference: Diff) -> list[str]:
        self.kernel.apply(difference)
        return []

    def _forget_path_mtus(self) -> None:
        pass
