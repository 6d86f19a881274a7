"""A host of its own for the tests: private namespaces in which all of the kernel layer runs.

What else runs on the machine may make names, links, mounts and rules at any time. None of it shows
in here, so the tests can insist that a lab changes nothing at all, and several runs do not meet.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from netlab.kernel import syscalls as sys_

CLONE_FS = 0x200
MS_SHARED = 0x100000
# Something of each kind, so that a lab which takes things away is caught as one that adds them. No
# IPv6 addresses: the kernel would go on changing their flags for a while.
FURNISH = """
ip link set lo up
ip link add host0 mtu 1400 type veth peer name host1
for setting in /proc/sys/net/ipv6/conf/host?/disable_ipv6; do
    [ ! -e $setting ] || echo 1 >$setting
done
ip link set host0 up
ip link set host1 up
ip address add 203.0.113.1/24 dev host0
ip route add default via 203.0.113.2
ip route add 198.51.100.0/24 via 203.0.113.2 table 100
ip rule add to 198.51.100.0/24 lookup 100
ip neigh add 203.0.113.2 lladdr 02:00:00:00:00:02 dev host0 nud permanent
tc qdisc add dev host0 root pfifo limit 99
nft "table inet host { chain forward { type filter hook forward priority 0; accept; }; }"
ip netns add of-the-host
"""


@dataclass(frozen=True)
class Place:
    """The namespaces, the root and the working folder of a process."""

    namespaces: tuple[int, ...]
    root: int
    folder: int

    @classmethod
    def here(cls) -> Place:
        kinds = ("net", "uts", "mnt")
        return cls(
            tuple(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in kinds),
            os.open("/", os.O_PATH),
            os.open(".", os.O_PATH),
        )

    def enter(self) -> None:
        sys_.unshare(CLONE_FS)  # who shares a root with other threads may not change it
        for fd in self.namespaces:
            sys_.setns(fd, 0)
        # Into a mount namespace one comes at its root, which in a chroot is another folder.
        os.fchdir(self.root)
        os.chroot(".")
        os.fchdir(self.folder)

    def close(self) -> None:
        for fd in (*self.namespaces, self.root, self.folder):
            os.close(fd)


@contextmanager
def inside(place: Place) -> Iterator[None]:
    before = Place.here()
    place.enter()
    try:
        yield
    finally:
        before.enter()
        before.close()


def mount_points() -> list[str]:
    """Where something is mounted, in the order in which it was."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [mount_point(line) for line in lines]


def mount_point(line: str) -> str:
    """Of a line of mountinfo, in which a space in a name is `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split()[4])


def new_host() -> Place:
    """Make a host and return it; the caller stays where it is."""
    outside, folder = Place.here(), os.getcwd()
    sys_.unshare(sys_.CLONE_NEWNET | sys_.CLONE_NEWNS | sys_.CLONE_NEWUTS)
    try:
        # Private from the machine, then shared among what is made in here: as systemd leaves it,
        # and so that a mount which escapes from a lab's namespace is seen.
        sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
        sys_.mount("none", "/", flags=sys_.MS_REC | MS_SHARED)
        # Names of namespaces, and labs. Below it are the machine's, which come and go.
        for point in reversed(mount_points()):
            if point.startswith("/run/"):
                with suppress(OSError):  # gone already, together with another
                    sys_.unmount(point)
        sys_.mount("host", "/run", "tmpfs", data="mode=755")
        os.chdir(folder)  # as the new namespace has it
        subprocess.run(["sh", "-euc", FURNISH], check=True)
        return Place.here()
    finally:
        outside.enter()
        outside.close()
