"""Labs on several machines: VMs with Debian's kernel, reached by ssh, and cut off in the middle.

netlab runs here as a new user would call it, and has never been on the machines before.
"""

import contextlib
import json
import signal
import time
from collections import deque
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tests.hosts.frames import packets, tunnelled
from tests.hosts.machines import Machine, Machines, finished
from tests.hosts.vm import Result, settled

TOLD = 90  # seconds for a command to say that a machine is gone; VMs are slow where others work too
SETTLED = 40  # seconds for what a cut connection left to end: an agent waits for a sign of life
POD_NETWORK = ip_network("10.244.0.0/16")
FALLBACK_DEVICES = {"tunl0", "gre0", "gretap0", "erspan0"}  # a module brings them, and they stay


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with Machines(2) as started:
        yield started


TABLES = (
    "link",
    "address",
    "route show table all",
    "-6 route show table all",
    "rule",
    "neigh show dev eth1",
)


def looked(machines: Machines) -> dict[str, Any]:
    """What a lab must leave as it was on each machine, but for devices that a module brings."""
    return {f"{m.name}: {what}": seen for m in machines.all for what, seen in outside(m).items()}


def outside(machine: Machine) -> dict[str, Any]:
    commands = [f"ip -j {table}; echo" for table in TABLES]
    lines = machine.run("; ".join(commands)).check().splitlines()
    documents = [json.loads(line) for line in lines if line]
    found: dict[str, Any] = {
        table: sorted((row for row in rows if row.get("ifname") not in FALLBACK_DEVICES), key=str)
        for table, rows in zip(TABLES, documents, strict=True)
    }
    # How large a tmpfs may be is a share of the memory, which differs by a page from boot to boot.
    rest = machine.run(
        "ip netns; nft list ruleset; sed -E 's/,(size|nr_inodes)=[^, ]*//g' /proc/mounts; "
        "grep . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv[46]/conf/eth?/* 2>/dev/null || true"
    ).check()
    found["rest"] = rest.splitlines()
    # The programs that run; a kernel thread has none.
    programs = machine.run("readlink /proc/[0-9]*/exe || true").check()
    found["programs"] = sorted(programs.splitlines())
    return found


@contextlib.contextmanager
def untouched(machines: Machines) -> Iterator[None]:
    """Afterwards every machine is as before: its network, and what runs there."""
    before = settled(lambda: looked(machines))
    yield
    after = settled(lambda: looked(machines), before, SETTLED)
    for what in before:
        assert after[what] == before[what], what


def up(machines: Machines, topology: str, *options: str) -> Any:
    said = machines.netlab("--json", "up", topology, *on(machines), *options)
    return json.loads(said.check())


def on(machines: Machines) -> tuple[str, str]:
    return "--inventory", str(machines.inventory)


def verified(report: Any) -> None:
    """All is as expected, across the machines too."""
    assert [check for check in report["checks"] if not check["ok"]] == []
    crossed = {check["kind"] for check in report["checks"] if check["crossed"]}
    assert crossed >= {"pod-cross-node", "node-node", "wire", "mtu"}
    assert report["ok"]


def verify(machines: Machines) -> Any:
    return json.loads(machines.netlab("--json", "verify").stdout)


def refused(result: Result, *words: str) -> None:
    """It failed, and said so in one sentence."""
    assert result.returncode not in (0, None)
    assert result.stderr.count("\n") == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def test_no_room_for_netlab_and_a_clock_an_hour_off(machines: Machines) -> None:
    """The one is told before anything is changed; the other is no matter, here and in what follows.

    It is the first test: netlab is on no machine yet.
    """
    second = machines.all[1]
    second.run("date -s '+1 hour'").check()
    with untouched(machines):
        full = "mkdir -p /var/lib/netlab; mount -t tmpfs -o size=1m full /var/lib/netlab"
        second.run(full).check()
        done = machines.netlab("up", "flannel-host-gw", *on(machines))
        refused(done, "vm-2", "no space is left in /var/lib/netlab")
        assert done.returncode == 3
        second.run("umount /var/lib/netlab").check()


@pytest.mark.parametrize(
    "topology", [pytest.param("flannel-vxlan", marks=pytest.mark.long), "flannel-host-gw"]
)
def test_lab_over_two_machines(machines: Machines, topology: str) -> None:
    with untouched(machines):
        with machines.wire.capture() as frames:
            document = up(machines, topology)
        verified(document["verify"])
        ways = {"flannel-vxlan": in_vxlan, "flannel-host-gw": as_they_are}
        ways[topology](frames)
        status = json.loads(machines.netlab("--json", "status").check())
        assert status["wire"]["kind"] == "macvlan"
        assert [one["nodes"] for one in status["machines"]] == [["node-1", "node-3"], ["node-2"]]
        assert json.loads(machines.netlab("--json", "diff").check())["ok"]
        if topology == "flannel-host-gw":
            commands_end_with_who_began_them(machines)
        break_and_repair(machines, topology)
        machines.netlab("down").check()


def in_vxlan(frames: deque[bytes]) -> None:
    """Pods' packets cross the wire in flannel's VXLAN, and not once without it."""
    seen = list(packets(frames))
    inside = list(tunnelled(seen, port=8472))
    assert {one.vni for one in inside} == {1}
    assert {(one.outer.source, one.outer.target) for one in inside} == across("192.168.0.{}")
    assert between_pods(one.inner.source + " " + one.inner.target for one in inside)
    assert not between_pods(f"{one.source} {one.target}" for one in seen)


def as_they_are(frames: deque[bytes]) -> None:
    """Pods' packets cross the wire as plain IP, from one node's MAC to another's."""
    seen = list(packets(frames))
    assert not list(tunnelled(seen, port=8472))
    nodes = {one.source: one.macs[0] for one in seen if one.source.startswith("192.168.0.")}
    pods = [one for one in seen if between_pods([f"{one.source} {one.target}"])]
    used = {one.macs for one in pods}
    assert used == {(nodes[a], nodes[b]) for a, b in across("192.168.0.{}")}


def across(pattern: str) -> set[tuple[str, str]]:
    """The pairs of nodes that are on two machines: node-2 and any other."""
    one, two, three = (pattern.format(number) for number in (1, 2, 3))
    return {(one, two), (two, one), (three, two), (two, three)}


def between_pods(pairs: Any) -> set[str]:
    return {pair for pair in pairs if all(ip_address(end) in POD_NETWORK for end in pair.split())}


def break_and_repair(machines: Machines, topology: str) -> None:
    """What leads from node-2 to node-1 is lost there: found, named, and put back by one write."""
    if topology == "flannel-vxlan":
        entries = machines.netlab("exec", "node-2", "--", "bridge", "-j", "fdb", "show").check()
        mac = next(one["mac"] for one in json.loads(entries) if one.get("dst") == "192.168.0.1")
        lost, word = f"bridge fdb del {mac} dev flannel.1", f"fdb {mac} dev flannel.1"
    else:
        lost, word = "ip route del 10.244.0.0/24", "route 10.244.0.0/24"
    machines.netlab("exec", "node-2", "--", *lost.split()).check()
    missing = json.loads(machines.netlab("--json", "diff").stdout)["missing"]
    assert [one["namespace"] for one in missing] == ["node-2"]
    assert missing[0]["object"].startswith(word)
    failed = [check for check in verify(machines)["checks"] if not check["ok"]]
    assert {check["crossed"] for check in failed if check["kind"] != "state"} == {True}
    again = up(machines, topology)
    assert (again["changes"], again["writes"]) == (1, 1)
    verified(again["verify"])


def commands_end_with_who_began_them(machines: Machines) -> None:
    """Through sshd, which tells a command without a terminal nothing."""
    for end in (signal.SIGINT, signal.SIGKILL):
        words = ("exec", "node-2", "--", "sh", "-c", "echo ready; sleep 999")
        with machines.begin(*words) as running:
            assert running.stdout
            assert running.stdout.readline() == "ready\n"
            running.send_signal(end)
        deadline = time.monotonic() + SETTLED
        while machines.all[1].run("pgrep -x sleep || true").check():
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.long
def test_cable_between_the_machines_is_pulled(machines: Machines) -> None:
    with untouched(machines):
        up(machines, "flannel-host-gw", "--no-verify")
        second = machines.all[1]
        second.set_link("underlay", up=False)
        pulled = machines.netlab("verify")
        second.set_link("underlay", up=True)
        assert pulled.returncode == 1
        assert "carrier" in pulled.stdout
        assert "vm-2" in pulled.stdout
        verified(verify(machines))
        machines.netlab("down").check()


@pytest.mark.long
def test_controller_is_cut_off_in_the_middle(machines: Machines) -> None:
    """The agent that cannot be told ends by itself; the lab stays, and is whole."""
    with untouched(machines):
        up(machines, "flannel-host-gw", "--no-verify")
        running = machines.begin("verify", "--full")
        time.sleep(3)
        machines.all[1].set_link("management", up=False)
        told = finished(running, TOLD)
        assert told.returncode != 0
        assert "vm-2" in told.stdout + told.stderr
        assert "Traceback" not in told.stderr
        refused(machines.netlab("diff", timeout=TOLD), "vm-2")
        machines.all[1].set_link("management", up=True)
        verified(verify(machines))
        machines.netlab("down").check()


@pytest.mark.long
def test_machine_loses_power_in_the_middle_of_verify(machines: Machines) -> None:
    with untouched(machines):
        up(machines, "flannel-vxlan", "--no-verify")
        running = machines.begin("verify", "--full")
        time.sleep(3)
        machines.all[1].power_off()
        told = finished(running, TOLD)
        assert told.returncode != 0
        assert "vm-2" in told.stdout + told.stderr
        assert "Traceback" not in told.stderr
        refused(machines.netlab("verify", timeout=TOLD), "vm-2", "refuses connections")
        machines.start()
        verified(up(machines, "flannel-vxlan")["verify"])
        machines.all[1].power_off()
        refused(machines.netlab("down", timeout=TOLD), "vm-2")
        machines.start()
        machines.netlab("down").check()


@pytest.mark.long
@pytest.mark.parametrize("seconds", [4])
def test_machine_loses_power_in_the_middle_of_up(machines: Machines, seconds: float) -> None:
    """What was begun on the other is undone; once all are back, the same command builds it."""
    with untouched(machines):
        running = machines.begin("up", "flannel-vxlan", "--no-verify", *on(machines))
        time.sleep(seconds)
        machines.all[1].power_off()
        refused(finished(running, TOLD), "vm-2")
        assert "flannel-vxlan" not in machines.all[0].run("ls /run/netlab || true").check()
        machines.start()
        up(machines, "flannel-vxlan", "--no-verify")
        machines.netlab("down").check()


@pytest.mark.long
def test_three_machines_that_a_vxlan_joins(machines: Machines) -> None:
    """An underlay of two segments, over interfaces with addresses; 50 bytes less fit a packet."""
    machines.add()
    for machine in machines.all:
        machine.run(f"ip address add 172.30.0.{machine.number}/24 dev eth1").check()
    with untouched(machines):
        with machines.wire.capture() as frames:
            document = up(machines, "flannel-vxlan-l3")
        verified(document["verify"])
        status = json.loads(machines.netlab("--json", "status").check())
        assert status["wire"]["kind"] == "vxlan"
        assert [one["nodes"] for one in status["machines"]] == [["node-1"], ["node-2"], ["node-3"]]
        stitched = list(tunnelled(list(packets(frames)), port=4789))
        ends = {one.outer.source for one in stitched} | {one.outer.target for one in stitched}
        assert ends == {f"172.30.0.{machine.number}" for machine in machines.all}
        expected = {check["expected"] for check in document["verify"]["checks"]}
        assert any("1450 bytes pass whole" in one for one in expected), expected
        machines.netlab("down").check()
        for machine in machines.all:  # what ARP learned of the others
            machine.run("ip neigh flush dev eth1").check()
