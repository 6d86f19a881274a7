"""Services on real kernels: Kubernetes' own catalogue of tests, and what makes `verify` red.

One lab has both proxies in turn: `up` converts it while it runs.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kernel.conftest import COMMAND, Netlab
from tests.kernel.labs.services import AFFINITY

FILE = str(Path(__file__).parent / "labs" / "services.py")
STAGES = tuple(itertools.product(("iptables", "nftables"), ("first", "later")))
POD, NODE, OUTSIDE = "pod-service", "node-service", "external-service"


class Shown(NamedTuple):
    """A check of `verify` proves it: of a kind, on a port, expecting what has these words."""

    kind: str
    port: str = ""
    words: str = ""
    stage: str = "first"


class ByTest(NamedTuple):
    """A test of this file proves it."""

    test: str


# sig-network's e2e tests (test/e2e/network), each with what proves it here, or why nothing does.
CATALOGUE: dict[str, Shown | ByTest | str] = {
    "1 intra-pod communication: http": Shown("pod-cross-node", "", "HTTP 808"),
    "2 intra-pod communication: udp": Shown("pod-cross-node", "", "UDP 808"),
    "3 node-pod communication: http": Shown("node-pod", "", "HTTP 808"),
    "4 node-pod communication: udp": Shown("node-pod", "", "UDP: seen as"),
    "5 a pod sees another pod's own address": Shown("pod-cross-node", "", "answers 10.244.0.2"),
    "6 large requests": Shown("mtu", "", "bytes pass whole"),
    "7 rules are made again when they are deleted": ByTest("test_a_broken_service_is_red"),
    "8 pod-Service: http": Shown(POD, "default/web", "answer evenly"),
    "9 pod-Service: udp": Shown(POD, "default/echo:echo-udp", "UDP"),
    "10 pod-Service: sctp": "netlab has no SCTP",
    "11 node-Service": Shown(NODE, "default/web", "192.168.0.1:30080"),
    "12 endpoint-Service": Shown("hairpin", "default/web", "it answers itself"),
    "13 update endpoints": Shown(POD, "default/web", "3 endpoints answer evenly", "later"),
    "14 update nodePort": Shown(OUTSIDE, "default/web", ":30088", "later"),
    "15 client IP affinity": Shown(POD, "default/sticky:udp", "keeps the client"),
    "16 several services with one selector": Shown(POD, "default/twin", "answer evenly"),
    "17 hostNetwork endpoints": Shown(POD, "default/kubernetes", "kube-apiserver answers"),
    "18 multiport endpoints": Shown(POD, "default/echo:echo", "answer"),
    "19 same port, different protocols": Shown(OUTSIDE, "default/echo:echo-udp", "UDP"),
    "20 functioning NodePort": Shown(OUTSIDE, "default/web", "192.168.0.2:30080"),
    "21 hairpin back through the service": Shown("hairpin", "default/web", "sees 10.244.0.1"),
    "22 source pod IP through the cluster IP": Shown(POD, "default/web", "10.244.0.1 or 10.244.0"),
    "23 up and down": ByTest("test_what_is_gone_is_gone"),
    "24 after restarting kube-proxy": "netlab has no process of kube-proxy, only what it writes",
    "25 a service made again": Shown(POD, "default/twin", "answer evenly"),
    "26 affinity switched off, cluster IP": Shown(POD, "default/sticky", "evenly", "later"),
    "27 affinity switched off, NodePort": Shown(OUTSIDE, "default/sticky", "evenly", "later"),
    "28 affinity timeout": ByTest("test_affinity_ends"),
    "29 rejected when no endpoints exist": Shown("negative", "default/empty", "refused"),
    "30 rejected for evicted pods": Shown("negative", "default/unready", "30083"),
    "31 publishNotReadyAddresses": Shown(POD, "default/published", "2 endpoints answer evenly"),
    "32 without, unready are refused": Shown("negative", "default/unready", "refused"),
    "33 internalTrafficPolicy=Local": Shown("negative", "default/near", "no answer: policy Local"),
    "34 the same with hostNetwork": Shown(NODE, "default/near", "pod-1-1 container-1 answers"),
    "35 terminating endpoints, internal": Shown(POD, "default/ending", "2 endpoints answer"),
    "36 terminating endpoints, external": Shown(OUTSIDE, "default/ending", "2 endpoints answer"),
    "37 the same, Local, internal": Shown(POD, "default/ending-near", "pod-2-1 container-1"),
    "38 the same, Local, external": Shown(OUTSIDE, "default/ending-near", "sees 203.0.113.10"),
    "39 health check node port": "netlab has no Services of type LoadBalancer",
    "40 ExternalIP that is no node's": Shown(POD, "default/outside", "198.51.100.7:80"),
    "41 same number, other protocol, by NodePort": Shown(OUTSIDE, "default/echo:echo", "30007"),
    "42 ports added and removed": Shown(POD, "default/echo:more", "answer evenly", "later"),
    "43 service-proxy-name": "Services of a topology have no labels",
    "44 headless": ByTest("test_a_headless_service_has_no_rules"),
    "45 UDP when the backend changes": "entries of conntrack have tests of their own",
    "46 from no endpoints to one": Shown(POD, "default/empty", "pod-2-2 container-1", "later"),
    "47 INVALID is dropped": "no packet out of a window is made; the rule is compared as text",
    "48 load balancer source ranges": "netlab has no Services of type LoadBalancer",
    "49 only nodes with endpoints": "netlab has no Services of type LoadBalancer",
    "50 CLOSE_WAIT timeout": ByTest("test_conntrack_remembers_as_long_as_kube_proxy_wants"),
}


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Netlab]:
    yield shared
    shared.run("down", "--all")


@pytest.fixture(scope="module")
def reports(lab: Netlab) -> dict[tuple[str, str], Any]:
    """What `up` verified: of a new lab, and of the same one changed from stage to stage."""
    found = {}
    for proxy, stage in STAGES:
        later = "true" if stage == "later" else "false"
        found[proxy, stage] = lab.ok(
            "up", FILE, "--set", f"proxy={proxy}", "--set", f"later={later}"
        )
    assert lab.ok("diff")["ok"]
    return found


def checks_of(report: Any, shown: Shown) -> list[Any]:
    return [
        check
        for check in report["verify"]["checks"]
        if check["kind"] == shown.kind
        and check["to"].startswith(shown.port)
        and shown.words in check["expected"]
    ]


def test_most_of_the_catalogue_is_shown() -> None:
    assert [name.split()[0] for name in CATALOGUE] == [str(number) for number in range(1, 51)]
    assert sum(not isinstance(proof, str) for proof in CATALOGUE.values()) >= 40
    for proof in CATALOGUE.values():
        assert not isinstance(proof, ByTest) or proof.test in globals()


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_the_catalogue(reports: dict[tuple[str, str], Any], proxy: str) -> None:
    for name, proof in CATALOGUE.items():
        if isinstance(proof, Shown):
            found = checks_of(reports[proxy, proof.stage], proof)
            assert found, name
            assert all(check["ok"] for check in found), name


def sandbox(lab: Netlab, command: str) -> str:
    done = subprocess.run(
        [*COMMAND, "shell"],
        env=lab.environment | {"SHELL": "/bin/bash"},
        input=f"{command}\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(ip: str, port: int) -> str:
    """A line of bash that prints who answers there, `nobody` where none does."""
    talk = f"exec 3<>/dev/tcp/{ip}/{port} && echo >&3 && read -t 1 -u 3 who _ && echo $who"
    return f"timeout 1 bash -c '{talk}' 2>/dev/null || echo nobody"


def cluster_ip(report: Any, name: str) -> str:
    """That of a Service, as `verify` asked it."""
    check = checks_of(report, Shown(POD, f"default/{name}", "TCP 10."))[0]
    return str(check["expected"].split()[1]).partition(":")[0]


def test_what_is_gone_is_gone(lab: Netlab, reports: dict[tuple[str, str], Any]) -> None:
    """A Service, and a NodePort that is another now; the lab is at its last stage."""
    twin = cluster_ip(reports["nftables", "first"], "twin")
    asked = ((twin, 80), ("192.168.0.1", 30080), ("192.168.0.1", 30088))
    found = lab.inside("node-2", "\n".join(itertools.starmap(ask, asked))).split()
    assert found[:2] == ["nobody", "nobody"]
    assert found[2].startswith("pod-")


def test_a_headless_service_has_no_rules(lab: Netlab, reports: Any) -> None:
    table = lab.inside("node-1", "nft list table ip kube-proxy")
    assert "default/web" in table
    assert "default/pods" not in table


def test_conntrack_remembers_as_long_as_kube_proxy_wants(lab: Netlab, reports: Any) -> None:
    folder = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_"
    told = lab.inside("node-1", f"cat {folder}close_wait {folder}established")
    assert told.split() == ["3600", "86400"]


NAT = "iptables -t nat"


class Break(NamedTuple):
    """A command in a node, and a check that must fail: its kind, its port and what it observes."""

    where: str
    command: str
    kind: str
    port: str
    words: str


# All of a proxy at once, as each is on a node or a port of its own.
BREAKS = {
    "iptables": {
        "endpoint's chain emptied": Break(
            "node-2",
            f"{NAT} -F $({NAT} -S | grep 'default/web -> 10.244.1.2' | sed 's/.*-j //')",
            POD,
            "default/web",
            "pod-2-1 container-1 never answered",
        ),
        "masquerade removed": Break(
            "node-1",
            f"{NAT} -D KUBE-POSTROUTING 3",
            "hairpin",
            "default/web",
            "it never answered itself",
        ),
        "one endpoint gets all": Break(
            "node-2",
            f"set -- $({NAT} -S | grep 'default/twin -> 10.244.1.2'"
            f" | sed 's/-A \\(.*\\) -m comm.*-j /\\1 /'); {NAT} -I $1 1 -j $2",
            POD,
            "default/twin",
            "pod-1-1 container-1, pod-1-2 container-1, pod-2-2 container-1 never answered",
        ),
        "NodePort's rule removed": Break(
            "node-2",
            f"eval {NAT} $({NAT} -S KUBE-NODEPORTS | grep -- '--dport 30084' | sed 's/^-A/-D/')",
            OUTSIDE,
            "default/ending",
            "connections: connection refused",
        ),
    },
    "nftables": {
        "bridge-nf-call-iptables off": Break(
            "node-1",
            "echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables",
            POD,
            "default/near",
            "2 of 2 connections: no answer, timed out",
        ),
        "hairpin off at a pod's port": Break(
            "node-2",
            "for port in $(ls /sys/class/net/cni0/brif); do"
            " ip link set $port type bridge_slave hairpin off; done",
            "hairpin",
            "default/web",
            "it never answered itself",
        ),
    },
}


@pytest.mark.parametrize("proxy", BREAKS)
def test_a_broken_service_is_red(lab: Netlab, reports: Any, proxy: str) -> None:
    """`up` then makes it whole again, and verifies that."""
    up = ("up", FILE, "--set", f"proxy={proxy}")
    lab.ok(*up, "--no-verify")
    for broken in BREAKS[proxy].values():
        lab.inside(broken.where, broken.command)
    found = lab.run("--json", "verify")
    lab.ok(*up)
    failed = [check for check in found.json["checks"] if not check["ok"]]
    assert found.code == 1
    assert {broken.where for broken in BREAKS[proxy].values()} <= {
        check["from"] for check in failed if check["kind"] == "state"
    }
    for name, broken in BREAKS[proxy].items():
        observed = [
            check["observed"]
            for check in failed
            if check["kind"] == broken.kind and check["to"].startswith(broken.port)
        ]
        assert any(broken.words in one for one in observed), (name, observed)


def test_affinity_ends(lab: Netlab, reports: dict[tuple[str, str], Any]) -> None:
    """After the time another endpoint is chosen, of four: hardly the same ones for six clients."""
    lab.ok("up", FILE, "--set", "proxy=nftables", "--no-verify")
    sticky = cluster_ip(reports["nftables", "first"], "sticky:web")
    asked = [(f"pod-{node}-{pod}", sticky, 80) for node in (1, 2) for pod in (1, 2)]
    asked += [("external", f"192.168.0.{node}", 30090) for node in (1, 2)]
    each = "\n".join(f"ip netns exec {who} {ask(ip, port)}" for who, ip, port in asked)
    wait = f"sleep {AFFINITY + 0.2}"
    lines = sandbox(lab, "\n".join([each, each, wait, each, wait, each])).split()
    first, kept, *later = (lines[start : start + 6] for start in range(0, 24, 6))
    assert first == kept
    assert all(who.startswith("pod-") for who in first)
    assert any(one != first for one in later)
