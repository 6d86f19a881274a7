"""Make the kernel equal to a plan, by a diff: all of it, or just what differs.

The order is that of need: namespaces, settings that new devices inherit, bridges, veth pairs, what
lies on them, then addresses, neighbours and routes, rulesets, containers. Each namespace gets its
share of a step in one batch.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from netlab.errors import NetlabError
from netlab.kernel import messages as m
from netlab.kernel import namespaces, nft, observe
from netlab.kernel.containers import Containers
from netlab.kernel.netlink import GONE, Netlink, Refusal, Request
from netlab.kernel.space import Space
from netlab.plan.diff import Change, Diff, diff
from netlab.plan.types import (
    Address,
    Daemon,
    FdbEntry,
    Link,
    Neighbour,
    Object,
    Plan,
    Route,
    Sysctl,
    Table,
)

LINKS_SECONDS = 2.5
ROUNDS = 4  # a repair can uncover another: a device made again has lost its routes
Progress = Callable[[int, int], None]
Groups = Mapping[str, list[Object]]


class ApplyError(NetlabError):
    """The kernel refused a part of the plan."""


class Engine:
    """Applies diffs of one plan, and counts what it did."""

    def __init__(
        self, plan: Plan, containers: Containers, progress: Progress | None = None
    ) -> None:
        self.plan = plan
        self.containers = containers
        self._progress = progress or (lambda done, total: None)
        self._spaces: dict[str, Space] = {}
        self._problems: list[str] = []
        self._done = self._total = 0
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY and len(plan.namespaces) + 64 > hard:
            raise NetlabError(
                f"{len(plan.namespaces)} namespaces need as many open files, and the limit here is "
                f"{hard}; raise it (ulimit -Hn)."
            )

    def build(self) -> int:
        """Make everything, in a sandbox that has nothing yet; returns the number of objects."""
        difference = diff(self.plan.namespaces, {})
        self._apply(difference)
        return len(difference)

    def converge(self) -> tuple[Diff, int]:
        """Repair what differs; returns the first difference and the number of netlink writes."""
        before = Netlink.writes
        first = remaining = self.difference()
        for _ in range(ROUNDS):
            if remaining.ok:
                return first, Netlink.writes - before
            self._apply(remaining)
            if any("mtu" in change.fields for change in remaining.changed):
                self._forget_path_mtus()
            remaining = self.difference()
        if not remaining.ok:
            left = [*remaining.missing, *remaining.unexpected, *remaining.changed]
            raise ApplyError(f"{len(left)} differences remain after repair; the first: {left[0]}.")
        return first, Netlink.writes - before

    def difference(self) -> Diff:
        return diff(self.plan.namespaces, observe.observe(self.plan, self.containers))

    def _forget_path_mtus(self) -> None:
        """A wrong MTU may have taught any namespace a path MTU, kept for ten minutes."""
        for name in self.plan.namespaces:
            with namespaces.inside(name):
                Path("/proc/sys/net/ipv4/route/flush").write_text("1")

    def _apply(self, difference: Diff) -> None:
        try:
            self._remove(difference)
            self._add(difference)
        finally:
            for space in self._spaces.values():
                space.netlink.close()
            self._spaces.clear()
        if self._problems:
            problems, self._problems = self._problems, []
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise ApplyError(f"The kernel refused a part of the lab: {problems[0]}{more}.")

    def _space(self, name: str) -> Space:
        space = self._spaces.get(name)
        if space is None:
            space = self._spaces[name] = Space(name)
        return space

    def _send(self, space: Space, requests: list[Request], *, tolerate: Iterable[int] = ()) -> None:
        if requests:
            refused = space.netlink.send(requests)
            self._blame(space, [r for r in refused if r.code not in tolerate])

    def _blame(self, space: Space, refusals: Iterable[Refusal]) -> None:
        self._problems += [f"{space.name}: {refusal}" for refusal in refusals]

    # Taking away

    def _remove(self, difference: Diff) -> None:
        groups: dict[str, list[Object]] = defaultdict(list)
        for item in difference.unexpected:
            if item.object is None:
                self.containers.stop(item.namespace)
                namespaces.remove(item.namespace)
            else:
                groups[item.namespace].append(item.object)
        for change in difference.changed:
            if isinstance(change.want, Daemon) or _must_be_made_again(change):
                groups[change.namespace].append(change.have)
        for name, items in groups.items():
            self._remove_from(name, items)

    def _remove_from(self, name: str, items: list[Object]) -> None:
        for item in items:
            if isinstance(item, Daemon):
                self.containers.stop(name, item.name)
        tables = [item for item in items if isinstance(item, Table)]
        if tables:
            with namespaces.inside(name):
                nft.replace([], tables)
        small = [x for x in items if isinstance(x, Address | Route | Neighbour | FdbEntry)]
        links = [item for item in items if isinstance(item, Link)]
        if small or links:
            space = self._space(name)
            requests = [m.remove(x, space.indexes) for x in [*small, *links] if _has(space, x)]
            self._send(space, requests, tolerate=GONE)
            for link in links:
                space.indexes.pop(link.name, None)

    # Adding and changing

    def _add(self, difference: Diff) -> None:
        self._create_namespaces(difference)
        groups: dict[str, list[Object]] = defaultdict(list)
        for item in difference.missing:
            if item.object is not None:
                groups[item.namespace].append(item.object)
        settings: dict[str, list[Change]] = defaultdict(list)
        replaced: dict[str, list[Object]] = defaultdict(list)
        for change in difference.changed:
            if isinstance(change.want, Daemon) or _must_be_made_again(change):
                groups[change.namespace].append(change.want)
            elif isinstance(change.want, Link):
                settings[change.namespace].append(change)
            else:
                replaced[change.namespace].append(change.want)
        self._start_containers(groups, commands=False)
        self._total, self._done = len(groups) + len(replaced), 0
        for name in {*groups, *replaced}:
            self._write_sysctls(name, [*groups[name], *replaced[name]], of_devices=False)
        self._create_links(groups)
        for name, changes in settings.items():
            self._change_links(name, changes)
        waiting = {name for name in groups if self._has_bridge(name)}
        for changes in settings.values():
            waiting |= {space for change in changes for space in _both_ends(change)}
        for name in [*groups, *(name for name in replaced if name not in groups)]:
            self._fill(name, groups.get(name, []), replaced.get(name, []))
        self._wait_for_links(waiting)
        self._start_containers(groups, commands=True)

    def _create_namespaces(self, difference: Diff) -> None:
        for item in difference.missing:
            if item.object is None:
                self.containers.stop(item.namespace)
                namespaces.remove(item.namespace)
                space = Space(item.namespace, namespaces.create(item.namespace))
                self._spaces[item.namespace] = space
                self._send(space, [m.bring_up(m.LOOPBACK, "lo")])

    def _create_links(self, groups: Groups) -> None:
        """Bridges, then veth pairs from the end that has a master, then what needs a device."""
        links = {name: [x for x in items if isinstance(x, Link)] for name, items in groups.items()}
        for name, items in links.items():
            bridges = [link for link in items if link.kind == "bridge"]
            if bridges:
                space = self._space(name)
                create = [m.create_bridge(link, space.new_index(link.name)) for link in bridges]
                self._send(space, create)
        done: set[tuple[str, str]] = set()
        for name, items in links.items():
            self._create_veths(name, [link for link in items if link.kind == "veth"], done)
        for name, items in links.items():
            self._finish_links(name, items)

    def _create_veths(self, name: str, links: list[Link], done: set[tuple[str, str]]) -> None:
        if not links:
            return
        space = self._space(name)
        requests: list[Request] = []
        opened: list[int] = []
        for link in links:
            assert link.peer is not None
            other = self.plan.namespaces[link.peer.namespace].link(link.peer.link)
            if (name, link.name) in done or (other.master and not link.master):
                continue  # made, or to be made, from the other end
            done.add((link.peer.namespace, other.name))
            peer_space = self._space(link.peer.namespace)
            fd = namespaces.open_namespace(link.peer.namespace)
            opened.append(fd)
            index, peer_index = space.new_index(link.name), peer_space.new_index(other.name)
            requests.append(m.create_veth(link, index, space.indexes, other, peer_index, fd))
        self._send(space, requests)
        for fd in opened:
            os.close(fd)

    def _finish_links(self, name: str, links: list[Link]) -> None:
        """VXLAN devices, and what a device cannot be given when it is made."""
        space = self._space(name)
        pod = self.plan.namespaces[name].role == "pod"
        requests: list[Request] = []
        for link in links:
            if link.kind == "vxlan":
                index = space.new_index(link.name)
                requests.append(m.create_vxlan(link, index, space.indexes))
                continue
            index = space.indexes[link.name]
            if link.kind == "loopback":
                continue  # up since its namespace is there
            if pod and link.mtu >= m.IPV6_MTU:
                requests.append(m.without_ipv6(index))
            if link.kind == "veth" and not link.master:
                requests += m.set_link(link, index, ["up"], space.indexes)
            if link.hairpin:
                requests.append(m.hairpin(link, index))
        self._send(space, requests)

    def _change_links(self, name: str, changes: list[Change]) -> None:
        space = self._space(name)
        requests: list[Request] = []
        for change in changes:
            assert isinstance(change.want, Link)
            index = space.indexes[change.want.name]
            requests += m.set_link(change.want, index, change.fields, space.indexes)
        self._send(space, requests)

    def _has_bridge(self, name: str) -> bool:
        return any(link.kind == "bridge" for link in self.plan.namespaces[name].links)

    def _wait_for_links(self, names: Iterable[str]) -> None:
        """Wait until veths are operational, as the CNI plugin does: the kernel's link watch may
        take a second to see that a device is up. What is not then, a check will show."""
        deadline = time.monotonic() + LINKS_SECONDS
        for name in names:
            netlink = self._space(name).netlink
            while not all(
                raw.operational
                for raw in observe.links(netlink).values()
                if raw.link.kind == "veth" and raw.link.up
            ):
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)

    def _fill(self, name: str, missing: list[Object], replaced: list[Object]) -> None:
        """Addresses, neighbours, FDB entries, routes, device settings and rulesets."""
        space = self._space(name)
        order = (Address, Neighbour, FdbEntry, Route)
        requests = [
            m.add(item, space.indexes)
            for kind in order
            for item in missing
            if isinstance(item, kind) and _has(space, item)
        ]
        requests += [
            m.add(item, space.indexes, replace=True)
            for item in replaced
            if isinstance(item, order) and _has(space, item)
        ]
        for item in [*missing, *replaced]:
            if isinstance(item, Sysctl):
                device, key = observe.device_setting(item.path)
                if device in space.indexes:
                    index = space.indexes[device]
                    requests.append(m.device_setting(index, key, item.value))
        self._send(space, requests, tolerate={errno.EEXIST})
        self._write_sysctls(name, [*missing, *replaced], of_devices=True)
        self._load_tables(name, missing, replaced)
        self._done += 1
        self._progress(self._done, self._total)

    def _load_tables(self, name: str, missing: list[Object], replaced: list[Object]) -> None:
        """Load rulesets in one transaction; deleting a table costs 9 ms, so only what is there."""
        fresh = [item for item in missing if isinstance(item, Table)]
        stale = [item for item in replaced if isinstance(item, Table)]
        if fresh or stale:
            try:
                with namespaces.inside(name):
                    nft.replace([*fresh, *stale], stale)
            except nft.NftError as error:
                self._problems.append(f"{name}: ruleset: {error}")

    def _write_sysctls(self, name: str, items: Iterable[Object], *, of_devices: bool) -> None:
        """Settings of devices that exist come last, all others before any device is made."""
        wanted = [
            item
            for item in items
            if isinstance(item, Sysctl)
            and observe.device_setting(item.path) == (None, "")
            and _of_device(item.path) == of_devices
        ]
        if not wanted:
            return
        with namespaces.inside(name):
            for item in wanted:
                if observe.read_sysctl(item) != item:
                    self._write_sysctl(name, item)

    def _write_sysctl(self, name: str, item: Sysctl) -> None:
        try:
            Path("/proc/sys", item.path).write_text(item.value)
        except OSError as error:
            self._problems.append(f"{name}: {item}: {error.strerror}")

    def _start_containers(self, groups: Groups, *, commands: bool) -> None:
        """The default containers need no more than their namespace, so they start meanwhile.

        One with a command of its own starts when its network is ready, as kubelet does it.
        """
        if commands:
            self._problems += self.containers.finish()
        self.containers.begin(
            [
                (name, item)
                for name, items in groups.items()
                for item in items
                if isinstance(item, Daemon) and bool(item.command) == commands
            ]
        )
        if commands:
            self._problems += self.containers.finish()


def _both_ends(change: Change) -> Iterable[str]:
    """The namespaces that a link is in, where its peer is too if it is a veth."""
    yield change.namespace
    if isinstance(change.want, Link) and change.want.peer:
        yield change.want.peer.namespace


def _must_be_made_again(change: Change) -> bool:
    """Whether a link differs in what the kernel does not let one change."""
    return isinstance(change.want, Link) and bool({"kind", "peer", "vxlan"} & set(change.fields))


def _has(space: Space, item: Object) -> bool:
    """Whether the device of an object is there; if not, another repair has to make it first."""
    device = item.name if isinstance(item, Link) else getattr(item, "link", None)
    return device == "" or device in space.indexes


def _of_device(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 5 and parts[2] == "conf" and parts[3] not in ("all", "default")
