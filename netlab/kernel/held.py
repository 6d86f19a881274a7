"""Neighbour entries that a full mesh holds while it runs, so that no pair of pods has to ask.

Each pair that asks floods a bridge, and its entries count towards the kernel-wide limit of a
neighbour table; permanent ones do neither. They are told from all others by their protocol. Who
holds some has a file of the sandbox locked: with the process the lock goes, the entries stay, and
the next command takes them out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netlab.plan.diff import Diff
from netlab.plan.routing import Neighbour

PROTOCOL = 110  # RTPROT_*; none of linux/rtnetlink.h, or of iproute2's rt_protos, has it

FILE = "/run/mesh"  # in the sandbox's own /run; it has a byte while entries may be there
ByNamespace = Mapping[str, Iterable[Neighbour]]


@contextlib.contextmanager
def holding() -> Iterator[None]:
    """Around the time in which entries are held."""
    with _file() as fd:
        fcntl.flock(fd, fcntl.LOCK_SH)
        os.pwrite(fd, b"+", 0)
        yield
        if _alone(fd):
            os.ftruncate(fd, 0)


def put(entries: ByNamespace) -> dict[str, list[Neighbour]]:
    """Make entries; returns those that were made. What is known of an address already stays."""
    # Here and below, as it takes 30 ms for which `status` has no use.
    from netlab.kernel.objects import neighbour

    made: dict[str, list[Neighbour]] = {}
    for name, listed in entries.items():
        with contextlib.suppress(FileNotFoundError):
            made[name] = neighbour.put(name, listed)
    return made


def take_out(entries: ByNamespace) -> None:
    from netlab.kernel.objects import neighbour

    for name, listed in entries.items():
        with contextlib.suppress(FileNotFoundError):
            neighbour.remove(name, listed)


def clear(namespaces: Iterable[str]) -> None:
    """Take out what a verification that was killed has left, if one was."""
    from netlab.kernel.objects import neighbour

    with _file() as fd:
        if not os.fstat(fd).st_size or not _alone(fd):
            return
        for name in namespaces:
            with contextlib.suppress(FileNotFoundError):
                take_out({name: neighbour.made_by(PROTOCOL, name)})
        os.ftruncate(fd, 0)


class Moment(NamedTuple):
    """Whether entries are held now, and when that last began or ended."""

    held: bool
    since: int


def moment() -> Moment:
    with _file() as fd:
        known = os.fstat(fd)
        return Moment(bool(known.st_size) and not _alone(fd), known.st_mtime_ns)


def without_held(found: Diff, before: Moment, after: Moment) -> Diff:
    """A difference without what a mesh held for a time between two moments."""
    if before == after and not before.held:
        return found
    unexpected = [
        item
        for item in found.unexpected
        if not (isinstance(item.object, Neighbour) and item.object.protocol == PROTOCOL)
    ]
    return dataclasses.replace(found, unexpected=unexpected)


@contextlib.contextmanager
def _file() -> Iterator[int]:
    fd = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
