"""Flannel's IPIP and WireGuard on kernels that have them: built, proved, broken, repaired."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import netlab
from netlab import Cluster, Lab, flannel
from netlab.designing import design
from netlab.kernel.processes.containers import server_source
from netlab.plan.shell import render
from netlab.probe.result import Report
from tests.kernel.conftest import Netlab

PSK = "Pz8/V2FudFRvVHJ5TXlBZXJvR3Jvc3NlQmljaGU/Pz8="
KEY = "QGYnCrBr//MlN6pqQiboQ3R30gwsnWGnKF7zLnGbMVY="
IPIP = Cluster(
    pods_per_node=1,
    containers=0,
    underlay=["192.168.1.0/24", "192.168.2.0/24"],
    underlay_mtu=[1500, 1400],
    dataplane=flannel.Ipip(direct_routing=True),
)
WIREGUARD = Cluster(nodes=2, pods_per_node=1, containers=0, dataplane=flannel.Wireguard())


def built(netlab_: Netlab, environment: pytest.MonkeyPatch, cluster: Cluster) -> Lab:
    """A lab of this process's own: in a VM a command is slow to start."""
    environment.setenv("NETLAB_STATE", str(netlab_.state))
    return netlab.up(cluster)


def failed(report: Report) -> list[Any]:
    return [check for check in report.checks if not check.ok]


def wires(report: Report) -> Iterator[tuple[str, str, int, str, str]]:
    """From where to where packets between pods went, of which family, how, and the evidence."""
    for check in report.checks:
        if check.kind == "wire" and check.target.startswith("pod"):
            form = check.observed.partition(", once")[0]
            yield check.source, check.target, check.family, form, check.evidence


def broken_and_repaired(lab: Lab, *damages: tuple[str, str, str]) -> None:
    """Damages are all named, then undone, and a second time there is nothing to do."""
    for node, script, _ in damages:
        done = lab.node(node).run("sh", "-ec", script)
        assert done.code == 0, f"{script}: {done.stderr}"
    difference = lab.diff()
    said = "\n".join(map(str, (*difference.missing, *difference.unexpected, *difference.changed)))
    for _, _, named in damages:
        assert named in said
    assert KEY not in said, "a private key is not shown"
    lab.repair()
    assert lab.repair().writes == 0


@pytest.mark.long
@pytest.mark.needs("ipip")
def test_ipip_goes_between_subnets_and_bare_within_one(
    netlab: Netlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with built(netlab, monkeypatch, IPIP) as lab:
        entry = "ip neigh replace 192.168.2.9 lladdr 1.2.3.4 nud noarp dev flannel.ipip"
        elsewhere = "10.244.2.0/24 via 192.168.1.2 dev flannel.ipip onlink"
        broken_and_repaired(
            lab,
            ("node-1", "ip link set flannel.ipip mtu 1300", "flannel.ipip: mtu is 1300, not 1480"),
            ("node-1", f"ip route replace {elsewhere}", "dev flannel.ipip onlink, not via"),
            ("node-1", entry, "neighbour 192.168.2.9"),
            ("node-2", "ip link del flannel.ipip", "link flannel.ipip"),
        )
        report = lab.verify()
        assert failed(report) == []
        seen = {(source, target): form for source, target, _, form, _ in wires(report)}
        assert {form for pair, form in seen.items() if "pod-2-1" in pair} == {"IPIP"}
        assert seen["pod-1-1", "pod-3-1"] == seen["pod-3-1", "pod-1-1"] == "bare"
        evidence = "192.168.1.1 > 192.168.2.1 IPIP, inner 10.244.0.2 > 10.244.1.2 ttl 63"
        assert evidence in [words for *_, words in wires(report)]
        assert lab.diff().ok, "neither the kernel's own neighbours nor tunl0 are drift"
        assert lab.pod("pod-1-1").reaches("pod-2-1", timeout=8).via("ipip").mtu(1380)
        assert lab.pod("pod-1-1").reaches("pod-3-1", timeout=8).via("direct")


@pytest.mark.long
@pytest.mark.needs("wireguard")
def test_wireguard_s_packets_cannot_be_read_on_the_way(
    netlab: Netlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with built(netlab, monkeypatch, WIREGUARD) as lab:
        ping = lab.pod("pod-1-1").run("ping", "-c1", "-W8", "10.244.1.2")
        assert ping.code == 0, "the nodes have a session"
        peer = "wg set flannel-wg peer $(wg show flannel-wg peers)"
        to_elsewhere = f"{peer} endpoint 192.168.0.9:7 allowed-ips 10.9.0.0/16"
        broken_and_repaired(
            lab,
            ("node-1", to_elsewhere, "endpoint 192.168.0.9:7 allowed ips 10.9.0.0/16"),
            ("node-1", f"echo {PSK} | {peer} preshared-key /dev/stdin", "preshared key given"),
            ("node-2", f"{peer} remove", "peers is none, not public key"),
            (
                "node-2",
                f"echo {KEY} | wg set flannel-wg private-key /dev/stdin listen-port 7",
                "private key differs, listen port is 7, not 51820",
            ),
        )
        # The other node then has a session with a device that is gone.
        broken_and_repaired(lab, ("node-1", "ip link del flannel-wg", "link flannel-wg"))
        report = lab.verify()
        assert failed(report) == []
        for *_, form, evidence in wires(report):
            assert form == "WireGuard, UDP 51820"
            assert "UDP 51820, WireGuard data: encrypted packet of" in evidence
            assert evidence.endswith("its addresses cannot be read")
        assert lab.pod("pod-1-1").reaches("pod-2-1", timeout=8).via("wireguard")
        lab.node("node-1").run("sh", "-c", f"{peer} remove")
        found = {(check.kind, check.source, check.target) for check in failed(lab.verify())}
        assert {("wire", "pod-1-1", "pod-2-1"), ("wire", "pod-2-1", "pod-1-1")} <= found
        assert not any(kind == "pod-external" for kind, _, _ in found)


@pytest.mark.long
@pytest.mark.needs("wireguard")
@pytest.mark.parametrize(
    ("options", "forms"),
    [
        (
            {"listen_port": 7, "psk": PSK, "persistent_keepalive_interval": 5, "mtu": 1600},
            {4: "WireGuard, UDP 7", 6: "WireGuard, UDP 51821, over IPv6"},
        ),
        pytest.param(
            {"mode": "ipv6", "listen_port_v6": 51820, "subnet_manager": "etcd"},
            dict.fromkeys((4, 6), "WireGuard, UDP 51820, over IPv6"),
        ),
    ],
    ids=["separate", "ipv6"],
)
def test_wireguard_in_both_families(
    netlab: Netlab,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    forms: dict[int, str],
) -> None:
    cluster = Cluster(
        nodes=2,
        pods_per_node=1,
        containers=0,
        cluster_cidr=("10.244.0.0/16", "fd44::/56"),
        dataplane=flannel.Wireguard(**options),
    )
    with built(netlab, monkeypatch, cluster) as lab:
        report = lab.verify()
        assert failed(report) == []
        assert {family: form for _, _, family, form, _ in wires(report)} == forms
        assert lab.diff().ok, "each peer's addresses of both families"


@pytest.mark.long
@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param(IPIP, marks=pytest.mark.needs("ipip"), id="ipip"),
        pytest.param(WIREGUARD, marks=pytest.mark.needs("wireguard"), id="wireguard"),
    ],
)
def test_the_script_builds_it_too(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "lab.sh"
    path.write_text(render(design(cluster, {}).plan, server_source()))
    ping = "ip netns exec pod-1-1 ping -c1 -W8 10.244.1.2"
    done = subprocess.run(["sh", str(path), "sh", "-c", ping], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
