"""What a namespace has that nobody set: the settings of a new one of its kind. Pure.

They are read from a scratch namespace when a lab is made, and stored with its plan: some a
namespace takes over from the kernel's first one at its birth, where they may change later.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netlab.plan.links import Link
from netlab.plan.routing import Sysctl
from netlab.plan.types import Namespace


class Baseline(msgspec.Struct):
    """A new namespace in which the settings `written` were written, before its devices were made.

    `files` are settings of the whole namespace by their path. `devices` has, by `sample`, those of
    a device by the path without its name and key, as numbers in the kernel's own order.
    """

    written: dict[str, str]
    files: dict[str, str]
    devices: dict[str, dict[str, tuple[int, ...]]]

    def fits(self, space: Namespace) -> bool:
        """Whether it says all of the namespace that it should."""
        return self.written == written(space) and samples(space).keys() <= self.devices.keys()


class Baselines(msgspec.Struct):
    """Those of a lab; `of` is the number of each namespace's own."""

    made: list[Baseline] = []
    of: dict[str, int] = {}

    def get(self, namespace: str) -> Baseline:
        return self.made[self.of[namespace]]

    def put(self, baseline: Baseline, namespaces: list[str]) -> None:
        """Make it the namespaces' own; equal ones are kept once."""
        if baseline not in self.made:
            self.made.append(baseline)
        self.of |= dict.fromkeys(namespaces, self.made.index(baseline))


def of_device(path: str) -> bool:
    """Whether a setting is a device's, which has to be there first."""
    parts = path.split("/")
    return len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default")


def wide(space: Namespace) -> Iterator[Sysctl]:
    """The planned settings of the whole namespace."""
    return (item for item in space.sysctls if not of_device(item.path))


def written(space: Namespace) -> dict[str, str]:
    return {item.path: item.value for item in wide(space)}


def sample(link: Link) -> str:
    """The name of what decides about the settings of a new device: by these, devices are alike."""
    return f"{link.kind} {getattr(link, 'mode', '')}".rstrip()


def samples(space: Namespace) -> dict[str, Link]:
    """One planned device for each sample."""
    return {sample(link): link for link in space.links}
