"""Settings of a whole namespace: the files of /proc/sys/net but for those of single devices.

Every mount of /proc keeps what it showed of each namespace under the same names, so that looking
something up gets slower with every namespace (1,000 pods: 7 s, and 36 s the second time). So about
a hundred namespaces are read through a mount, and then through another: 0.2 s for 20 files of each.
"""

from __future__ import annotations

import contextlib
import functools
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from netlab.kernel import namespaces
from netlab.kernel.syscalls import detached_proc
from netlab.plan.baseline import of_device
from netlab.plan.routing import Sysctl

_PER_MOUNT = 100  # namespaces
_TREE = "/proc/sys"
_NUMBER = "I"  # of an array
_USUAL = 256  # bytes; more room is worth asking for only where there is more
_WRITABLE, _READABLE = 0o200, 0o400  # by the namespace's root
_SECRET = frozenset({"tcp_fastopen_key", "stable_secret"})  # see `netlab.plan.exceptions`
# What decides about a pod's traffic: in large labs the only ones read of pods. At most 20.
OF_PODS = tuple(
    f"net/{name}"
    for name in (
        "ipv4/ip_forward",
        "ipv4/ip_default_ttl",
        "ipv4/ip_local_port_range",
        "ipv4/ip_local_reserved_ports",
        "ipv4/ip_unprivileged_port_start",
        "ipv4/ip_nonlocal_bind",
        "ipv4/ip_no_pmtu_disc",
        "ipv4/icmp_echo_ignore_all",
        "ipv4/tcp_ecn",
        "ipv4/tcp_mtu_probing",
        "ipv4/conf/all/rp_filter",
        "ipv4/conf/all/arp_ignore",
        "ipv4/conf/all/arp_announce",
        "ipv4/conf/all/arp_filter",
        "ipv4/conf/all/accept_local",
        "ipv4/conf/all/route_localnet",
        "ipv6/conf/all/disable_ipv6",
        "ipv6/conf/all/forwarding",
        "ipv6/icmp/echo_ignore_all",
        "ipv6/bindv6only",
    )
)


class Found(NamedTuple):
    """Of one namespace what is not as expected: None is a file that is not there.

    `unread` are those that are there and could not be read, with the reason.
    """

    other: dict[str, str | None]
    unread: dict[str, str]


class Question(NamedTuple):
    """What to compare of a namespace with what: the files `paths`, if `whole` all others too."""

    namespace: str
    expected: Mapping[str, str]
    paths: Collection[str]
    whole: bool


def write(item: Sysctl) -> None:
    """Write a setting of the current namespace. Raises OSError."""
    Path(_TREE, item.path).write_text(item.value)


def read(path: str, root: int | None = None) -> str | None:
    """A setting of the current namespace, in one line; None where there is none. Raises OSError.

    `root` is the descriptor of a /proc/sys.
    """
    try:
        opened = os.open(path if root is not None else f"{_TREE}/{path}", os.O_RDONLY, dir_fd=root)
    except FileNotFoundError:
        return None
    try:
        data = os.read(opened, _USUAL)
        if len(data) == _USUAL:
            data = os.pread(opened, 1 << 16, 0)  # from the start: these files tell all at once
        return _text(data)
    finally:
        os.close(opened)


@functools.lru_cache(maxsize=4096)  # most are "0" and "1"
def _text(data: bytes) -> str:
    return " ".join(data.decode(errors="replace").split())


def existing() -> list[str]:
    """All that are compared of the current namespace: what its root can read and write."""
    return list(_walk("net"))


def _walk(folder: str) -> Iterator[str]:
    with os.scandir(f"{_TREE}/{folder}") as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if not of_device(f"{path}/"):
                    yield from _walk(path)
            elif entry.name not in _SECRET:
                mode = entry.stat(follow_symlinks=False).st_mode
                if mode & _WRITABLE and mode & _READABLE:
                    yield path


class Turns:
    """Questions that several processes take in turn: the offset of an open file is shared by all
    that were forked since, and moved by one at a time."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._file = os.memfd_create("turns")
        os.pwrite(self._file, array(_NUMBER, range(len(questions))).tobytes(), 0)

    def __iter__(self) -> Iterator[Question]:
        while turn := os.read(self._file, array(_NUMBER).itemsize):
            yield self._questions[array(_NUMBER, turn)[0]]

    def close(self) -> None:
        os.close(self._file)


def compare(questions: Iterable[Question]) -> dict[str, Found]:
    """Read the settings of many namespaces, and tell what is not as expected. Raises OSError."""
    found: dict[str, Found] = {}
    everything: list[str] = []  # of one namespace: all of a sandbox have the same
    tree = -1
    try:
        for number, question in enumerate(questions):
            if number % _PER_MOUNT == 0:
                tree = _another(tree)
            with namespaces.inside(question.namespace):
                if question.whole and not everything:
                    everything = existing()
                paths = dict.fromkeys((*question.paths, *(everything if question.whole else ())))
                found[question.namespace] = _compare(paths, question.expected, tree)
    finally:
        if tree >= 0:
            os.close(tree)
    return found


def _another(tree: int) -> int:
    """A /proc/sys of a new mount, where one can be made."""
    if tree >= 0:
        os.close(tree)
    with contextlib.suppress(OSError):
        proc = detached_proc()
        try:
            return os.open("sys", os.O_PATH | os.O_CLOEXEC, dir_fd=proc)
        finally:
            os.close(proc)
    return os.open(_TREE, os.O_PATH | os.O_CLOEXEC)


def _compare(paths: Collection[str], expected: Mapping[str, str], tree: int) -> Found:
    result = Found({}, {})
    for path in paths:
        try:
            text = read(path, tree)
        except OSError as error:
            result.unread[path] = error.strerror or str(error)
            continue
        if text != expected.get(path):
            result.other[path] = text
    return result
