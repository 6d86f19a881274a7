"""Offload features of a device by ethtool's ioctl (net/ethtool/ioctl.c), under ethtool's names."""

from __future__ import annotations

import array
import contextlib
import fcntl
import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from netlab.kernel.netlink import Netlink

Offloads = tuple[tuple[str, bool], ...]
_SIOCETHTOOL = 0x8946
_GET = 0x3A  # ETHTOOL_GFEATURES (linux/ethtool.h)
_BLOCKS = 4  # of 32 features; a kernel fills in as many as it has
# struct ethtool_gfeatures: command, blocks, and of each available, requested, active, fixed
_ANSWER = array.array("I", bytes(4 * (2 + 4 * _BLOCKS)))
_REQUEST = struct.Struct("=16sQ16x")  # struct ifreq


class Features(NamedTuple):
    """A bit for each feature: those that can be set, and those that somebody asked for.

    What is active depends on other devices and features; what was asked for does not.
    """

    there: int
    asked: int


NONE = Features(0, 0)


def features(netlink: Netlink, device: str) -> Features:
    """Those of a device in the namespace of a socket; none where it cannot be asked."""
    _ANSWER[:2] = array.array("I", (_GET, _BLOCKS))
    try:
        address = _ANSWER.buffer_info()[0]
        fcntl.ioctl(netlink.fileno(), _SIOCETHTOOL, _REQUEST.pack(device.encode(), address))
    except OSError:
        return NONE
    there = asked = 0
    for block in range(min(_ANSWER[1], _BLOCKS)):
        there |= _ANSWER[2 + 4 * block] << 32 * block
        asked |= _ANSWER[3 + 4 * block] << 32 * block
    return Features(there, asked & there)


@functools.cache
def names() -> Mapping[str, int]:
    """The bits of all features by their names, which are those of the kernel."""
    with _features("lo") as (_, found):
        return {name: 32 * block + bit.bit_length() - 1 for name, _, _, block, bit in found}


def told(changed: Features) -> Offloads:
    """Features by their names, and whether they are on."""
    if not changed.there:
        return ()
    return tuple(
        (name, bool(changed.asked >> bit & 1))
        for name, bit in names().items()
        if changed.there >> bit & 1
    )


def read(device: str, names: Iterable[str]) -> Offloads:
    """Whether the named features of a device of the current namespace are on, of those it has.

    Raises OSError where it is gone.
    """
    with _features(device) as (_, found):
        return tuple((name, found.is_active(name)) for name in names if name in found)


def write(device: str, wanted: Offloads) -> None:
    """Turn features on or off. Raises OSError for those that it lacks, or does not let one set."""
    with _features(device) as (ethtool, found):
        for name, value in wanted:
            if name not in found:
                raise OSError(0, f"there is no offload feature {name}")
            if found.is_active(name) != value:
                found.set_value(name, value)
        with contextlib.suppress(OSError, _refusal()):  # what was refused shows when it is read
            ethtool.set_features(found)
    if lost := [name for name, value in set(wanted) - set(read(device, dict(wanted)))]:
        raise OSError(0, f"the kernel does not let one set {', '.join(sorted(lost))}")


def ask(device: str, wanted: Offloads) -> None:
    """Ask for features as they are to be; what comes of it depends on others. Raises OSError."""
    with _features(device) as (ethtool, found):
        for name, value in wanted:
            if name in found:
                found.set_value(name, value)
        with contextlib.suppress(OSError, _refusal()):  # what was refused shows when it is read
            ethtool.set_features(found)


@contextlib.contextmanager
def _features(device: str) -> Iterator[tuple[Any, Any]]:
    from pyroute2.ethtool import ioctl  # for what is seldom

    try:
        with contextlib.closing(ioctl.IoctlEthtool(device)) as ethtool:
            yield ethtool, ethtool.get_features()
    except ioctl.EthtoolError as error:
        raise OSError(0, f"no offload features: {error}") from error


def _refusal() -> type[Exception]:
    from pyroute2.ethtool import ioctl

    refusal: type[Exception] = ioctl.NotSupportedError
    return refusal
