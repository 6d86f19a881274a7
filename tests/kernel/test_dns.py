"""Names in a running lab, as a pod's own resolver finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_daemons import until
from tests.kernel.test_repair import sandbox

NAMES = str(Path(__file__).parent / "labs" / "names.py")
ZONE = "coredns-1/coredns/zone.json"
pytestmark = pytest.mark.needs("nftables")


def server(lab: Netlab) -> Any:
    """What status says of the cluster's DNS server."""
    daemons = lab.run("--json", "status").json["daemons"]
    return next(one for one in daemons if one["name"] == "coredns")


def names(report: Any) -> list[Any]:
    return [one for one in report["checks"] if "kube-dns" in one["to"]]


def test_names_resolve_in_pods_and_follow_the_services(netlab: Netlab) -> None:
    report = netlab.ok("up", NAMES)["verify"]
    checks = names(report)
    assert {(one["from"], one["protocol"]) for one in checks} == {
        ("pod-1-1", "udp"),
        ("pod-1-1", "tcp"),
        ("web-0", "udp"),
    }
    asked = "getent hosts web.default pods.default external.example 10.96.0.10; getent hosts web"
    found = [line.split() for line in netlab.inside("web-0", f"{asked} || echo none").splitlines()]
    assert found == [
        ["10.96.0.80", "web.default.svc.cluster.local"],
        ["10.244.0.2", "pods.default.svc.cluster.local"],
        ["203.0.113.10", "external.example"],
        ["10.96.0.10", "kube-dns.kube-system.svc.cluster.local"],
        ["none"],
    ]
    assert netlab.ok("up", NAMES, "--set", "late=yes", "--no-verify")["ok"]
    assert netlab.inside("pod-1-1", "getent hosts late").split()[1:] == [
        "late.default.svc.cluster.local"
    ]
    known = server(netlab)
    assert known["restarts"] == 0
    _wrong_answers_are_seen(netlab, known["pid"])
    _one_that_dies_is_seen_and_comes_back(netlab, known["pid"])


def _wrong_answers_are_seen(netlab: Netlab, pid: int) -> None:
    path = netlab.state / "names" / "daemons" / ZONE
    right = path.read_text()
    zone = json.loads(right)
    zone["records"]["kubernetes.default.svc.cluster.local."]["A"] = ["10.96.0.2"]
    path.write_text(json.dumps(zone))
    sandbox(netlab, f"kill -HUP {pid}")
    checks = names(netlab.run("--json", "verify").json)
    wrong = {one["expected"] for one in checks if not one["ok"]}
    assert wrong == {"kubernetes.default.svc.cluster.local. A of 10.96.0.10: 10.96.0.1"}
    path.write_text(right)


def _one_that_dies_is_seen_and_comes_back(netlab: Netlab, pid: int) -> None:
    sandbox(netlab, f"kill -STOP {pid}")
    status = netlab.run("--json", "status").json
    assert status["health"]["daemons_down"] == ["coredns-1/coredns"]
    sandbox(netlab, f"kill -KILL {pid}")
    until(lambda: server(netlab)["ready"])
    assert netlab.inside("pod-1-1", "getent hosts web").split()[1] == (
        "web.default.svc.cluster.local"
    )
