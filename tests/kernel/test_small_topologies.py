"""Small topologies that the base must carry: a TUN device, /32 pods, a BIRD, both families.

Each is built, verified, compared, repaired, and printed by `plan --sh`, whose script runs.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Netlab

LABS = Path(__file__).parent / "labs"


@dataclass(frozen=True)
class Case:
    """A topology, a pair of pods' addresses, and damages: where, by what, and what diff names."""

    name: str
    there: tuple[str, ...]  # addresses that pod-1-1 reaches
    damages: tuple[tuple[str, str, str], ...]
    options: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        return str(LABS / f"{self.name}.py")


CASES = (
    Case(
        "tun",
        ("10.244.1.2",),
        (
            ("node-1", "ip link set flannel0 mtu 1400", "link flannel0: mtu is 1400, not 1472"),
            ("node-2", "ip link del flannel0", "link flannel0"),
            ("node-1", "ip link set flannel0 down", "link flannel0: up is off, not on"),
        ),
    ),
    Case(
        "ptp",
        ("10.244.0.1", "10.244.0.64"),
        (
            ("node-1", "ip route del blackhole 10.244.0.0/26", "route blackhole 10.244.0.0/26"),
            ("node-1", "ip route del 10.244.0.0/32", "route 10.244.0.0/32"),
            (
                "node-2",
                "for f in /proc/sys/net/ipv4/conf/cali*/proxy_arp; do echo 0 > $f; done",
                "proxy_arp=1: value is 0, not 1",
            ),
            ("pod-1-1", "ip route del default", "route 0.0.0.0/0 via 169.254.1.1 dev eth0"),
        ),
    ),
    Case(
        "bird",
        ("10.244.1.2", "10.244.2.2"),
        (("node-1", "ip route add 10.9.0.0/24 dev eth0", "route 10.9.0.0/24 dev eth0"),),
    ),
    Case(
        "dual",
        ("10.244.1.2", "fd44:0:0:1::2"),
        (
            ("node-1", "ip -6 addr flush dev cni0 scope link", "address fe80::"),
            ("node-1", "ip -6 route del fd44:0:0:1::/64", "route fd44:0:0:1::/64"),
            ("pod-2-1", "ip -6 addr del fd44:0:0:1::2/64 dev eth0", "address fd44:0:0:1::2/64"),
            ("node-2", "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding", "all/forwarding=1"),
            ("node-1", "ip link set flannel-v6.1 down; ip link set flannel-v6.1 up", "neighbour"),
        ),
    ),
    Case("dual", ("fd44:0:0:1::2",), (), ("--set", "dataplane=flannel-host-gw")),
    Case(
        "dual",
        ("10.244.1.2", "fd44:0:0:1::2"),
        (
            (
                "node-1",
                "iptables-nft -t nat -F FLANNEL-POSTRTG",
                "iptables-nft table nat: chain FLANNEL-POSTRTG: all its rules are missing (6)",
            ),
            (
                "node-2",
                "ip6tables-nft -I FLANNEL-FWD -j DROP",
                "ip6tables-nft table filter: chain FLANNEL-FWD: unexpected rule",
            ),
            ("node-2", "iptables-nft -t raw -N MINE", "iptables-nft table raw"),
        ),
        ("--set", "dataplane.rules=iptables"),
    ),
)


def ids(case: Case) -> str:
    return "-".join([case.name, *(option.partition("=")[2] for option in case.options[1:])])


@pytest.fixture(params=CASES, ids=ids)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


def words(document: Any) -> str:
    """Everything that a diff says, in its own words."""
    entries = document["missing"] + document["unexpected"]
    lines = [f"{entry['namespace']}: {entry['object']}" for entry in entries]
    for entry in document["changed"]:
        lines += [f"{entry['object']}: {difference}" for difference in entry["differences"]]
    return "\n".join(lines)


def test_it_is_built_verified_compared_and_repaired(netlab: Netlab, case: Case) -> None:
    built = netlab.ok("up", case.file, *case.options)
    assert built["ok"]
    assert built["verify"]["checks"]
    assert netlab.ok("diff")["ok"]
    for namespace, damage, named in case.damages:
        netlab.inside(namespace, damage)
        found = netlab.run("--json", "diff")
        assert found.code == 1, damage
        assert named in words(found.json), damage
        repaired = netlab.ok("up", case.file, *case.options, "--no-verify")
        assert repaired["writes"] > 0
        assert netlab.ok("diff")["ok"], damage
    again = netlab.ok("up", case.file, *case.options)
    assert again["writes"] == 0
    for address in case.there:
        netlab.inside("pod-1-1", f"ping -c1 -W2 {address}")


def test_the_script_builds_it_too(netlab: Netlab, case: Case, tmp_path: Path) -> None:
    script = netlab.run("plan", case.file, *case.options, "--sh")
    assert script.code == 0, script.err
    path = tmp_path / "lab.sh"
    path.write_text(script.out)
    pings = " && ".join(
        # A BIRD takes a second or two to tell its peers.
        f"(for _ in 1 2 3 4 5 6 7 8; do ip netns exec pod-1-1 ping -c1 -W1 {address} && exit; "
        "sleep 0.5; done; exit 1)"
        for address in case.there
    )
    done = subprocess.run(["sh", str(path), "sh", "-c", pings], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_families_are_proved(netlab: Netlab) -> None:
    report = netlab.ok("up", str(LABS / "dual.py"))["verify"]
    kinds: dict[int, set[tuple[str, str]]] = {4: set(), 6: set()}
    for check in report["checks"]:
        kinds[check["family"]].add((check["kind"], check["protocol"]))
    # Neither a plan nor a frame has an address family.
    found = {(kind, "ndp" if spoken == "arp" else spoken) for kind, spoken in kinds[4]}
    assert found - {("state", ""), ("hairpin", "ethernet")} == kinds[6]
    assert {"pod-same-node", "pod-cross-node", "wire", "mtu"} <= {kind for kind, _ in kinds[6]}
    wires = [c["evidence"] for c in report["checks"] if c["kind"] == "wire" and c["family"] == 6]
    assert any("fd30::1 > fd30::2 UDP 8472 VNI 1" in evidence for evidence in wires)


def test_a_bird_owns_its_routes(netlab: Netlab) -> None:
    file = str(LABS / "bird.py")
    netlab.ok("up", file)
    document = netlab.ok("diff")
    foreign = [entry for entry in document["foreign"] if entry["namespace"] == "node-1"]
    assert {entry["owner"] for entry in foreign} == {"bird"}
    assert {entry["have"]["destination"] for entry in foreign} == {"10.244.1.0/24", "10.244.2.0/24"}
    before = netlab.show("node-1", "ip -j route show proto bird")
    assert netlab.ok("up", file, "--no-verify")["writes"] == 0
    assert netlab.show("node-1", "ip -j route show proto bird") == before
    # It is the node that `exec` enters, not the daemon.
    assert netlab.inside("node-1", "hostname").strip() == "node-1"
    assert "bird" in netlab.inside("node-1", "ip route")


def test_a_killed_bird_is_started_again_and_told(netlab: Netlab) -> None:
    file = str(LABS / "bird.py")
    netlab.ok("up", file)
    old = daemon(netlab)
    assert old["running"]
    assert old["ready"]
    netlab.inside("node-1", f"kill -9 {old['pid']}")
    deadline = time.monotonic() + 15
    while (now := daemon(netlab))["pid"] in (None, old["pid"]) or not now["ready"]:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    assert now["restarts"] == 1
    assert netlab.ok("up", file)["ok"]
    assert netlab.run("logs", "node-1").code == 0


def daemon(netlab: Netlab) -> Any:
    """What status says of the daemon of node-1."""
    document = netlab.run("--json", "status").json
    return next(entry for entry in document["daemons"] if entry["node"] == "node-1")
