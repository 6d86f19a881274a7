"""Offload features of a device by ethtool's ioctl (net/ethtool/ioctl.c), under ethtool's names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

Offloads = tuple[tuple[str, bool], ...]


def read(device: str, names: Iterable[str]) -> Offloads:
    """Whether the named features of a device of the current namespace are on, of those it has.

    Raises OSError where it is gone.
    """
    with _features(device) as (_, features):
        return tuple((name, features.is_active(name)) for name in names if name in features)


def write(device: str, wanted: Offloads) -> None:
    """Turn features on or off. Raises OSError for those that it lacks, or does not let one set."""
    with _features(device) as (ethtool, features):
        for name, value in wanted:
            if name not in features:
                raise OSError(0, f"there is no offload feature {name}")
            if features.is_active(name) != value:
                features.set_value(name, value)
        with contextlib.suppress(OSError, _refusal()):  # what was refused shows when it is read
            ethtool.set_features(features)
    if lost := [name for name, value in set(wanted) - set(read(device, dict(wanted)))]:
        raise OSError(0, f"the kernel does not let one set {', '.join(sorted(lost))}")


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
