"""What guards all other tests: a lab's leak is caught whatever it is, a neighbour's doings are not.

And, as the tests' own host has none of the settings that are the whole kernel's, one lab on the
machine's own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel import host
from tests.kernel.conftest import Netlab, machine
from tests.kernel.place import Place, inside, new_host


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Place]:
    """Run the test on a new host, made on another new one; returns that."""
    around = new_host()
    with inside(around):
        sh(f"mkdir {tmp_path}/others; mount -t tmpfs none {tmp_path}/others")
        host_inside = new_host()
    with inside(host_inside):
        yield around
    host_inside.close()
    around.close()


def sh(command: str) -> None:
    subprocess.run(["sh", "-euc", command], check=True)


# What it might be, and how to undo it.
LEAKS = {
    "link": ("ip link add cni0 type bridge", "ip link del cni0"),
    "link gone": ("ip link del host0", ""),
    "link down": ("ip link set host0 down", ""),
    "mtu": ("ip link set host0 mtu 1450", "ip link set host0 mtu 1400"),
    "address": ("ip addr add 10.5.5.5/32 dev lo", "ip addr del 10.5.5.5/32 dev lo"),
    "address gone": ("ip addr flush dev host0", ""),
    "route": ("ip route add 10.244.0.0/16 dev host0", "ip route del 10.244.0.0/16"),
    "route gone": ("ip route del default", "ip route add default via 203.0.113.2"),
    "route in a table": ("ip route flush table 100", ""),
    "rule": ("ip rule add pref 99 lookup main", "ip rule del pref 99"),
    "neighbour": ("ip neigh flush nud permanent dev host0", ""),
    "qdisc": ("tc qdisc del dev host0 root", ""),
    "fdb entry": (
        "bridge fdb add 02:00:00:00:00:09 dev host0 self",
        "bridge fdb del 02:00:00:00:00:09 dev host0 self",
    ),
    "table of rules": ("nft add table inet mine", "nft delete table inet mine"),
    "rules gone": ("nft flush ruleset", ""),
    "setting": (
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo 0 > /proc/sys/net/ipv4/ip_forward",
    ),
    "setting of a device": ("echo 1 > /proc/sys/net/ipv4/conf/host0/proxy_arp", ""),
    "mount": ("mount -t tmpfs none /mnt", "umount /mnt"),
    "mount gone": ("umount /dev/shm", ""),
    "mount that escapes": ("unshare -m --propagation unchanged mount -t tmpfs none /mnt", ""),
    "namespace's name": ("ip netns add node-1", "ip netns del node-1"),
    "name gone": ("ip netns del of-the-host", ""),
    "hostname": ("hostname netlab", ""),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_caught(outside: Place, name: str) -> None:
    leak, undo = LEAKS[name]
    before = host.snapshot()
    assert host.changes(before) == []
    sh(leak)
    assert host.changes(before) != []
    if undo:
        sh(undo)
        assert host.changes(before) == [], "nothing but the leak was seen"


def test_a_process_that_stays_is_caught(tmp_path: Path) -> None:
    state = tmp_path / "state"
    left = subprocess.Popen(["sleep", "60"], env={"NETLAB_STATE": str(state)})
    try:
        with pytest.raises(AssertionError, match=str(left.pid)):
            host.assert_nothing_left(state, within=0.1)
    finally:
        left.kill()
        left.wait()
    host.assert_nothing_left(state)


OTHERS = """
ip netns add other
ip link add cni0 type veth peer name flannel.1
ip link set cni0 up
echo 1 > /proc/sys/net/ipv4/conf/cni0/proxy_arp
echo 1 > /proc/sys/net/ipv4/ip_forward
ip addr add 10.244.0.1/24 dev cni0
ip route add 10.9.0.0/16 dev cni0
ip rule add pref 98 lookup main
nft add table inet other
ip netns del of-the-host
mount -t tmpfs none /mnt
hostname other
"""


def test_what_others_do_on_the_machine_does_not_matter(outside: Place, tmp_path: Path) -> None:
    before = host.snapshot()
    with inside(outside):
        sh(f"{OTHERS}umount {tmp_path}/others; rmdir {tmp_path}/others")
        assert host.changes(before) != [], "there it is seen"
    assert host.changes(before) == []


def of_the_kernel() -> dict[Path, str]:
    """The settings that only the machine's own namespace has, as they hold for the whole kernel."""
    everywhere = host.settings().keys()
    with inside(machine()):
        return {
            path: value
            for path, value in host.settings().items()
            if path not in everywhere and path.parent.parent.name not in ("conf", "neigh")
        } | {
            path: path.read_text().strip()
            for path in Path("/proc/sys/net").glob("ipv?/neigh/default/gc_thresh?")
        }


def names_on_the_machine() -> set[str]:
    with inside(machine()):
        links = {entry.name for entry in Path("/proc/sys/net/ipv4/conf").iterdir()}
        folder = Path("/run/netns")
        return links | ({entry.name for entry in folder.iterdir()} if folder.is_dir() else set())


def test_a_lab_on_the_machine_itself(netlab: Netlab, topology: Callable[[str], str]) -> None:
    """Here others may be at work, so only what has a name of the plan is looked for."""
    nodes = ", ".join(f"Node('n{os.getpid()}-{number}')" for number in range(2))
    path = topology(f"topology = Cluster(nodes=[{nodes}])")
    planned = {
        name
        for space, content in netlab.ok("plan", path)["namespaces"].items()
        for name in (space, *(link["name"] for link in content["links"]))
    }
    settings, names = of_the_kernel(), names_on_the_machine()
    for command in (("up", path), ("down",)):
        with inside(machine()):
            assert netlab.ok(*command)
            mounts = Path("/proc/self/mountinfo").read_text()
        assert str(netlab.state) not in mounts
        assert (names_on_the_machine() - names) & planned == set()
        now = of_the_kernel()
        assert {path: now.get(path) for path in settings} == settings
    host.assert_nothing_left(netlab.state)
