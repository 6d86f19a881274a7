"""`netlab compare` measures in labs of its own, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.kernel import host
from tests.kernel.conftest import Netlab

ROUTED, CARRIED = "flannel-host-gw", "flannel-udp"


@pytest.fixture(scope="module")
def found(shared: Netlab) -> dict[str, dict[str, object]]:
    """The values of all cells by their checks, and all claims' verdicts by their texts."""
    document = shared.ok("compare", ROUTED, CARRIED, "--rounds", "1")
    assert document["rounds"] == 1
    cells = [cell for row in document["dataplanes"] for cell in row["cells"].values()]
    return {
        "cells": {cell["check"]: cell["value"] for cell in [*cells, *document["general"]]},
        "claims": {claim["text"]: claim["verdict"] for claim in document["claims"]},
        "evidence": {cell["check"]: cell["evidence"] for cell in cells},
        "refusals": {
            f"{row['dataplane']}/{row['underlay']}": row["refusal"]
            for row in document["dataplanes"]
        },
    }


@pytest.mark.needs("tun")
def test_what_each_is_was_measured(found: dict[str, dict[str, object]]) -> None:
    expected: dict[str, object] = {
        f"{ROUTED}/one-segment/works": True,
        f"{ROUTED}/one-segment/encapsulation": "bare",
        f"{ROUTED}/one-segment/overhead": 0,
        f"{ROUTED}/one-segment/mtu": 1500,
        f"{ROUTED}/one-segment/addresses": "pods'",
        f"{ROUTED}/one-segment/runs-in": "kernel",
        f"{ROUTED}/one-segment/node-joins": {key: {"routes": 1} for key in ("node-1", "node-2")},
        f"{ROUTED}/two-subnets/works": False,
        f"{ROUTED}/two-subnets/throughput": None,
        f"{CARRIED}/one-segment/works": True,
        f"{CARRIED}/two-subnets/works": True,
        f"{CARRIED}/two-subnets/encapsulation": "IP in UDP 8285",
        f"{CARRIED}/two-subnets/overhead": 28,
        f"{CARRIED}/two-subnets/mtu": 1472,
        f"{CARRIED}/two-subnets/addresses": "nodes'",
        f"{CARRIED}/two-subnets/runs-in": "user space",
        "any/node-cidr-24/pods": 253,
        "any/no-service/pod-to-pod": True,
    }
    assert {check: found["cells"].get(check, "no cell") for check in expected} == expected


@pytest.mark.needs("tun")
def test_what_does_not_work_says_why_and_what_was_seen(
    found: dict[str, dict[str, object]],
) -> None:
    assert "needs all nodes on one segment" in str(found["refusals"][f"{ROUTED}/two-subnets"])
    assert found["refusals"][f"{CARRIED}/two-subnets"] is None
    seen = str(found["evidence"][f"{ROUTED}/two-subnets/works"])
    assert "192.168.1.1 asks for 192.168.2.1 by ARP, and nobody answers" in seen


@pytest.mark.needs("tun")
def test_costs_are_ratios_to_plain_routes(found: dict[str, dict[str, object]]) -> None:
    """Far from what is measured: only what no disturbance turns round."""
    cells = found["cells"]
    for column in ("latency-udp", "latency-tcp"):
        assert 1.5 < float(str(cells[f"{CARRIED}/one-segment/{column}"])) < 100
        assert 0.5 < float(str(cells[f"{ROUTED}/one-segment/{column}"])) < 2
    assert 0 < float(str(cells[f"{CARRIED}/one-segment/throughput"])) < 0.5
    assert float(str(cells[f"{ROUTED}/one-segment/packets"])) > 0


@pytest.mark.needs("tun")
def test_wrong_claims_are_said_to_be(found: dict[str, dict[str, object]]) -> None:
    wrong = {text for text, verdict in found["claims"].items() if verdict == "wrong"}
    assert {
        "Flannel's UDP mode needs all nodes in one L2 broadcast domain.",
        "Flannel's VXLAN works at L3 while its UDP mode does not.",
        "Pods of different Services need a cluster IP to talk to each other.",
        "A node with a /24 holds 254 pods.",
    } <= wrong
    assert found["claims"]["Flannel's host-gw needs all nodes in one L2 broadcast domain."] == (
        "right"
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_its_lab_ends_with_it(netlab: Netlab, number: signal.Signals, code: int) -> None:
    started = netlab.start("compare", ROUTED)
    lab = f"compare-{started.pid}"
    deadline = time.monotonic() + 20
    while lab not in os.listdir(netlab.state if netlab.state.exists() else "/"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    # As a terminal does it, Ctrl-C is for all processes of the command; a kill is for one.
    if number == signal.SIGINT:
        os.killpg(started.pid, number)
    else:
        started.kill()
    out, _ = started.communicate(timeout=20)
    assert (started.returncode, out) == (code, "")
    while processes := host.processes(netlab.state):
        assert time.monotonic() < deadline, processes
        time.sleep(0.05)
    if number == signal.SIGKILL:
        assert netlab.ok("gc") == {"removed": [lab]}
    host.assert_nothing_left(netlab.state)
