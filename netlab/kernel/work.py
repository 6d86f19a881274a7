"""What one difference asks for, sorted by namespace and by who does it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from netlab.kernel import devices, objects
from netlab.plan.diff import Change, Diff
from netlab.plan.links import Link
from netlab.plan.processes import Container, Daemon
from netlab.plan.routing import Sysctl
from netlab.plan.rulesets import Ruleset
from netlab.plan.types import Object

Process = Container | Daemon


@dataclass(slots=True)
class Share:
    """Objects of one namespace by who makes them; `objects` are those that netlink carries."""

    links: list[Link] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)
    sysctls: list[Sysctl] = field(default_factory=list)
    rulesets: list[Ruleset] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)

    def put(self, item: Object) -> None:
        if isinstance(item, Link):
            self.links.append(item)
        elif isinstance(item, Sysctl):
            self.sysctls.append(item)
        elif isinstance(item, Ruleset):
            self.rulesets.append(item)
        elif isinstance(item, Container | Daemon):
            self.processes.append(item)
        else:
            self.objects.append(item)


@dataclass(slots=True)
class Task:
    """What is to be done in one namespace."""

    remove: Share = field(default_factory=Share)
    add: Share = field(default_factory=Share)
    links: list[Change] = field(default_factory=list)
    objects: list[Change] = field(default_factory=list)
    rulesets: list[tuple[Ruleset, Ruleset]] = field(default_factory=list)
    daemons: list[Daemon] = field(default_factory=list)  # that go on as they run

    @property
    def sysctls(self) -> Sequence[Sysctl]:
        """The settings to be written."""
        return self.add.sysctls


@dataclass(slots=True)
class Work:
    """Whole namespaces to take away and to make, and what is to be done in each that stays."""

    gone: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    tasks: dict[str, Task] = field(default_factory=lambda: defaultdict(Task))


def sort(difference: Diff) -> Work:
    """The work that a difference makes; what daemons must bring is theirs to do."""
    work = Work()
    for item in difference.unexpected:
        if item.object is None:
            work.gone.append(item.namespace)
        else:
            work.tasks[item.namespace].remove.put(item.object)
    for change in difference.changed:
        _put_change(work.tasks[change.namespace], change)
    for item in difference.missing:
        if item.object is None:
            work.new.append(item.namespace)
        elif item.owner is None:
            work.tasks[item.namespace].add.put(item.object)
    return work


def _put_change(task: Task, change: Change) -> None:
    want, have = change.want, change.have
    if isinstance(want, Link) and isinstance(have, Link):
        if _stays(want, have, change):
            task.links.append(change)
            return
    elif isinstance(want, Ruleset) and isinstance(have, Ruleset):
        task.rulesets.append((want, have))
        return
    elif isinstance(want, Daemon) and isinstance(have, Daemon):
        if want.takes_over(have):
            task.daemons.append(want)
            return
    elif objects.of(want):
        task.objects.append(change)
        return
    if not isinstance(want, Sysctl):
        task.remove.put(have)
    task.add.put(want)


def _stays(want: Link, have: Link, change: Change) -> bool:
    """Whether a device can become what it is to be, or has to be made again."""
    return not devices.of(want).must_be_made_again(want, have, change.fields)
