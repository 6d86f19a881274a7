"""Named network namespaces of the sandbox: `/run/netns/NAME`, as `ip netns` has them.

Sockets are opened inside a namespace by a short setns of the calling thread and can be used from
anywhere afterwards; no process is started to work in a namespace.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Iterator

from netlab.errors import Unmet
from netlab.kernel.syscalls import CLONE_NEWNET, MS_BIND, mount, setns, unmount, unshare
from netlab.plan.machines import MACHINE
from netlab.plan.names import netns

FOLDER = "/run/netns"
HOME = ""  # stands for the sandbox's own namespace among names


@functools.cache
def home() -> int:
    """A descriptor of the namespace this process started in; opened before the first unshare."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


_machine: int | None = None


def remember_machine() -> None:
    """Keep a way to the namespace in which this process is: in a sandbox it stands as MACHINE.

    This process is about to enter that sandbox, which then is its home.
    """
    global _machine
    home.cache_clear()  # of the process from which it was forked
    _machine = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def path(name: str) -> str:
    """A file that is the namespace. Raises Unmet for the machine's own, where there is no way."""
    if name != MACHINE:
        return f"{FOLDER}/{netns(name)}"
    if _machine is None or not _may_enter(_machine):
        raise Unmet("A lab on several machines works in their own network", "it takes root there")
    return f"/proc/self/fd/{_machine}"


@functools.cache
def _may_enter(descriptor: int) -> bool:
    """Whether a namespace can be entered: from a user namespace, that of the machine cannot."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(descriptor, CLONE_NEWNET)
        setns(back, CLONE_NEWNET)
    except PermissionError:
        return False
    finally:
        os.close(back)
    return True


def existing() -> list[str]:
    """The files of names that there are; a name whose mount was taken away is not one."""
    try:
        names = os.listdir(FOLDER)
    except FileNotFoundError:
        return []
    folder = os.stat(FOLDER).st_dev
    return [name for name in names if os.stat(f"{FOLDER}/{name}").st_dev != folder]


def shared() -> list[list[str]]:
    """Files of names that lead to one namespace, which somebody's mounts can do; HOME is its own.

    `ip netns` never makes two names for one.
    """
    own = os.fstat(home())
    names: dict[tuple[int, int], list[str]] = {(own.st_dev, own.st_ino): [HOME]}
    for file in existing():
        found = os.stat(f"{FOLDER}/{file}")
        names.setdefault((found.st_dev, found.st_ino), []).append(file)
    return [files for files in names.values() if len(files) > 1]


def open_namespace(name: str) -> int:
    return os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Run the block inside the named namespace; raises FileNotFoundError if there is none."""
    back = home()
    fd = open_namespace(name)
    try:
        setns(fd, CLONE_NEWNET)
    finally:
        os.close(fd)
    try:
        yield
    finally:
        setns(back, CLONE_NEWNET)


@contextlib.contextmanager
def at_home() -> Iterator[None]:
    """Run the block in the sandbox's own namespace, wherever the caller is at work."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    setns(home(), CLONE_NEWNET)
    try:
        yield
    finally:
        setns(here, CLONE_NEWNET)
        os.close(here)


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """Run the block inside a new, nameless network namespace, gone afterwards."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            yield
        finally:
            setns(back, CLONE_NEWNET)
    finally:
        os.close(back)


def open_socket(namespace: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket of the named namespace. It keeps the namespace alive until it is closed."""
    with inside(namespace):
        return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)


def create(name: str) -> None:
    """Make and name a network namespace; the name is taken from whoever has it."""
    back = home()
    target = path(name)
    make = os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC
    try:
        os.close(os.open(target, make, 0o444))
    except FileExistsError:
        remove(name)
        os.close(os.open(target, make, 0o444))
    unshare(CLONE_NEWNET)
    try:
        mount("/proc/self/ns/net", target, flags=MS_BIND)
    finally:
        setns(back, CLONE_NEWNET)


def remove(name: str) -> None:
    """Take the name away; the kernel frees the namespace when nothing is left in it."""
    with contextlib.suppress(OSError):
        unmount(path(name))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(name))
