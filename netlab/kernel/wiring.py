"""Making and changing network devices. A veth is made once, with both ends where they stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from netlab.kernel import messages as m
from netlab.kernel import namespaces, observe
from netlab.kernel.links import links, reset
from netlab.kernel.netlink import Request
from netlab.kernel.space import Space, Spaces
from netlab.plan.diff import Change
from netlab.plan.types import Link, Object, Plan

OPERATIONAL_SECONDS = 2.5


class Wiring:
    """Works on the devices of a plan, in namespaces that are open."""

    def __init__(self, plan: Plan, spaces: Spaces) -> None:
        self._plan = plan
        self._spaces = spaces
        self._made: set[tuple[str, str]] = set()  # far ends of veths that were made

    def create(self, groups: Mapping[str, Iterable[Object]]) -> None:
        """Bridges, then veth pairs from the end that has a master, then what needs a device."""
        new = {name: [x for x in items if isinstance(x, Link)] for name, items in groups.items()}
        for name, items in new.items():
            self._bridges(name, [link for link in items if link.kind == "bridge"])
        for name, items in new.items():
            self._veths(name, [link for link in items if link.kind == "veth"])
        for name, items in new.items():
            self._finish(name, items)

    def _bridges(self, name: str, bridges: list[Link]) -> None:
        if bridges:
            space = self._spaces.get(name)
            create = [m.create_bridge(link, space.new_index(link.name)) for link in bridges]
            self._spaces.send(space, create)

    def _veths(self, name: str, veths: list[Link]) -> None:
        if not veths:
            return
        space = self._spaces.get(name)
        requests: list[Request] = []
        opened: list[int] = []
        for link in veths:
            assert link.peer is not None
            other = self._plan.namespaces[link.peer.namespace].link(link.peer.link)
            if (name, link.name) in self._made or (other.master and not link.master):
                continue  # made, or to be made, from the other end
            self._made.add((link.peer.namespace, other.name))
            peer_space = self._spaces.get(link.peer.namespace)
            fd = namespaces.open_namespace(link.peer.namespace)
            opened.append(fd)
            index, peer_index = space.new_index(link.name), peer_space.new_index(other.name)
            requests.append(m.create_veth(link, index, space.indexes, other, peer_index, fd))
        self._spaces.send(space, requests)
        for fd in opened:
            os.close(fd)

    def _finish(self, name: str, new: list[Link]) -> None:
        """VXLAN devices, and what a device cannot be given when it is made."""
        space = self._spaces.get(name)
        pod = self._plan.namespaces[name].role == "pod"
        requests: list[Request] = []
        for link in new:
            if link.kind == "vxlan":
                index = space.new_index(link.name)
                requests.append(m.create_vxlan(link, index, space.indexes))
                continue
            if link.kind == "loopback":
                continue  # up since its namespace is there
            index = space.indexes[link.name]
            if pod and link.mtu >= m.IPV6_MTU:
                requests.append(m.without_ipv6(index))
            if link.kind == "veth" and not link.master:
                requests += m.set_link(link, index, ["up"], space.indexes)
            if link.hairpin:
                requests.append(m.hairpin(link, index))
        self._spaces.send(space, requests)

    def change(self, name: str, changes: list[Change]) -> None:
        """Set what may change while a device lives; put back what nobody was to touch."""
        space = self._spaces.get(name)
        requests: list[Request] = []
        for change in changes:
            assert isinstance(change.want, Link)
            index = space.indexes[change.want.name]
            requests += m.set_link(change.want, index, change.fields, space.indexes)
        self._spaces.send(space, requests)
        self._reset(space, {c.want.key for c in changes if "altered" in c.fields})

    def _reset(self, space: Space, names: set[str]) -> None:
        if not names:
            return
        planned = self._plan.namespaces[space.name].sysctls
        for raw in links(space.netlink).values():
            if raw.link.name in names:
                wanted = observe.wanted_settings(planned, planned, raw.link.name)
                self._spaces.send(space, reset(raw, wanted))

    def wait(self, made: Iterable[str], changed: Mapping[str, list[Change]]) -> None:
        """Wait until veths are operational, as the CNI plugin does: the kernel's link watch may
        take a second to see that a device is up. What is not then, a check will show."""
        names = {name for name in made if self._has_bridge(name)}
        for changes in changed.values():
            names |= {space for change in changes for space in _both_ends(change)}
        deadline = time.monotonic() + OPERATIONAL_SECONDS
        for name in names:
            space = self._spaces.get(name)
            while not _operational(space) and time.monotonic() < deadline:
                time.sleep(0.005)

    def _has_bridge(self, name: str) -> bool:
        return any(link.kind == "bridge" for link in self._plan.namespaces[name].links)


def _operational(space: Space) -> bool:
    return all(
        raw.operational
        for raw in links(space.netlink).values()
        if raw.link.kind == "veth" and raw.link.up
    )


def _both_ends(change: Change) -> Iterable[str]:
    """The namespaces that a link is in, where its peer is too if it is a veth."""
    yield change.namespace
    if isinstance(change.want, Link) and change.want.peer:
        yield change.want.peer.namespace
