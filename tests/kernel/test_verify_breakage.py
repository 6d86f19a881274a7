"""Break one thing of a running lab: the checks that see it turn red, and no others.

A route or an encapsulation that is wrong while ping still works must be seen on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kernel.conftest import Netlab, Result, at_once, wanted
from tests.kernel.test_repair import sandbox

VTEP_2 = "$(bridge fdb show dev flannel.1 | grep 192.168.0.2 | cut -d' ' -f1)"
PORT_1 = "$(ls /sys/class/net | grep -m1 veth)"
PID = "grep -o 'pid=[0-9]*' | cut -d= -f2"
PODS = ("pod-same-node", "pod-cross-node")
ACROSS = {
    *("pod-cross-node", "node-pod", "pod-node", "node-node"),
    *("pod-external", "node-external", "external-node"),
}


@dataclass(frozen=True)
class Break:
    """A command in a namespace, the kinds of checks that must fail, and words one must observe."""

    where: str
    command: str
    kinds: set[str]
    words: dict[str, str]


VXLAN_BREAKS = {
    "route deleted": Break(
        "node-1",
        "ip route del 10.244.1.0/24",
        {"pod-cross-node", "node-pod", "wire", "mtu", "state"},
        {
            # The default route takes it: to a router that knows of no pods.
            "node-pod": "network unreachable (ICMP from 192.168.0.254)",
            "pod-cross-node": "no reply",
            "wire": "bare, not VXLAN, VNI 1, UDP 8472, at the port of node-1",
        },
    ),
    "fdb entry to the wrong node": Break(
        "node-1",
        f"bridge fdb replace {VTEP_2} dev flannel.1 dst 192.168.0.3 self permanent",
        {"pod-cross-node", "node-pod", "wire", "mtu", "state"},
        {"wire": "outer addresses 192.168.0.1 > 192.168.0.3, not 192.168.0.1 > 192.168.0.2"},
    ),
    "host-gw instead of vxlan": Break(
        "node-1",
        "ip route replace 10.244.1.0/24 via 192.168.0.2 dev eth0",
        {"node-pod", "wire", "mtu", "state"},
        {"wire": "bare, not VXLAN, VNI 1, UDP 8472", "mtu": "1451 bytes: sent, not refused"},
    ),
    "vxlan and host-gw at once": Break(
        "node-1",
        'nft "table netdev x { chain c { type filter hook ingress devices = {'
        " $(ls /sys/class/net | grep veth | paste -sd,) } priority 0;"
        ' ip daddr 10.244.1.0/24 icmp type echo-request dup to eth0; }; }"',
        {"wire", "state"},
        {"wire": "seen 2 times at the port of node-1 (bare and VXLAN, VNI 1, UDP 8472)"},
    ),
    "masquerade removed": Break(
        "node-1",
        "nft delete table ip flannel-ipv4",
        {"pod-external", "pod-node", "wire", "mtu", "state"},
        {
            "pod-external": "no reply",
            "pod-node": "seen as 10.244.0.2",
            "wire": "packet 10.244.0.3 > 203.0.113.10, not 192.168.0.1",
        },
    ),
    "masquerade between pods": Break(
        "node-1",
        "nft insert rule ip flannel-ipv4 postrtg ip daddr 10.244.1.0/24 masquerade",
        {"pod-cross-node", "wire", "state"},
        {"pod-cross-node": "answers 10.244.0.0", "wire": "packet 10.244.0.0 > 10.244.1.2, not"},
    ),
    "hairpin off": Break(
        "node-1",
        f"ip link set {PORT_1} type bridge_slave hairpin off",
        {"hairpin", "state"},
        {"hairpin": "nothing came back"},
    ),
    "tunnel's MTU lowered": Break(
        "node-1",
        "ip link set flannel.1 mtu 1400",
        {"mtu", "state"},
        {"mtu": "1450 bytes: fragmentation needed, MTU 1400 (ICMP from 10.244.0.1)"},
    ),
    "bridge's MTU lowered": Break(
        "node-1",
        "ip link set cni0 mtu 1300",
        {"mtu", "state"},
        {"mtu": "MTU 1300"},
    ),
    "pod's MTU raised": Break(
        "pod-1-1",
        "ip link set eth0 mtu 1500",
        {"mtu", "state"},
        {"mtu": "1451 bytes: sent, not refused"},
    ),
    "forwarding off": Break(
        "node-1",
        "echo 0 > /proc/sys/net/ipv4/ip_forward",
        {"pod-cross-node", "node-pod", "pod-node", "pod-external", "wire", "mtu", "state"},
        {"pod-external": "no reply"},
    ),
    "a route from outside to pods": Break(
        "router",
        "ip route add 10.244.0.0/24 via 192.168.0.1",
        {"negative", "state"},
        {"negative": "echo reply"},
    ),
    "switch port down": Break(
        "underlay",
        "ip link set node-2 down",
        {*ACROSS, "wire", "mtu", "state"},
        {"wire": "not seen at the port of node-2"},
    ),
    "pod's device gone": Break(
        "pod-1-1",
        "ip link del eth0",
        {*PODS, "node-pod", "pod-node", "pod-external", "wire", "mtu", "hairpin", "state"},
        {"hairpin": "device eth0 of pod-1-1 is gone", "pod-same-node": "network unreachable"},
    ),
}
SANDBOX_BREAKS = {
    "container killed": Break(
        "",
        f"kill -9 $(ip netns exec pod-1-1 ss -ltnpH 'sport = :8081' | {PID})",
        {*PODS, "container", "state"},
        {"container": "container-2 is not running", "pod-cross-node": "connection refused"},
    ),
    "namespace gone": Break(
        "",
        "ip netns del pod-2-1",
        {
            *PODS,
            "pod-external",
            "node-pod",
            "pod-node",
            "wire",
            "mtu",
            "hairpin",
            "container",
            "negative",
            "state",
        },
        {"pod-external": "namespace pod-2-1 is gone", "wire": "namespace pod-2-1 is gone"},
    ),
    "switch gone": Break(
        "",
        "ip netns del underlay",
        {*ACROSS, "wire", "mtu", "state"},
        {"wire": "namespace underlay is gone"},
    ),
}
BREAKS = VXLAN_BREAKS | SANDBOX_BREAKS


def verify(netlab: Netlab, *options: str) -> tuple[int, Any]:
    result = netlab.run("--json", "verify", *options)
    return result.code, result.json


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Netlab]:
    assert shared.ok("up", "flannel-vxlan")["ok"]
    yield shared
    shared.run("down", "--all")


def break_and_repair(lab: Netlab, name: str) -> tuple[int, Any, Result]:
    """What `verify` said of the broken lab, and `up` of it."""
    broken = BREAKS[name]
    if broken.where:
        lab.inside(broken.where, broken.command)
    else:
        sandbox(lab, broken.command)
    return *verify(lab), lab.run("--json", "up", "flannel-vxlan")


@pytest.fixture(scope="module")
def repairs(
    several: list[Netlab], request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[tuple[int, Any, Result]]]]:
    with at_once(several, break_and_repair, wanted(request, "name")) as found:
        yield found


@pytest.mark.parametrize("name", BREAKS)
def test_the_right_checks_turn_red(
    repairs: dict[str, Future[tuple[int, Any, Result]]], name: str
) -> None:
    """Also where a whole namespace is gone: that is a failed check and no crash."""
    broken = BREAKS[name]
    code, report, repaired = repairs[name].result()
    assert code == 1
    assert not report["ok"]
    failed = [check for check in report["checks"] if not check["ok"]]
    assert report["summary"]["failed"] == len(failed)
    listed = [(c["kind"], c["from"], c["to"], c["observed"]) for c in failed]
    assert {check["kind"] for check in failed} <= broken.kinds, listed
    assert broken.words.keys() | {"state"} <= {check["kind"] for check in failed}, listed
    for kind, words in broken.words.items():
        seen = [check["observed"] for check in failed if check["kind"] == kind]
        assert any(words in text for text in seen), seen
    after = repaired.json["verify"]["checks"]
    assert [check for check in after if not check["ok"]] == [], "repaired, all is green again"
    assert repaired.code == 0, repaired.err


def test_a_switch_that_floods_is_seen(lab: Netlab) -> None:
    """All arrives as it should, and everybody else's port sees it too."""
    lab.inside("underlay", "ip link set br0 type bridge ageing_time 0")
    try:
        code, report = verify(lab)
    finally:
        lab.inside("underlay", "ip link set br0 type bridge ageing_time 30000")
    failed = [check for check in report["checks"] if not check["ok"]]
    assert code == 1
    assert {check["kind"] for check in failed} - {"state"} == {"wire", "node-node"}
    by_ends = {(check["from"], check["to"]): check["observed"] for check in failed}
    assert by_ends["pod-1-1", "pod-2-1"].startswith("also seen at the port of ")
    assert "node-3" in by_ends["pod-1-1", "pod-2-1"]
    assert lab.ok("verify")["ok"]


def test_a_node_must_ask_under_its_tunnels_address(lab: Netlab) -> None:
    route = "ip route replace 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink"
    lab.inside("node-1", f"{route} src 192.168.0.1")
    try:
        code, report = verify(lab)
    finally:
        lab.inside("node-1", route)
    failed = [check for check in report["checks"] if not check["ok"]]
    assert code == 1
    calls = [check for check in failed if check["kind"] == "node-pod"]
    ends = {(check["from"], check["to"], check["protocol"]) for check in calls}
    assert ends == {("node-1", f"pod-2-{n}", p) for n in (1, 2) for p in ("tcp", "udp")}
    for check in calls:
        assert check["expected"].endswith(": seen as 10.244.0.0")
        assert check["observed"].endswith(": seen as 192.168.0.1")
    assert lab.ok("up", "flannel-vxlan")["ok"]


def test_a_stopped_container_gives_no_answer(lab: Netlab) -> None:
    pid = sandbox(lab, f"ip netns exec pod-1-1 ss -ltnpH 'sport = :8081' | {PID}").strip()
    sandbox(lab, f"kill -STOP {pid}")
    try:
        _, report = verify(lab)
    finally:
        sandbox(lab, f"kill -CONT {pid}")
    observed = {
        c["observed"] for c in report["checks"] if not c["ok"] and c["kind"] == "pod-cross-node"
    }
    assert any("no answer, timed out" in words for words in observed), observed
    assert lab.ok("verify")["ok"]


def test_verifying_drops_no_packet(lab: Netlab) -> None:
    """Machines of the underlay are made to forget each other while others use it."""
    ping = lab.start("--json", "exec", "node-1", "--", "ping", "-q", "-i0.002", "-w4", "10.244.1.2")
    with ping:
        while ping.poll() is None:
            assert lab.ok("verify")["ok"]
        assert " 0% packet loss" in ping.communicate()[0]


def test_every_hop_and_kind_is_in_the_report(lab: Netlab) -> None:
    code, report = verify(lab)
    assert code == 0, [check for check in report["checks"] if not check["ok"]]
    assert {check["kind"] for check in report["checks"]} == {
        "container",
        "pod-same-node",
        "pod-cross-node",
        "node-pod",
        "pod-node",
        "node-node",
        "pod-external",
        "node-external",
        "external-node",
        "hairpin",
        "negative",
        "wire",
        "mtu",
        "state",
    }
    wires = [c["evidence"] for c in report["checks"] if c["kind"] == "wire"]
    vxlan = [text for text in wires if "UDP 8472 VNI 1" in text]
    assert len(vxlan) == 6, "one for every ordered node pair"
    assert len([text for text in wires if text == "nothing on the underlay"]) == 3
    refused = "ICMP type 3 code 4 from 10.244.0.1 to 10.244.0.2, next-hop MTU 1450"
    assert refused in [check["evidence"] for check in report["checks"] if check["kind"] == "mtu"]


def test_verifying_changes_nothing(lab: Netlab) -> None:
    before = lab.ok("plan", "flannel-vxlan"), lab.ok("diff")
    verify(lab)
    assert (lab.ok("plan", "flannel-vxlan"), lab.ok("diff")) == before
    assert lab.ok("up", "flannel-vxlan", "--no-verify")["writes"] == 0


def test_verifying_at_once_many_times_disturbs_nobody(lab: Netlab) -> None:
    """Each run has its own echo identifiers and marks."""
    running = [lab.start("--json", "verify") for _ in range(4)]
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 4, outputs


@pytest.mark.parametrize("options", [("--full",), ("--sample", "5")])
def test_volumes(lab: Netlab, options: tuple[str, ...]) -> None:
    code, report = verify(lab, *options)
    assert code == 0
    echoes = [
        check
        for check in report["checks"]
        if check["kind"] in PODS and check["expected"] == "echo reply"
    ]
    assert len(echoes) == (30 if options == ("--full",) else 5)


def test_junit_is_written(lab: Netlab, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("junit") / "verify.xml"
    assert lab.run("verify", "--junit", str(path)).code == 0
    assert 'failures="0"' in path.read_text()


def test_a_large_lab_is_verified_within_the_hosts_neighbour_limit(
    netlab: Netlab, topology: Callable[[str], str]
) -> None:
    """400 pods need about 1,200 entries at once; the kernel has 1,024 for all labs and the host."""
    path = topology("topology = Cluster(nodes=4, pods_per_node=100, containers=0)")
    assert netlab.ok("up", path)["ok"]
    code, report = verify(netlab, "--sample", "3000")
    assert code == 0, [check for check in report["checks"] if not check["ok"]][:3]


def test_a_lab_without_pods_is_its_underlay(netlab: Netlab) -> None:
    assert netlab.ok("up", "flannel-vxlan", "--pods-per-node", "0")["ok"]
    code, report = verify(netlab)
    assert code == 0
    between = [check for check in report["checks"] if check["kind"] in ("wire", "node-node")]
    wires = [check for check in between if check["protocol"] == "icmp"]
    assert len(wires) == 3 * 2 + 3, "nodes among themselves, and each with the client"
    assert all("192.168.0." in check["evidence"] for check in wires)
    netlab.inside("underlay", "bridge link set dev node-2 isolated on")
    netlab.inside("underlay", "bridge link set dev node-3 isolated on")
    code, report = verify(netlab)
    assert code == 1
    failed = {
        (c["from"], c["to"]) for c in report["checks"] if not c["ok"] and c["kind"] == "node-node"
    }
    assert failed == {("node-2", "node-3"), ("node-3", "node-2")}


FORCED = ("flannel-host-gw", "--set", "underlay=192.168.1.0/24,192.168.2.0/24", "--force")


def test_a_next_hop_on_another_segment_is_shown_to_fail(netlab: Netlab) -> None:
    assert netlab.ok("up", *FORCED)["ok"]
    code, report = verify(netlab)
    assert code == 0
    ends = {(c["from"], c["to"]) for c in report["checks"] if c["kind"] == "negative"}
    assert {("node-1", "pod-2-1"), ("node-2", "pod-1-1"), ("pod-1-1", "pod-2-1")} <= ends
    barred = {
        (c["from"], c["to"]): c["evidence"]
        for c in report["checks"]
        if c["kind"] == "wire" and c["evidence"].startswith("ARP")
    }
    assert len(barred) == 4, "nodes 1 and 3 are on one segment, node 2 on the other"
    assert all("no answer" in words and "seen on no segment" in words for words in barred.values())
    assert "asks who has 192.168.2.1, tell 192.168.1.1" in barred["pod-1-1", "pod-2-1"]
    row = next(x for x in netlab.run("verify").out.splitlines() if x.startswith("node-1 "))
    assert row.split()[1:5] == ["ok", "ok", "no", "no"]
    # Somebody answers for the next hop: no longer what was said.
    netlab.inside("router", "ip address add 192.168.2.1/32 dev lo")
    code, report = verify(netlab)
    assert code == 1
    seen = [c["observed"] for c in report["checks"] if not c["ok"] and c["kind"] == "wire"]
    assert any("192.168.2.1 is answered for by" in words for words in seen), seen
