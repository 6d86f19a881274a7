"""What a full mesh holds while it runs: neighbour entries in pods, short memories in nodes.

Each pair of pods that asks floods a bridge, and its entries count towards the kernel-wide limit of
a neighbour table; permanent ones do neither. They are told from all others by their protocol.

Each pair leaves six entries in the nodes' tables of connections, four of them of the overlay's UDP,
for half a minute: millions, among which every packet is searched. So nodes forget a connection that
nobody answered, and one of ICMP, after a second (1,000 pods: 20 s and not 26 to 35).

Who holds something has a file of the sandbox locked, in which stands what the settings were: with
the process the lock goes, the rest stays, and the next command puts it back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from netlab.plan.diff import Diff
from netlab.plan.routing import Neighbour, Sysctl
from netlab.state import decode, encode

PROTOCOL = 110  # RTPROT_*; none of linux/rtnetlink.h, or of iproute2's rt_protos, has it

FILE = "/run/mesh"  # in the sandbox's own /run; it is empty while nothing is held
ByNamespace = Mapping[str, Iterable[Neighbour]]
Settings = dict[str, dict[str, str]]  # by namespace and path: what they were before

SHORT = "1"  # seconds, the least there is
_TIMEOUTS = tuple(
    f"net/netfilter/nf_conntrack_{name}_timeout" for name in ("icmp", "icmpv6", "udp")
)


@contextlib.contextmanager
def holding(nodes: Iterable[str]) -> Iterator[None]:
    """Around the time in which entries are held, and nodes forget connections soon."""
    with _file() as fd:
        fcntl.flock(fd, fcntl.LOCK_SH)
        found = {node: _timeouts(node) for node in nodes}
        before = _stored(fd)  # of another mesh, which has set them
        os.pwrite(fd, encode(found | before), 0)
        for node in found.keys() - before.keys():
            _set(node, dict.fromkeys(found[node], SHORT))
        try:
            yield
        except BaseException:  # the next command sees whether entries are left
            if _alone(fd):
                _put_back(fd)
            raise
        if _alone(fd):
            _put_back(fd)
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
    """Take out and put back what a verification that was killed has left, if one was."""
    from netlab.kernel.objects import neighbour

    with _file() as fd:
        if not os.fstat(fd).st_size or not _alone(fd):
            return
        for name in namespaces:
            with contextlib.suppress(FileNotFoundError):
                take_out({name: neighbour.made_by(PROTOCOL, name)})
        _put_back(fd)
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
    unexpected = [item for item in found.unexpected if not _is_held(item.object)]
    changed = [change for change in found.changed if not _is_held(change.have)]
    return dataclasses.replace(found, unexpected=unexpected, changed=changed)


def _is_held(found: object) -> bool:
    if isinstance(found, Sysctl):
        return found.path in _TIMEOUTS and found.value == SHORT
    return isinstance(found, Neighbour) and found.protocol == PROTOCOL


def _timeouts(node: str) -> dict[str, str]:
    """Those of a node that are there, and not short by somebody's wish."""
    from netlab.kernel.namespaces import inside
    from netlab.kernel.settings import files

    found = {}
    with contextlib.suppress(FileNotFoundError), inside(node):
        found = {path: text for path in _TIMEOUTS if (text := files.read(path)) is not None}
    return {path: text for path, text in found.items() if text != SHORT}


def _set(node: str, values: Mapping[str, str]) -> None:
    from netlab.kernel.namespaces import inside
    from netlab.kernel.settings import files

    with contextlib.suppress(FileNotFoundError), inside(node):
        for path, text in values.items():
            files.write(Sysctl(path, text))


def _stored(fd: int) -> Settings:
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    return decode(data, Settings) if data else {}


def _put_back(fd: int) -> None:
    for node, values in _stored(fd).items():
        _set(node, values)


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
