"""Make the kernel equal to a plan, by a diff: all of it, or just what differs.

The order is that of need: namespaces, settings that new devices inherit, bridges, veth pairs, what
lies on them, then addresses, neighbours and routes, rulesets, containers. Each namespace gets its
share of a step in one batch.
"""

from __future__ import annotations

import errno
import resource
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from netlab.errors import NetlabError
from netlab.kernel import messages as m
from netlab.kernel import namespaces, nft, observe
from netlab.kernel.containers import Containers
from netlab.kernel.netlink import GONE, Netlink
from netlab.kernel.space import Space, Spaces
from netlab.kernel.wiring import Wiring
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
    Rule,
    Sysctl,
    Table,
)

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
        self._spaces = Spaces()
        self._writes = 0  # other than by netlink: settings, rulesets, containers
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
        if problems := self._apply(difference):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise ApplyError(f"The kernel refused a part of the lab: {problems[0]}{more}.")
        return len(difference)

    def converge(self) -> tuple[Diff, int]:
        """Repair what differs; returns the first difference and the number of writes.

        What the kernel refuses in one round may go in the next: a device that was made again has
        lost what the first difference saw on it.
        """
        before = Netlink.writes + self._writes
        first = remaining = self.difference()
        problems: list[str] = []
        for _ in range(ROUNDS):
            if remaining.ok:
                return first, Netlink.writes + self._writes - before
            problems = self._apply(remaining)
            if any({"mtu", "metrics"} & set(change.fields) for change in remaining.changed):
                self._forget_path_mtus()
            remaining = self.difference()
        if not remaining.ok:
            left = [*remaining.missing, *remaining.unexpected, *remaining.changed]
            why = f" ({problems[0]})" if problems else ""
            raise ApplyError(f"{len(left)} differences remain after repair: {left[0]}{why}.")
        return first, Netlink.writes + self._writes - before

    def difference(self) -> Diff:
        return diff(self.plan.namespaces, observe.observe(self.plan, self.containers))

    def _forget_path_mtus(self) -> None:
        """A wrong MTU may have taught any namespace a path MTU, kept for ten minutes."""
        for name in self.plan.namespaces:
            with namespaces.inside(name):
                Path("/proc/sys/net/ipv4/route/flush").write_text("1")

    def _apply(self, difference: Diff) -> list[str]:
        """Make one difference good; returns what was refused, in words."""
        try:
            self._remove(difference)
            self._add(difference)
            return self._spaces.problems
        finally:
            self._spaces.close()

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
                self._writes += 1
        tables = [item for item in items if isinstance(item, Table)]
        if tables:
            self._writes += len(tables)
            with namespaces.inside(name):
                nft.replace([], tables)
        small = [x for x in items if isinstance(x, Address | Route | Rule | Neighbour | FdbEntry)]
        links = [item for item in items if isinstance(item, Link)]
        if small or links:
            space = self._spaces.get(name)
            requests = [m.remove(x, space.indexes) for x in [*small, *links] if _has(space, x)]
            self._spaces.send(space, requests, tolerate=GONE)
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
        wiring = Wiring(self.plan, self._spaces)
        wiring.create(groups)
        for name, changes in settings.items():
            wiring.change(name, changes)
        for name in [*groups, *(name for name in replaced if name not in groups)]:
            self._fill(name, groups.get(name, []), replaced.get(name, []))
        wiring.wait(groups, settings)
        self._start_containers(groups, commands=True)

    def _create_namespaces(self, difference: Diff) -> None:
        for item in difference.missing:
            if item.object is None:
                self.containers.stop(item.namespace)
                self._spaces.create(item.namespace)

    def _fill(self, name: str, missing: list[Object], replaced: list[Object]) -> None:
        """Addresses, neighbours, FDB entries, routes, rules, device settings and rulesets."""
        space = self._spaces.get(name)
        order = (Address, Neighbour, FdbEntry, Route, Rule)
        requests = [
            m.add(item, space.indexes)
            for kind in order
            for item in missing
            if isinstance(item, kind) and _has(space, item) and not _comes_by_itself(space, item)
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
        self._spaces.send(space, requests, tolerate={errno.EEXIST})
        self._write_sysctls(name, [*missing, *replaced], of_devices=True)
        self._load_tables(name, missing, replaced)
        self._done += 1
        self._progress(self._done, self._total)

    def _load_tables(self, name: str, missing: list[Object], replaced: list[Object]) -> None:
        """Load rulesets in one transaction; deleting a table costs 9 ms, so only what is there."""
        fresh = [item for item in missing if isinstance(item, Table)]
        stale = [item for item in replaced if isinstance(item, Table)]
        if fresh or stale:
            self._writes += len(fresh) + len(stale)
            try:
                with namespaces.inside(name):
                    nft.replace([*fresh, *stale], stale)
            except nft.NftError as error:
                self._spaces.problems.append(f"{name}: ruleset: {error}")

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
        self._writes += 1
        try:
            Path("/proc/sys", item.path).write_text(item.value)
        except OSError as error:
            self._spaces.problems.append(f"{name}: {item}: {error.strerror}")

    def _start_containers(self, groups: Groups, *, commands: bool) -> None:
        """The default containers need no more than their namespace, so they start meanwhile.

        One with a command of its own starts when its network is ready, as kubelet does it.
        """
        if commands:
            self._spaces.problems += self.containers.finish()
        wanted = [
            (name, item)
            for name, items in groups.items()
            for item in items
            if isinstance(item, Daemon) and bool(item.command) == commands
        ]
        self._writes += len(wanted)
        for name, item in wanted:
            if not self._spaces.get(name).fresh:
                self.containers.stop(name, item.name)  # one that does not answer may still be there
        self.containers.begin(wanted)
        if commands:
            self._spaces.problems += self.containers.finish()


def _must_be_made_again(change: Change) -> bool:
    """Whether a link differs in what the kernel does not let one change."""
    if not isinstance(change.want, Link):
        return False
    fields = set(change.fields)
    return bool({"kind", "peer", "vxlan"} & fields) or (
        change.want.kind == "vxlan" and "altered" in fields
    )


def _comes_by_itself(space: Space, item: Object) -> bool:
    """Whether the kernel makes an object along with the address that is added before it."""
    return space.fresh and isinstance(item, Route) and item.connected


def _has(space: Space, item: Object) -> bool:
    """Whether the device of an object is there; if not, another repair has to make it first."""
    device = item.name if isinstance(item, Link) else getattr(item, "link", "")
    return device == "" or device in space.indexes


def _of_device(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 5 and parts[2] == "conf" and parts[3] not in ("all", "default")
