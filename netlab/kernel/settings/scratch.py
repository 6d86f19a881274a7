"""Baselines, read from scratch namespaces: a namespace for each that is needed, gone at once."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from netlab.kernel import devices, namespaces
from netlab.kernel.devices import base
from netlab.kernel.devices.sample import PARENT, alone
from netlab.kernel.netlink import Netlink, Request, open_netlink
from netlab.kernel.settings import files, of_devices
from netlab.plan.baseline import Baseline, Baselines, samples, wide, written
from netlab.plan.links import Link, Macvlan, Tun, Veth
from netlab.plan.routing import Sysctl
from netlab.plan.types import Namespace, Plan

_FIRST_INDEX = 16  # of the parent, before the samples


def complete(known: Baselines, plan: Plan, anew: Collection[str] = ()) -> bool:
    """Make the baselines that lack, and those of namespaces made anew; returns whether any was."""
    alike: dict[tuple[Any, ...], list[Namespace]] = defaultdict(list)
    for name, space in plan.namespaces.items():
        if name in anew or name not in known.of or not known.get(name).fits(space):
            alike[(*written(space).items(), *sorted(samples(space)))].append(space)
    for spaces in alike.values():
        known.put(make(spaces[0]), [space.name for space in spaces])
    return bool(alike)


def make(space: Namespace) -> Baseline:
    """What a new namespace has in which that one's settings were written."""
    with _new(wide(space)) as netlink:
        found = ((path, files.read(path)) for path in files.existing())
        texts = {path: text for path, text in found if text is not None}
        return Baseline(written(space), texts, _of_devices(netlink, samples(space)))


def supplement(known: Baseline, paths: Iterable[str]) -> None:
    """Add settings that came since the baseline was made, with a module of the kernel."""
    with _new(Sysctl(path, value) for path, value in known.written.items()):
        for path in paths:
            if (text := files.read(path)) is not None:
                known.files[path] = text


@contextlib.contextmanager
def _new(settings: Iterable[Sysctl]) -> Iterator[Netlink]:
    """Be in a new namespace with settings, made in the order of the lab's own.

    With its address a loopback device has settings of its own, which no others are copied to.
    """
    with namespaces.scratch(), contextlib.closing(open_netlink()) as netlink:
        netlink.send([base.bring_up(base.LOOPBACK, "lo")])
        for item in settings:
            with contextlib.suppress(OSError):  # what the kernel lacks all namespaces lack
                files.write(item)
        yield netlink


def _of_devices(
    netlink: Netlink, wanted: Mapping[str, Link]
) -> dict[str, dict[str, tuple[int, ...]]]:
    """By their sample; those of which the kernel makes none are left out."""
    indexes = _make(netlink, wanted)
    raws, parameters = devices.dump(netlink), of_devices.parameters(netlink)
    return {
        name: of_devices.numbers(raws[index], parameters)
        for name, index in indexes.items()
        if index in raws
    }


def _make(netlink: Netlink, wanted: Mapping[str, Link]) -> dict[str, int]:
    """Make a device for each sample; returns their indexes. What the kernel refuses is not there.

    `loopback` is there by itself.
    """
    indexes: dict[str, int] = {}
    requests = [_request(alone(Veth, PARENT), _FIRST_INDEX)]
    for index, (name, link) in enumerate(wanted.items(), _FIRST_INDEX + 1):
        device, bare = devices.of(link), _bare(link, f"sample{index}")
        if not device.makes:
            indexes[name] = base.LOOPBACK
        elif device.by_netlink:
            indexes[name] = index
            requests.append(_request(bare, index))
        else:
            with contextlib.suppress(OSError):
                indexes[name] = device.make(bare)
    needed = any(isinstance(link, Macvlan) for link in wanted.values())
    netlink.send(requests if needed else requests[1:])
    return indexes


def _request(link: Link, index: int) -> Request:
    place = base.Place(index, {PARENT: _FIRST_INDEX})
    return base.create(devices.of(link), link, place, up=False)


def _bare(link: Link, name: str) -> Link:
    """A device of the sample, without others that it would need."""
    fields = {"mode": link.mode} if isinstance(link, Macvlan | Tun) else {}
    return alone(type(link), name, **fields)
