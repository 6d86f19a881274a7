"""Make the kernel equal to a plan, by a diff: all of it, or just what differs.

The order is that of need: namespaces, settings that new devices inherit, devices, then addresses,
neighbours and routes, rulesets, processes. Each namespace gets its share of a step in one batch.
"""

from __future__ import annotations

import errno
import functools
import gc
import resource
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from netlab.errors import NetlabError, Unmet
from netlab.kernel import namespaces, objects, observe, rulesets, settings
from netlab.kernel.ahead import Ahead
from netlab.kernel.devices import base
from netlab.kernel.netlink import GONE, Netlink, Request
from netlab.kernel.processes import Processes
from netlab.kernel.rulesets import RulesetError, nft
from netlab.kernel.space import Space, Spaces
from netlab.kernel.wiring import Wiring
from netlab.kernel.work import Share, Task, Work, sort
from netlab.plan.baseline import Baselines, of_device
from netlab.plan.diff import Diff, Item, diff
from netlab.plan.exceptions import EXCEPTIONS
from netlab.plan.names import netns
from netlab.plan.routing import DEFAULT_RULES, Address, Extra, Sysctl
from netlab.plan.types import ATTACHED, Object, Plan

ROUNDS = 4  # a repair can uncover another: a device made again has lost its routes
_AT_ONCE = 64  # new namespaces whose containers start while the next are made
_GARBAGE = 100_000  # new objects; what observing makes is kept, so looking for it finds little
_DETECTION_SECONDS = 4.0  # duplicate address detection takes up to 2
Progress = Callable[[int, int], None]


class ApplyError(NetlabError):
    """The kernel refused a part of the plan."""


class Engine:
    """Applies diffs of one plan, and counts what it did.

    `stored` gives the baselines that are stored with the plan; `baselines` are those and more.
    """

    def __init__(
        self,
        plan: Plan,
        containers: Processes,
        progress: Progress | None = None,
        stored: Callable[[], Baselines] = Baselines,
    ) -> None:
        self.plan = plan
        self.containers = containers
        self._progress = progress or (lambda done, total: None)
        self._stored = stored
        self._spaces = Spaces()
        self._writes = 0  # other than by netlink: settings, rulesets, processes
        gc.freeze()  # a plan's many values stay until the end, so nobody need look for their ends
        gc.set_threshold(_GARBAGE)
        nft.keep_room()
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY and len(plan.namespaces) + 64 > hard:
            raise Unmet(
                f"{len(plan.namespaces)} namespaces need as many open files, and the limit "
                f"RLIMIT_NOFILE is {hard} here",
                "raise it (ulimit -Hn)",
            )

    def build(self) -> int:
        """Make everything, in a sandbox that has nothing yet; returns the number of objects."""
        difference = diff(self.plan.namespaces, {})
        if problems := self._apply(difference):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise ApplyError(f"The kernel refused a part of the lab: {problems[0]}{more}.")
        return len(difference)

    def converge(self, *, all_settings: bool = False) -> tuple[Diff, int]:
        """Repair what differs; returns the first difference and the number of writes.

        What the kernel refuses in one round may go in the next: a device that was made again has
        lost what the first difference saw on it.
        """
        before = Netlink.writes + self._writes
        first = remaining = self._settled(all_settings)
        problems: list[str] = []
        if not remaining.repaired and self._free_names(remaining):
            remaining = self._settled(all_settings)
        for _ in range(ROUNDS):
            if remaining.repaired:
                return first, Netlink.writes + self._writes - before
            problems = self._apply(remaining)
            if any({"mtu", "metrics"} & set(change.fields) for change in remaining.changed):
                self._forget_path_mtus()
            remaining = self._settled(all_settings)
        if not remaining.repaired:
            left = [*remaining.missing, *remaining.unexpected, *remaining.changed]
            why = f" ({problems[0]})" if problems else ""
            raise ApplyError(f"{len(left)} differences remain after repair: {left[0]}{why}.")
        return first, Netlink.writes + self._writes - before

    def forget(self, names: Iterable[str]) -> None:
        """Take namespaces away with all that runs in them, to be made anew."""
        for name in names:
            self.containers.stop(name)
            namespaces.remove(name)

    def difference(self, *, all_settings: bool = False) -> Diff:
        """Kernel against plan; `all_settings`: those of all pods, however many there are."""
        self.baselines = self._completed()
        look = settings.Look(self.plan, self.baselines, every=all_settings)
        result = diff(self.plan.namespaces, observe.observe(self.plan, self.containers, look))
        result.not_compared = [*look.left_out(), *EXCEPTIONS]
        return result

    @functools.cached_property
    def baselines(self) -> Baselines:
        return self._stored()

    def _completed(self, anew: Collection[str] = ()) -> Baselines:
        """The baselines with those that lack, and new ones of namespaces that are made anew."""
        before = Netlink.writes
        settings.scratch.complete(self.baselines, self.plan, anew)
        Netlink.writes = before  # those were in scratch namespaces, and not in the lab
        return self.baselines

    def awaited(self) -> list[Item]:
        """What daemons must bring and have not yet; only namespaces with daemons are looked at."""
        spaces = {name: space for name, space in self.plan.namespaces.items() if space.daemons}
        part = Plan(self.plan.topology, (), spaces)
        return diff(spaces, observe.observe(part, self.containers, None, others=False)).awaited

    def _free_names(self, difference: Diff) -> bool:
        """Take away names that lead to the namespace of another one, whose plan it is nearer to.

        Work in them would go to the other. Their own namespaces are made anew.
        """
        planned = {netns(name): name for name in self.plan.namespaces}
        faults = Counter(item.namespace for item in difference.missing)
        faults.update(item.namespace for item in difference.unexpected)
        faults.update(change.namespace for change in difference.changed)
        wrong: list[str] = []
        for files in namespaces.shared():
            own = sorted(
                (planned[file] for file in files if file in planned), key=faults.__getitem__
            )
            wrong += own if namespaces.HOME in files else own[1:]
        for name in wrong:
            namespaces.remove(name)
        self._writes += len(wrong)
        return bool(wrong)

    def _settled(self, all_settings: bool) -> Diff:
        """The difference, once no address is tentative that will be usable by itself."""
        deadline = time.monotonic() + _DETECTION_SECONDS
        while True:
            difference = self.difference(all_settings=all_settings)
            tentative = [
                change
                for change in difference.changed
                if isinstance(change.have, Address) and change.have.state == "tentative"
            ]
            if not tentative or time.monotonic() > deadline:
                return difference
            time.sleep(0.05)

    def _forget_path_mtus(self) -> None:
        """A wrong MTU may have taught any namespace a path MTU, kept for ten minutes."""
        for name in self.plan.namespaces:
            with namespaces.inside(name):
                for family in ("ipv4", "ipv6"):
                    flush = Path(f"/proc/sys/net/{family}/route/flush")
                    if flush.exists():
                        flush.write_text("1")

    def _apply(self, difference: Diff) -> list[str]:
        """Make one difference good; returns what was refused, in words."""
        work = sort(difference)
        try:
            self._take_away(work)
            if work.new:
                spaces = self.plan.namespaces
                work.new.sort(
                    key=lambda name: spaces[name].role in ATTACHED
                )  # wired from the others
                new = self._spaces.new = Ahead(work.new, lambda: self._completed(work.new))
            self._make(work)
            if work.new:
                self.baselines = new.result()
            return self._spaces.problems
        finally:
            self._spaces.close()

    def _take_away(self, work: Work) -> None:
        for name in work.new:
            self.containers.stop(name)
        for name, task in work.tasks.items():
            if name not in work.new:
                self._remove(name, task.remove)
        for name in work.gone:  # last: the kernel frees what is in it, and far ends, when it likes
            self.containers.stop(name)
            namespaces.remove(name)

    def _remove(self, name: str, share: Share) -> None:
        for process in share.processes:
            self.containers.stop(name, process.name)
            self._writes += 1
        if share.objects or share.links or share.sysctls:
            space = self._spaces.get(name)
            here = [item for item in share.objects if _has(space, item)]
            apart = [item for item in here if isinstance(item, Extra) and item.protocol]
            requests = [_removal(item, space) for item in here if item not in apart]
            requests += [
                base.remove(space.indexes[link.name], link)
                for link in share.links
                if link.name in space.indexes
            ]
            requests += self._put_back(space, share.sysctls)
            self._spaces.send(space, requests, tolerate=GONE)
            for item in apart:
                self._spaces.send_by(item.protocol, space, [_removal(item, space)], tolerate=GONE)
            for link in share.links:
                space.indexes.pop(link.name, None)

    def _put_back(self, space: Space, altered: Iterable[Sysctl]) -> Iterator[Request]:
        """Give settings that somebody altered the values that they have in a new namespace."""
        planned, baseline = self.plan.namespaces[space.name], self.baselines.get(space.name)
        found = [settings.usual(planned, baseline, item.path) for item in altered]
        usual = [item for item in found if item]
        requests = list(_device_settings(space, usual))
        self._write(space.name, [item for item in usual if not settings.by_netlink(item.path)])
        yield from requests

    def _make(self, work: Work) -> None:
        for at in range(0, len(work.new), _AT_ONCE):
            self._start(work, work.new[at : at + _AT_ONCE], commands=False)
        made = set(work.new)
        self._start(work, [name for name in work.tasks if name not in made], commands=False)
        for name, task in work.tasks.items():
            self._write(name, [s for s in task.sysctls if not of_device(s.path)])
        wiring = Wiring(self.plan, self._spaces)
        wiring.create({name: task.add.links for name, task in work.tasks.items()})
        for name, task in work.tasks.items():
            if task.links:
                wiring.change(name, task.links)
        for done, (name, task) in enumerate(work.tasks.items(), 1):
            self._fill(name, task)
            self._progress(done, len(work.tasks))
        wiring.wait(
            [name for name, task in work.tasks.items() if task.add.links],
            {name: task.links for name, task in work.tasks.items() if task.links},
        )
        self._start(work, list(work.tasks), commands=True)
        self._reload(work)

    def _fill(self, name: str, task: Task) -> None:
        """Addresses, neighbours, FDB entries, routes, rules, devices' settings and rulesets."""
        space = self._spaces.get(name)
        requests = self._additions(space, task.add.objects)
        for change in task.objects:
            kind = objects.of(change.want)
            if kind and _has(space, change.want):
                requests += kind.change(change.want, change.have, space.indexes)
        requests += _device_settings(space, task.sysctls)
        self._spaces.send(space, requests, tolerate={errno.EEXIST})
        rest = [item for item in task.sysctls if of_device(item.path)]
        self._write(name, [item for item in rest if not settings.by_netlink(item.path)])
        self._load(name, task)

    def _additions(self, space: Space, wanted: list[Object]) -> list[Request]:
        """What is to be added, in the order of need, without what the kernel makes by itself."""
        kinds = [(kind, item) for item in wanted if (kind := objects.of(item))]
        kinds.sort(key=lambda pair: (pair[0].rank, getattr(pair[1], "gateway", None) is not None))
        requests: list[Request] = []
        if space.fresh:
            kinds = [(kind, item) for kind, item in kinds if not kind.made_by_kernel(item)]
            planned = self.plan.namespaces[space.name].rules
            unwanted = [rule for rule in DEFAULT_RULES if rule not in planned]
            requests += [_removal(rule, space) for rule in unwanted]
        return requests + [
            kind.add(item, space.indexes) for kind, item in kinds if _has(space, item)
        ]

    def _load(self, name: str, task: Task) -> None:
        """Make the rulesets of a namespace what they are to be."""
        if not (task.add.rulesets or task.rulesets or task.remove.rulesets):
            return
        try:
            with namespaces.inside(name):
                self._writes += rulesets.apply(
                    task.add.rulesets, task.rulesets, task.remove.rulesets
                )
        except RulesetError as error:
            self._spaces.problems.append(f"{name}: {error}")

    def _write(self, name: str, wanted: Iterable[Sysctl]) -> None:
        """Write settings under /proc/sys that are not as wanted."""
        wanted = list(wanted)
        if not wanted:
            return
        self._spaces.ready(name)
        with namespaces.inside(name):
            for item in wanted:
                try:
                    if settings.stands(item):
                        continue
                    self._writes += 1
                    settings.write(item)
                except OSError as error:
                    self._spaces.problems.append(f"{name}: {item}: {error.strerror}")

    def _start(self, work: Work, names: Sequence[str], *, commands: bool) -> None:
        """The default containers need no more than their namespace, so they start meanwhile.

        One with a command of its own starts when its network is ready, as kubelet does it.
        """
        if commands:
            self._spaces.problems += self.containers.finish()
        wanted = [
            (name, item)
            for name in names
            if name in work.tasks
            for item in work.tasks[name].add.processes
            if bool(item.command) == commands
        ]
        self._writes += len(wanted)
        for name, item in wanted:
            # It binds to addresses of the loopback device, so that has to be up.
            if not self._spaces.ready(name).fresh:
                self.containers.stop(name, item.name)  # one that does not answer may still be there
        self.containers.begin(wanted)
        if commands:
            self._spaces.problems += self.containers.finish()

    def _reload(self, work: Work) -> None:
        """Have daemons go on as they are to be: what they need is there now."""
        wanted = [(name, item) for name, task in work.tasks.items() for item in task.daemons]
        self._writes += len(wanted)
        if wanted:
            self._spaces.problems += self.containers.reload(wanted)


def _removal(item: Object, space: Space) -> Request:
    kind = objects.of(item)
    assert kind is not None
    return kind.remove(item, space.indexes)


def _has(space: Space, item: Object) -> bool:
    """Whether the devices of an object are there; if not, another repair has to make them first."""
    kind = objects.of(item)
    return kind is not None and all(name in space.indexes for name in kind.devices(item))


def _device_settings(space: Space, wanted: Iterable[Sysctl]) -> Iterator[Request]:
    for item in wanted:
        where = settings.split(item.path)
        if where and where[1] in space.indexes and settings.by_netlink(item.path):
            yield settings.set_by_netlink(space.indexes[where[1]], item)
