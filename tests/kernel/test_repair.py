"""`up` on a running lab: no write where nothing differs, and repair of exactly what does."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import COMMAND, Netlab, Result, at_once, wanted

# What to break, where, and what the diff must call it. VTEP and veth names are node 1's.
BREAKS = {
    "route": ("node-1", "ip route del 10.244.1.0/24", "missing", "route 10.244.1.0/24"),
    "foreign route": (
        "node-1",
        "ip route add 10.9.0.0/16 dev eth0 proto static",
        "unexpected",
        "10.9.0.0/16",
    ),
    "bare route": (
        "node-1",
        "ip route replace 10.244.1.0/24 via 192.168.0.2 dev eth0",
        "changed",
        "route 10.244.1.0/24",
    ),
    "blackhole": (
        "node-1",
        "ip route add blackhole 10.244.1.0/25",
        "unexpected",
        "blackhole 10.244.1.0/25",
    ),
    "stolen network": (
        "node-1",
        "ip route add local 10.244.1.0/24 dev lo table local",
        "unexpected",
        "local 10.244.1.0/24",
    ),
    "own address is nobody's": (
        "node-1",
        "ip route del local 192.168.0.1 dev eth0 table local",
        "changed",
        "state is not local, not none",
    ),
    "stolen address": (
        "pod-1-1",
        "ip route add local 10.244.1.3 dev lo table local proto kernel",
        "unexpected",
        "local 10.244.1.3/32",
    ),
    "connected route": ("node-1", "ip route del 10.244.0.0/24", "missing", "10.244.0.0/24"),
    "pod's connected route": ("pod-1-1", "ip route del 10.244.0.0/24", "missing", "10.244.0.0/24"),
    "appended route": (
        "node-1",
        "ip route append 10.244.1.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "unexpected",
        "10.244.1.0/24 via 10.244.2.0",
    ),
    "prepended route": (
        "node-1",
        "ip route prepend 10.244.1.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "unexpected",
        "10.244.1.0/24 via 10.244.2.0",
    ),
    "route with tos": (
        "node-1",
        "ip route add 10.244.1.0/24 tos 0x10 via 192.168.0.2 dev eth0",
        "unexpected",
        "tos 0x10",
    ),
    "route source": (
        "node-1",
        "ip route change 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink src 192.168.0.1",
        "changed",
        "route 10.244.1.0/24",
    ),
    "route mtu": (
        "node-1",
        "ip route change 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink mtu lock 1000",
        "changed",
        "mtu is 1000, not 0",
    ),
    "rule": ("node-1", "ip rule add to 10.244.1.0/24 prohibit pref 99", "unexpected", "prohibit"),
    "rule and table": (
        "node-1",
        "ip route add 10.244.1.0/24 via 192.168.0.2 table 100; ip rule add lookup 100 pref 99",
        "unexpected",
        "lookup 100",
    ),
    "default rule": ("pod-1-1", "ip rule del pref 32766", "missing", "rule 32766"),
    "fdb port": (
        "node-1",
        "bridge fdb replace $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 dst 192.168.0.2 port 9999 self permanent",
        "changed",
        "fdb ",
    ),
    "promiscuous": ("node-1", "ip link set eth0 promisc on", "changed", "promisc is on, not off"),
    "all multicast": (
        "pod-1-1",
        "ip link set eth0 allmulticast on",
        "changed",
        "allmulti is on, not off",
    ),
    "no multicast": (
        "node-1",
        "ip link set cni0 multicast off",
        "changed",
        "multicast is off, not on",
    ),
    "arp off": ("pod-1-1", "ip link set eth0 arp off", "changed", "arp is off, not on"),
    "vtep ttl": ("node-1", "ip link set flannel.1 type vxlan ttl 1", "changed", "ttl is 1, not 0"),
    "isolated port": (
        "node-1",
        "ip link set $(ls /sys/class/net | grep -m1 veth) type bridge_slave isolated on",
        "changed",
        "isolated is on, not off",
    ),
    "deaf port": (
        "underlay",
        "ip link set node-2 type bridge_slave bcast_flood off flood off",
        "changed",
        "bcast flood is off, not on",
    ),
    "switch ageing": ("underlay", "ip link set br0 type bridge ageing_time 0", "changed", "ageing"),
    "device forwarding": (
        "node-1",
        "echo 0 > /proc/sys/net/ipv4/conf/cni0/forwarding",
        "unexpected",
        "conf/cni0/forwarding=0",
    ),
    "proxy arp": (
        "node-1",
        "echo 1 > /proc/sys/net/ipv4/conf/cni0/proxy_arp",
        "unexpected",
        "conf/cni0/proxy_arp=1",
    ),
    "pod forwards": (
        "pod-1-1",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "unexpected",
        "net/ipv4/ip_forward=1",
    ),
    "rules in a pod": ("pod-1-1", "nft add table inet mine", "unexpected", "inet mine"),
    "qdisc": (
        "pod-1-1",
        "tc qdisc add dev eth0 root tbf rate 1mbit burst 2kb latency 10ms",
        "unexpected",
        "qdisc tbf root dev eth0",
    ),
    "bridge fdb": (
        "node-1",
        "bridge fdb add 02:00:00:00:00:09 dev $(ls /sys/class/net | grep -m1 veth) master static",
        "unexpected",
        "fdb 02:00:00:00:00:09",
    ),
    "sticky fdb": (
        "node-1",
        "bridge fdb add 02:00:00:00:00:0a dev $(ls /sys/class/net | grep -m1 veth)"
        " master sticky static",
        "unexpected",
        "sticky",
    ),
    "fdb of the bridge itself": (
        "node-1",
        "bridge fdb add 02:00:00:00:00:0b dev cni0 self local",
        "unexpected",
        "fdb 02:00:00:00:00:0b dev cni0",
    ),
    "fdb of a pod's device": (
        "pod-1-1",
        "bridge fdb add 02:00:00:00:00:0c dev eth0 self permanent",
        "unexpected",
        "fdb 02:00:00:00:00:0c dev eth0",
    ),
    "fdb destination": (
        "node-1",
        "bridge fdb replace $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 dst 192.168.0.3 self permanent",
        "changed",
        "fdb ",
    ),
    "fdb entry": (
        "node-1",
        "bridge fdb del $(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
        " dev flannel.1 self",
        "missing",
        "fdb ",
    ),
    "neighbour": ("node-1", "ip neigh del 10.244.1.0 dev flannel.1", "missing", "neighbour"),
    "wrong neighbour": (
        "node-1",
        "ip neigh replace 10.244.1.0 lladdr 02:00:00:00:00:01 dev flannel.1 nud permanent",
        "changed",
        "neighbour 10.244.1.0",
    ),
    "vtep": ("node-1", "ip link del flannel.1", "missing", "link flannel.1"),
    "vtep address": ("node-1", "ip addr del 10.244.0.0/32 dev flannel.1", "missing", "address"),
    "vtep mac": ("node-1", "ip link set flannel.1 address 02:00:00:00:00:02", "changed", "link"),
    "vtep down": ("node-1", "ip link set flannel.1 down", "changed", "link flannel.1"),
    "bridge mtu": ("node-1", "ip link set cni0 mtu 1400", "changed", "link cni0"),
    "hairpin": (
        "node-1",
        "ip link set $(ls /sys/class/net | grep -m1 veth) type bridge_slave hairpin off",
        "changed",
        "link veth",
    ),
    "unplugged port": (
        "node-1",
        "ip link set $(ls /sys/class/net | grep -m1 veth) nomaster",
        "changed",
        "link veth",
    ),
    "forwarding": ("node-1", "echo 0 > /proc/sys/net/ipv4/ip_forward", "changed", "ip_forward"),
    "masquerade": ("node-1", "nft flush chain ip flannel-ipv4 postrtg", "changed", "flannel-ipv4"),
    "ruleset": ("node-1", "nft delete table ip flannel-ipv4", "missing", "flannel-ipv4"),
    "foreign table": ("node-1", "nft add table inet mine", "unexpected", "inet mine"),
    "pod route": ("pod-1-1", "ip route del default", "missing", "route 0.0.0.0/0"),
    "pod address": ("pod-1-1", "ip addr del 10.244.0.2/24 dev eth0", "missing", "address"),
    "pod device": ("pod-1-1", "ip link del eth0", "missing", "link eth0"),
    "pod mtu": ("pod-1-1", "ip link set eth0 mtu 1500", "changed", "link eth0"),
    "arp_notify": (
        "pod-1-1",
        "echo 0 > /proc/sys/net/ipv4/conf/eth0/arp_notify",
        "changed",
        "arp_notify",
    ),
    "loopback": ("pod-1-1", "ip link set lo down", "changed", "link lo"),
    "localhost": ("pod-1-1", "ip addr del 127.0.0.1/8 dev lo", "missing", "127.0.0.1/8"),
    "extra address": ("node-1", "ip addr add 10.5.5.5/32 dev lo", "unexpected", "10.5.5.5/32"),
    "container": ("node-1", "", "missing", "container container-1"),
    "stopped container": ("pod-1-1", "", "missing", "container container-"),
    "uplink": ("node-1", "ip link del eth0", "missing", "link eth0"),
    "underlay port": ("underlay", "ip link set node-2 down", "changed", "link node-2"),
}


def break_it(netlab: Netlab, name: str) -> None:
    where, command, _, _ = BREAKS[name]
    if name in ("container", "stopped container"):
        # `exec` enters the container's PID namespace; the sandbox shell sees it from outside.
        signal = "-9" if name == "container" else "-STOP"
        known = json.loads((netlab.state / "flannel-vxlan" / "containers.json").read_text())
        sandbox(netlab, f"kill {signal} {known['pod-1-1']['container-1']['pid']}")
        time.sleep(0.05)
    else:
        # A node's own tools, as a person would: straight into the namespace, not through netlab.
        sandbox(netlab, f"ip netns exec {where} sh -ec '{command.replace(chr(39), chr(34))}'")


def sandbox(netlab: Netlab, command: str, lab: str | None = None) -> str:
    """Run a shell command in the lab's sandbox, where `ip netns` shows every namespace."""
    done = netlab.run("shell", *(("-l", lab) if lab else ()), stdin=f"{command}\n")
    assert done.code == 0, done.err
    return done.out


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Netlab:
    shared.ok("up", "flannel-vxlan", "--no-verify")
    return shared


def test_up_again_writes_nothing(lab: Netlab) -> None:
    time.sleep(1.5)  # the kernel's link watch reports new devices up to a second later
    monitor = subprocess.Popen(
        [*COMMAND, "exec", "node-1", "--", "timeout", "2", "ip", "monitor", "all"],
        env=lab.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with monitor:
        time.sleep(0.5)
        again = lab.ok("up", "flannel-vxlan", "--no-verify")
        seen, _ = monitor.communicate()
    assert (again["changes"], again["writes"]) == (0, 0)
    # An ARP entry that ages is the kernel's own doing; links, addresses and routes are not.
    assert [line for line in seen.splitlines() if "[NEIGH]" not in line] == []


@dataclass(frozen=True)
class Repair:
    """What the commands said of a lab with one thing broken, and then repaired."""

    found: Result
    verified: Result
    repaired: Any
    left: Any
    again: Any


def break_and_repair(lab: Netlab, name: str) -> Repair:
    break_it(lab, name)
    return Repair(
        found=lab.run("--json", "diff"),
        verified=lab.run("--json", "verify"),
        repaired=lab.ok("up", "flannel-vxlan"),
        left=lab.ok("diff"),
        again=lab.ok("up", "flannel-vxlan", "--no-verify"),
    )


@pytest.fixture(scope="module")
def repairs(
    several: list[Netlab], request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Repair]]]:
    with at_once(several, break_and_repair, wanted(request, "name")) as found:
        yield found


@pytest.mark.parametrize("name", BREAKS)
def test_one_broken_object_is_named_shown_and_repaired(
    repairs: dict[str, Future[Repair]], name: str
) -> None:
    _, _, state, words = BREAKS[name]
    seen = repairs[name].result()
    assert seen.found.code == 1
    assert not seen.found.json["ok"]
    assert any(words in str(entry) for entry in seen.found.json[state]), seen.found.json
    assert seen.verified.code == 1
    assert any(not check["ok"] for check in seen.verified.json["checks"])
    assert seen.repaired["changes"] >= 1
    assert seen.left["ok"]
    assert seen.again["writes"] == 0


# Pings until its standard input ends.
PING = "ping -i 0.002 10.244.2.2 & read -r _; kill -INT $!; wait $!"


def test_repair_drops_no_packet_elsewhere(lab: Netlab, tmp_path: Path) -> None:
    """While node 2 is broken and repaired, pings between nodes 1 and 3 lose nothing."""
    path = tmp_path / "pings"
    with (
        path.open("w") as output,
        subprocess.Popen(
            [*COMMAND, "exec", "pod-1-1", "--", "sh", "-c", PING],
            env=lab.environment,
            stdin=subprocess.PIPE,
            stdout=output,
        ) as ping,
    ):
        while not path.stat().st_size:
            assert ping.poll() is None
            time.sleep(0.01)
        time.sleep(0.5)
        for command in ("ip link del flannel.1", "nft delete table ip flannel-ipv4"):
            sandbox(lab, f"ip netns exec node-2 {command}")
        lab.ok("up", "flannel-vxlan")
        time.sleep(0.5)
        assert ping.poll() is None, "the repair must be over before the pings are"
    said = path.read_text()
    sent = int(re.findall(r"(\d+) packets transmitted", said)[0])
    assert sent > 100
    # In any order: two processors may have one each. The last are on their way at the end.
    answered = set(map(int, re.findall(r"icmp_seq=(\d+) ttl", said)))
    assert set(range(1, sent + 1)) - answered <= set(range(sent - 4, sent + 1))


def test_lost_namespace_is_made_again(lab: Netlab) -> None:
    sandbox(lab, "ip netns del pod-2-1")
    found = lab.run("--json", "diff")
    assert found.code == 1
    assert lab.run("verify").code == 1
    assert lab.ok("up", "flannel-vxlan")["ok"]


def test_unknown_namespace_is_removed(lab: Netlab) -> None:
    sandbox(lab, "ip netns add stray")
    assert "stray" in str(lab.run("--json", "diff").json["unexpected"])
    lab.ok("up", "flannel-vxlan", "--no-verify")
    assert "stray" not in sandbox(lab, "ip netns")


def test_a_running_lab_grows_and_shrinks(lab: Netlab) -> None:
    grown = lab.ok("up", "flannel-vxlan", "--nodes", "4", "--pods-per-node", "3")
    assert grown["ok"]
    assert len(lab.ok("status")["pods"]) == 12
    shrunk = lab.ok("up", "flannel-vxlan")
    assert shrunk["ok"]
    assert len(lab.ok("status")["pods"]) == 6
    assert lab.ok("diff")["ok"]


def test_a_running_lab_is_put_behind_a_router_and_back(lab: Netlab) -> None:
    """Devices are made again, and what lay on them with them, in one `up`."""
    routed = lab.ok("up", "flannel-vxlan", "--set", "underlay=192.168.0.0/24,192.168.1.0/24")
    assert routed["ok"]
    back = lab.ok("up", "flannel-vxlan")
    assert back["ok"]
    assert lab.ok("diff")["ok"]
