"""Every kind of pair, by every protocol, and who is seen: what is broken is red, and only that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kernel.conftest import Netlab, at_once, wanted

ESTABLISHED = "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
NAT = "nft 'table ip x { chain c { type nat hook postrouting priority 90; %s; }; }'"
Failures = set[tuple[str, str, str, str]]  # kind, from, to, protocol


@dataclass(frozen=True)
class Break:
    """Commands in a namespace, what must fail of all, and words that one must observe."""

    where: str
    commands: tuple[str, ...]
    failed: Failures
    words: str
    also: set[str] = field(default_factory=set)  # kinds that may fail too


def every(kind: str, sources: list[str], targets: list[str], *protocols: str) -> Failures:
    return {(kind, a, b, p) for a in sources for b in targets for p in protocols if a != b}


def pods(node: int) -> list[str]:
    return [f"pod-{node}-{number}" for number in (1, 2)]


NODES = ["node-1", "node-2", "node-3"]
ALL_PODS = [name for number in (1, 2, 3) for name in pods(number)]
BREAKS = {
    "pods are not let in by their node": Break(
        "node-1",
        (f"iptables {ESTABLISHED}", "iptables -A INPUT -i cni0 -j DROP"),
        {*every("pod-node", pods(1), ["node-1"], "icmp", "tcp", "udp", "arp")},
        "no answer",
    ),
    "a pod may not go out to other nodes": Break(
        "node-1",
        ("iptables -A FORWARD -i cni0 -d 192.168.0.2 -m conntrack --ctstate NEW -j DROP",),
        {*every("pod-node", pods(1), ["node-2"], "icmp", "tcp", "udp")},
        "no answer",
    ),
    "TCP is closed between nodes": Break(
        "node-1",
        (
            "nft 'table ip x { chain c { type filter hook input priority 0;"
            " iifname eth0 meta l4proto tcp ct state new drop; }; }'",
        ),
        {
            *every("node-node", NODES[1:], ["node-1"], "tcp"),
            *every("pod-node", [*pods(2), *pods(3)], ["node-1"], "tcp"),
            *every("external-node", ["external"], ["node-1"], "tcp"),
        },
        "TCP: no answer",
    ),
    "UDP is closed between nodes, but for the tunnel": Break(
        "node-1",
        ("iptables -A INPUT -i eth0 -p udp ! --dport 8472 -m conntrack --ctstate NEW -j DROP",),
        {
            *every("node-node", NODES[1:], ["node-1"], "udp"),
            *every("pod-node", [*pods(2), *pods(3)], ["node-1"], "udp"),
            *every("external-node", ["external"], ["node-1"], "udp"),
        },
        "UDP: no answer",
    ),
    "the client outside is not let in": Break(
        "node-2",
        ("iptables -A INPUT -s 203.0.113.0/24 -m conntrack --ctstate NEW -j DROP",),
        {*every("external-node", ["external"], ["node-2"], "icmp", "tcp", "udp", "arp")},
        "no reply",
        also={"mtu"},
    ),
    "pods are masqueraded as somebody else outside": Break(
        "node-1",
        (
            "ip addr add 192.168.0.77/24 dev eth0",
            NAT % "ip saddr 10.244.0.0/24 ip daddr 203.0.113.10 snat to 192.168.0.77",
        ),
        {*every("pod-external", pods(1), ["external"], "tcp", "udp")},
        "seen as 192.168.0.77",
        also={"pod-external", "wire"},
    ),
    "pods are not masqueraded towards another node": Break(
        "node-1",
        ("nft insert rule ip flannel-ipv4 postrtg ip daddr 192.168.0.2 return",),
        {*every("pod-node", pods(1), ["node-2"], "tcp", "udp")},
        "seen as 10.244.0.",
    ),
    "pods are masqueraded towards their own node": Break(
        "node-1",
        (
            "ip addr add 10.99.0.1/32 dev lo",
            "nft 'table ip x { chain c { type nat hook input priority 90;"
            " ip saddr 10.244.0.0/24 ip daddr 192.168.0.1 snat to 10.99.0.1; }; }'",
        ),
        {*every("pod-node", pods(1), ["node-1"], "tcp", "udp")},
        "seen as 10.99.0.1",
    ),
    "a node calls pods under another address": Break(
        "node-3",
        (
            "ip addr add 192.168.0.77/24 dev eth0",
            NAT % "ip daddr 10.244.0.0/16 oifname flannel.1 snat to 192.168.0.3",
        ),
        {*every("node-pod", ["node-3"], [*pods(1), *pods(2)], "tcp", "udp")},
        "seen as 192.168.0.3",
        also={"pod-cross-node", "wire", "mtu"},
    ),
    "a node does not answer for its address": Break(
        "node-1",
        ("sysctl -qw net.ipv4.conf.eth0.arp_ignore=8",),
        {
            *every("node-node", NODES[1:], ["node-1"], "arp"),
            *every("external-node", ["external"], ["node-1"], "arp"),
        },
        "no reply",
        also={"external-node", "node-node", "wire", "mtu"},
    ),
    "a node does not answer its pods' questions": Break(
        "node-2",
        ("sysctl -qw net.ipv4.conf.cni0.arp_ignore=8",),
        {*every("pod-node", pods(2), ["node-2"], "arp")},
        "no reply",
    ),
    "a pod does not answer for its address": Break(
        "pod-3-2",
        ("sysctl -qw net.ipv4.conf.eth0.arp_ignore=8",),
        {("node-pod", "node-3", "pod-3-2", "arp"), ("pod-same-node", "pod-3-1", "pod-3-2", "arp")},
        "no reply",
        also={"pod-cross-node", "mtu"},
    ),
}


@pytest.fixture(scope="module")
def found(
    several: list[Netlab], request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[Any]]]:
    with at_once(several, broken, wanted(request, "name")) as futures:
        yield futures


def broken(lab: Netlab, name: str) -> Any:
    """What `verify` says of the broken lab, and of the repaired one."""
    case = BREAKS[name]
    for command in case.commands:
        lab.inside(case.where, command)
    report = lab.run("--json", "verify")
    return report, lab.run("--json", "up", "flannel-vxlan")


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_red_and_nothing_else(found: dict[str, Future[Any]], name: str) -> None:
    case = BREAKS[name]
    report, repaired = found[name].result()
    assert report.code == 1
    checks = [c for c in report.json["checks"] if not c["ok"] and c["kind"] != "state"]
    failed = {(c["kind"], c["from"], c["to"], c["protocol"]) for c in checks}
    assert case.failed <= failed, (case.failed - failed, failed)
    assert {kind for kind, *_ in failed - case.failed} <= case.also, failed - case.failed
    assert any(case.words in c["observed"] for c in checks), checks
    assert repaired.json["ok"], [c for c in repaired.json["verify"]["checks"] if not c["ok"]]


def test_the_same_is_asked_by_ipv6(netlab: Netlab) -> None:
    """Three nodes, each broken in its own way for IPv6 alone."""
    assert netlab.ok("up", "flannel-dual-stack", "--no-verify")
    for node, command in (
        ("node-1", f"ip6tables {ESTABLISHED}"),
        ("node-1", "ip6tables -A INPUT -i cni0 -p tcp -j DROP"),
        ("node-2", "ip6tables -A INPUT -i cni0 -p icmpv6 --icmpv6-type 135 -j DROP"),
        ("node-3", "nft insert rule ip6 flannel-ipv6 postrtg ip6 daddr fd30::1 return"),
    ):
        netlab.inside(node, command)
    report = netlab.run("--json", "verify")
    assert report.code == 1
    checks = [c for c in report.json["checks"] if not c["ok"] and c["kind"] != "state"]
    assert {c["family"] for c in checks} == {6}
    failed = {(c["kind"], c["from"], c["to"], c["protocol"]) for c in checks}
    closed = every("pod-node", pods(1), ["node-1"], "tcp")
    silent = every("pod-node", pods(2), ["node-2"], "ndp")
    seen = every("pod-node", pods(3), ["node-1"], "tcp", "udp")
    assert closed | silent | seen <= failed
    assert all({source, target} & {*pods(2)} for _, source, target, _ in failed - closed - seen)
    words = {c["observed"] for c in checks if c["from"] == "pod-3-1" and c["to"] == "node-1"}
    assert words == {"TCP: seen as fd44:0:0:2::2", "UDP: seen as fd44:0:0:2::2"}
