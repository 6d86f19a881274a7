"""What a dataplane tells `verify`: who masquerades, who is reached, and a question of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.conftest import Netlab

FILE = str(Path(__file__).parent / "labs" / "plain.py")


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Netlab]:
    assert shared.ok("up", FILE)["ok"]
    yield shared
    shared.run("down", "--all")


def of_kind(report: Any, kind: str) -> list[Any]:
    return [check for check in report["checks"] if check["kind"] == kind]


def test_plain_routes_without_masquerade_are_as_they_should_be(lab: Netlab) -> None:
    report = lab.ok("verify")
    outside = [c for c in report["checks"] if c["to"] == "external" and c["from"][:4] == "pod-"]
    echoes = [c for c in outside if c["kind"] == "negative"]
    assert len(echoes) == 6
    assert {c["expected"] for c in echoes} == {
        "no echo reply: the client has no route back to pods"
    }
    seen = [c for c in outside if c["kind"] == "wire"]
    assert len(seen) == 3
    for check in seen:
        assert "no echo reply: the client has no route back to pods" in check["expected"]
        assert "10.244." in check["evidence"], "the client gets it under the pod's own address"
    assert of_kind(report, "pod-external") == []


def test_a_masquerade_that_was_not_promised_is_seen(lab: Netlab) -> None:
    lab.inside(
        "node-1",
        "nft 'table ip x { chain c { type nat hook postrouting priority 100;"
        " ip daddr 203.0.113.10 masquerade; }; }'",
    )
    found = lab.run("--json", "verify")
    lab.inside("node-1", "nft delete table ip x")
    assert found.code == 1
    failed = {(c["kind"], c["from"]) for c in found.json["checks"] if not c["ok"]}
    assert {("negative", "pod-1-1"), ("negative", "pod-1-2"), ("wire", "pod-1-2")} <= failed
    assert {source for kind, source in failed if kind != "state"} == {"pod-1-1", "pod-1-2"}
    assert lab.ok("verify")["ok"]


def test_a_dataplanes_own_question_is_asked_and_reported(lab: Netlab) -> None:
    asked = of_kind(lab.ok("verify"), "pod-node")
    own = {(c["from"], c["to"], c["protocol"]) for c in asked if c["to"][5] == c["from"][4]}
    assert own >= {
        (f"pod-{node}-{pod}", f"node-{node}", protocol)
        for node in (1, 2, 3)
        for pod in (1, 2)
        for protocol in ("icmp", "tcp")
    }
    assert "TCP 8080 on 192.168.0.1: connection refused" in {c["observed"] for c in asked}
    # It is judged as any other.
    lab.inside("node-2", "ip rule add prio 1 to 10.244.1.3 prohibit")
    try:
        report = lab.run("--json", "verify").json
    finally:
        lab.inside("node-2", "ip rule del prio 1")
    failed = [c for c in of_kind(report, "pod-node") if not c["ok"]]
    assert {c["from"] for c in failed} == {"pod-2-2"}
    assert lab.ok("verify")["ok"]
