"""Settings under /proc/sys/net: what is neither planned nor as in a new namespace is drift.

Those of devices are read by netlink (`of_devices`), those of whole namespaces from their files
(`files`), in another process while this one reads what netlink tells, and then by both.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netlab.kernel.apart import Apart
from netlab.kernel.devices import base
from netlab.kernel.netlink import Netlink
from netlab.kernel.settings import files, of_devices, scratch
from netlab.kernel.settings.copies import without_copies
from netlab.kernel.settings.files import OF_PODS, Found, Question, Turns, write
from netlab.kernel.settings.of_devices import (
    Numbers,
    by_netlink,
    numbers,
    set_by_netlink,
    split,
)
from netlab.plan.baseline import Baseline, Baselines, sample, samples
from netlab.plan.exceptions import NotCompared
from netlab.plan.links import Link, Wireguard
from netlab.plan.routing import Sysctl
from netlab.plan.types import ATTACHED, Namespace, Plan

__all__ = [
    "Device",
    "Look",
    "Numbers",
    "by_netlink",
    "numbers",
    "scratch",
    "set_by_netlink",
    "split",
    "stands",
    "usual",
    "write",
]

SMALL = 50  # namespaces: of labs up to this size all settings of pods are read, too


class Device(NamedTuple):
    """A device as dumped; `planned` is what the plan has under its name, if it is of that kind."""

    name: str
    mtu: int
    numbers: Numbers
    planned: Link | None


class Look:
    """One look at the settings of a plan's namespaces; `every`: at all of pods in large labs too.

    To be begun before the dumps and asked after them: meanwhile another process reads files.
    """

    def __init__(self, plan: Plan, baselines: Baselines, *, every: bool = False) -> None:
        self._plan = plan
        self._baselines = baselines
        self._every = every or len(plan.namespaces) <= SMALL
        self._questions: list[Question] = []
        self._reading: Apart[dict[str, Found]] | None = None

    def begin(self, names: Iterable[str]) -> None:
        """Begin to read the files of planned namespaces that are there."""
        self._questions = [self._question(self._plan.namespaces[name]) for name in names]
        self._turns = turns = Turns(self._questions)
        self._reading = Apart(lambda: files.compare(turns))

    def _question(self, space: Namespace) -> Question:
        expected = self._baselines.get(space.name).files
        untold = {item.path: item.value for item in space.sysctls if not _told(item.path)}
        if not expected.items() >= untold.items():
            expected = expected | untold
        whole = self._whole(space)
        return Question(space.name, expected, untold if whole else (*OF_PODS, *untold), whole)

    def _whole(self, space: Namespace) -> bool:
        return space.role not in ATTACHED or self._every

    def parameters(self, netlink: Netlink, name: str) -> dict[int, Numbers]:
        """Those of a namespace's devices in neighbour tables, where they are compared.

        To dump them the kernel goes through those of all namespaces: 2 ms where there are 1,000.
        """
        space = self._plan.namespaces.get(name)
        if space and (self._whole(space) or any("/neigh/" in item.path for item in space.sysctls)):
            return of_devices.parameters(netlink)
        return {}

    @functools.cached_property
    def _files(self) -> dict[str, Found]:
        if self._reading is None:
            return {}
        found = files.compare(self._turns)
        found |= self._reading.result()
        self._turns.close()
        # What the other had taken, if it was killed.
        left = [one for one in self._questions if one.namespace not in found]
        return found | files.compare(left)

    def found(self, space: Namespace, devices: Iterable[Device]) -> list[Sysctl]:
        """The planned settings of a namespace as they are, and those that somebody altered."""
        baseline, other = self._baselines.get(space.name), self._files[space.name].other
        planned = {item.path for item in space.sysctls}
        by_name = {device.name: device for device in devices}
        found = [there for item in space.sysctls if (there := _as_found(item, other, by_name))]
        if came := other.keys() - planned - baseline.files.keys():
            scratch.supplement(baseline, came)
        altered = [
            Sysctl(path, text)
            for path, text in other.items()
            if text is not None and text != baseline.files.get(path, text)
        ]
        for device in by_name.values():
            altered += _altered(device, baseline)
        drift = [item for item in altered if item.path not in planned]
        wireguards = [link.name for link in space.links if isinstance(link, Wireguard)]
        return [*found, *without_copies(drift, other, wireguards)]

    def left_out(self) -> list[NotCompared]:
        """What of settings this look did not compare, and why."""
        result = []
        roles = {space.role for space in self._plan.namespaces.values()} & ATTACHED
        if roles and not self._every:
            whose = " and ".join(f"{role}s" for role in sorted(roles, reverse=True))
            result.append(
                NotCompared(
                    f"of {whose} all files of /proc/sys/net but {len(OF_PODS)}, "
                    "and neighbour tables",
                    f"the lab has more than {SMALL} namespaces; --all-settings compares them",
                )
            )
        if not _kernel_has_ipv6():
            result.append(NotCompared("all of IPv6", "this kernel has none"))
        unread = {path: why for found in self._files.values() for path, why in found.unread.items()}
        result += [NotCompared(path, f"it cannot be read ({why})") for path, why in unread.items()]
        lacking = {
            name
            for space in self._plan.namespaces.values()
            for name in samples(space).keys() - self._baselines.get(space.name).devices.keys()
        }
        result += [
            NotCompared(f"settings of {name} devices", "none could be made to compare them with")
            for name in sorted(lacking)
        ]
        return result


@functools.cache
def _kernel_has_ipv6() -> bool:
    return os.path.exists("/proc/sys/net/ipv6")


def _told(path: str) -> bool:
    """Whether netlink tells a setting."""
    return of_devices.split(path) is not None


def _as_found(
    item: Sysctl, other: Mapping[str, str | None], devices: Mapping[str, Device]
) -> Sysctl | None:
    """A planned setting as it is.

    One of IPv6 is as wanted where there is none: in the kernel, or on a device with an MTU below
    1280. The real agents do not mind its absence either.
    """
    text: str | None = item.value
    if where := of_devices.split(item.path):
        device = devices.get(where[1])
        text = of_devices.value(item.path, device.numbers, device.mtu) if device else None
    elif item.path in other:
        text = other[item.path]
    if text is None:
        return item if item.path.startswith("net/ipv6/") else None
    return Sysctl(item.path, text)


def _altered(device: Device, baseline: Baseline) -> Iterator[Sysctl]:
    link = device.planned
    usual = baseline.devices.get(sample(link)) if link else None
    if link is None or usual is None:
        return
    for item in of_devices.altered(device.name, device.numbers, usual, device.mtu):
        # It follows from ARP as it was when the device was made, which may have been later.
        if link.arp == base.defaults(type(link))["arp"] or not item.path.endswith("/accept_dad"):
            yield item


def stands(item: Sysctl) -> bool:
    """Whether a setting of the current namespace is as wanted; of IPv6 also where there is none."""
    text = files.read(item.path)
    return text == item.value or (text is None and item.path.startswith("net/ipv6/"))


def usual(space: Namespace, baseline: Baseline, path: str) -> Sysctl | None:
    """A setting that nobody planned as it should be; None where nobody can know."""
    where = of_devices.split(path)
    if where is None:
        text = baseline.files.get(path)
    else:
        link = next((link for link in space.links if link.name == where[1]), None)
        numbers = baseline.devices.get(sample(link), {}) if link else {}
        text = of_devices.value(path, numbers, link.mtu if link else 0)
    return None if text is None else Sysctl(path, text)
