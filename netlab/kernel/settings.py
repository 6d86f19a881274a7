"""Settings under /proc/sys. Those of IPv4 devices go by netlink, in both directions.

A write under /proc gets slower with every namespace there is; netlink does not.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from netlab.kernel import devices, namespaces
from netlab.kernel.devices.base import LOOPBACK, Raw
from netlab.kernel.netlink import Request, open_netlink, request
from netlab.kernel.pyroute import DEVCONF, devconf, linkmsg, rtnl
from netlab.plan.routing import Sysctl

_DEVICES = "net/ipv4/conf"
_ALL = ("all", "default")


def of_device(path: str) -> bool:
    """Whether a setting is a device's, which has to be there first."""
    parts = path.split("/")
    return len(parts) == 5 and parts[2] in ("conf", "neigh") and parts[3] not in _ALL


def by_netlink(path: str) -> tuple[str, str] | None:
    """The device and key of a setting that netlink sets and reads."""
    parts = path.split("/")
    if path.startswith(_DEVICES) and of_device(path) and parts[4] in DEVCONF:
        return parts[3], parts[4]
    return None


def set_by_netlink(index: int, key: str, item: Sysctl) -> Request:
    """The request for a setting of a device that `by_netlink` knows."""
    conf = (("IFLA_INET_CONF", ((devconf(key), int(item.value) & 0xFFFFFFFF),)),)
    attributes = (("IFLA_AF_SPEC", (("AF_INET", conf),)),)
    return request(linkmsg, rtnl.RTM_NEWLINK, 0, {"index": index}, attributes, item)


def write(item: Sysctl) -> None:
    """Write a setting of the current namespace. Raises OSError."""
    Path("/proc/sys", item.path).write_text(item.value)


def read(item: Sysctl) -> Sysctl | None:
    """The setting as the current namespace has it.

    One of IPv6 is as wanted where there is none: in the kernel, or on a device with an MTU below
    1280. The real agents do not mind its absence either.
    """
    try:
        return Sysctl(item.path, Path("/proc/sys", item.path).read_text().strip())
    except FileNotFoundError:
        return item if item.path.startswith("net/ipv6/") else None


def observe(wanted: Iterable[Sysctl], raws: Iterable[Raw]) -> list[Sysctl]:
    """The wanted settings as the current namespace has them, and those that somebody altered.

    Of devices the latter are all that differ from what a new device inherits.
    """
    by_name = {raw.name: raw for raw in raws}
    found: list[Sysctl] = []
    named: dict[str, set[str]] = {}
    for item in wanted:
        if where := by_netlink(item.path):
            device, key = where
            named.setdefault(device, set()).add(key)
            if device in by_name:
                found.append(Sysctl(item.path, str(_values(by_name[device])[DEVCONF[key] - 1])))
        elif there := read(item):
            found.append(there)
    inherits = {item.path: item.value for item in found}
    for name, raw in by_name.items():
        usual = _inherited(inherits.get("net/ipv4/ip_forward"), _defaults(name, inherits))
        if raw.values.get("AF_INET") != usual[1]:
            own = devices.of_kind(raw.kind).own_devconf
            found += _altered(name, _values(raw), usual[0], named.get(name, set()) | own)
    return found


def inherited(path: str, wanted: Iterable[Sysctl]) -> str:
    """What a device's setting is where nobody sets it; `wanted` are the namespace's settings."""
    device, key = path.split("/")[3:]
    values = {item.path: item.value for item in wanted}
    usual, _ = _inherited(values.get("net/ipv4/ip_forward"), _defaults(device, values))
    return str(usual[DEVCONF[key] - 1])


def _defaults(device: str, values: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """What the namespace gives new devices; `lo` was there before anybody could say so."""
    prefix = f"{_DEVICES}/default/"
    if device == "lo":
        return ()
    return tuple(
        (path.removeprefix(prefix), int(value))
        for path, value in values.items()
        if path.startswith(prefix) and path.removeprefix(prefix) in DEVCONF
    )


def _altered(
    name: str, values: tuple[int, ...], usual: tuple[int, ...], named: set[str]
) -> Iterator[Sysctl]:
    for key, number in DEVCONF.items():
        if key not in named and number <= len(values) and values[number - 1] != usual[number - 1]:
            yield Sysctl(f"{_DEVICES}/{name}/{key}", str(values[number - 1]))


def _values(raw: Raw) -> tuple[int, ...]:
    """A device's settings as the kernel dumps them: an array in one attribute (IFLA_INET_CONF)."""
    data = raw.values.get("AF_INET", b"")
    return struct.unpack_from(f"={max(len(data) // 4 - 1, 0)}i", data, 4) if data else ()


@functools.cache
def _inherited(
    forwarding: str | None, defaults: tuple[tuple[str, int], ...]
) -> tuple[tuple[int, ...], bytes]:
    """What a new device here gets, as values and as the kernel dumps it.

    The base is a new namespace's loopback device; forwarding of all devices is set by one setting.
    """
    changed = list(_base())
    if forwarding is not None:
        changed[DEVCONF["forwarding"] - 1] = int(forwarding)
    for key, value in defaults:
        changed[DEVCONF[key] - 1] = value
    length = 4 + 4 * len(changed)
    head = struct.pack("=HH", length, 1)
    return tuple(changed), head + struct.pack(f"={len(changed)}i", *changed)


@functools.cache
def _base() -> tuple[int, ...]:
    with namespaces.at_home(), contextlib.closing(open_netlink()) as netlink:
        return _values(devices.dump(netlink)[LOOPBACK])
