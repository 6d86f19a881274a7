"""A lab from `up` to `down`, and every other way in which it can end."""

from __future__ import annotations

import json
import os
import random
import signal
import time

import pytest

from tests.kernel import host
from tests.kernel.conftest import Netlab

# Long enough to be hit half way at any point of it.
LARGE = ("up", "flannel-vxlan", "--nodes", "8", "--pods-per-node", "20", "--no-verify")


def keeper(netlab: Netlab, lab: str) -> int:
    return int(json.loads((netlab.state / lab / "keeper.json").read_text())["pid"])


@pytest.mark.parametrize(
    "topology",
    ["flannel-vxlan", "flannel-host-gw", "seed-example", "flannel-vxlan-l3", "flannel-dual-stack"],
)
def test_shipped_topologies_come_up_verified(netlab: Netlab, topology: str) -> None:
    document = netlab.ok("up", topology)
    assert document["ok"]
    assert document["verify"]["summary"]["failed"] == 0
    assert document["verify"]["summary"]["checks"] > 100
    kinds = {check["kind"] for check in document["verify"]["checks"]}
    assert kinds == {
        "container",
        "hairpin",
        "node-node",
        "pod-same-node",
        "pod-cross-node",
        "node-pod",
        "pod-node",
        "pod-external",
        "node-external",
        "external-node",
        "negative",
        "wire",
        "mtu",
        "state",
    }


def test_status_tells_nodes_pods_and_containers(netlab: Netlab) -> None:
    netlab.ok("up", "seed-example", "--no-verify")
    status = netlab.ok("status")
    assert status["state"] == "running"
    assert [node["pod_cidr"] for node in status["nodes"]] == [
        "100.12.24.0/24",
        "100.12.25.0/24",
        "100.12.26.0/24",
    ]
    assert all(node["underlay_ip"].startswith("192.168.0.") for node in status["nodes"])
    assert status["pods"][0] == {
        "name": "pod-1-1",
        "namespace": "default",
        "node": "node-1",
        "netns": "pod-1-1",
        "ip": "100.12.24.2",
        "ips": ["100.12.24.2"],
        "containers": ["container-1", "container-2"],
    }
    assert status["health"]["ok"]


def test_two_labs_run_side_by_side(netlab: Netlab) -> None:
    first = netlab.ok("up", "flannel-vxlan", "-l", "one")
    second = netlab.ok("-l", "two", "up", "flannel-vxlan")
    assert first["ok"]
    assert second["ok"]
    ambiguous = netlab.run("status")
    assert ambiguous.code == 4
    assert "one, two" in ambiguous.err
    netlab.ok("down", "-l", "one")
    assert netlab.ok("verify")["ok"]


def test_down_of_a_large_lab_leaves_nothing(netlab: Netlab) -> None:
    netlab.ok(*LARGE)
    netlab.ok("down")
    host.assert_nothing_left(netlab.state)


def test_killed_keeper_takes_the_lab_with_it(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", "--no-verify")
    assert len(host.processes(netlab.state)) >= 13  # keeper, 12 containers, the client
    os.kill(keeper(netlab, "flannel-vxlan"), signal.SIGKILL)
    status = netlab.run("status")
    assert status.code == 4
    assert "stale" in status.err
    host.assert_nothing_left(netlab.state)


def test_gc_removes_stale_folders_and_nothing_else(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", "--no-verify", "-l", "dead")
    netlab.ok("up", "flannel-vxlan", "--no-verify", "-l", "alive")
    os.kill(keeper(netlab, "dead"), signal.SIGKILL)
    time.sleep(0.1)
    assert netlab.ok("gc") == {"removed": ["dead"]}
    assert netlab.ok("status", "-l", "alive")["state"] == "running"


@pytest.mark.parametrize("seed", range(12))
def test_killed_up_leaves_nothing(netlab: Netlab, seed: int) -> None:
    """kill -9 at a random moment of `up`, from its first instant to about its end."""
    process = netlab.start(*LARGE)
    time.sleep(random.Random(seed).uniform(0.02, 1.2))
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        folder = netlab.state / "flannel-vxlan"
        if (folder / "whole").exists():  # it was just quicker than the signal
            netlab.ok("down")
        if not host.processes(netlab.state):
            break
        time.sleep(0.02)
    assert host.processes(netlab.state) == []
    netlab.run("gc")
    host.assert_nothing_left(netlab.state)


@pytest.mark.parametrize("after", [0, 0.01, 0.02, 0.1])
def test_interrupted_up_says_so_and_leaves_nothing(netlab: Netlab, after: float) -> None:
    """Also while the processes are made that do the work: those moments are the first ones."""
    process = netlab.start("up", "flannel-vxlan", "--nodes", "20", "--pods-per-node", "40")
    folder = netlab.state / "flannel-vxlan"
    while not (folder / "layout.json").exists():
        time.sleep(0.002)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to the whole group
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors.strip()) == (130, "netlab: interrupted.")
    host.assert_nothing_left(netlab.state)


def test_two_ups_at_once_make_one_lab(netlab: Netlab) -> None:
    first, second = netlab.start(*LARGE), netlab.start(*LARGE)
    errors = [process.communicate()[1] for process in (first, second)]
    assert sorted((first.returncode, second.returncode)) == [0, 4]
    assert any("in use by another netlab command" in text for text in errors)
    assert netlab.ok("status")["state"] == "running"


def test_a_lab_of_another_topology_is_not_overwritten(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", "--no-verify", "-l", "mine")
    other = netlab.run("up", "flannel-host-gw", "-l", "mine")
    assert other.code == 4
    assert "runs the topology flannel-vxlan" in other.err
    assert netlab.ok("verify")["ok"]


@pytest.mark.parametrize("mtu", [1000, 9000])
def test_other_underlay_mtus(netlab: Netlab, mtu: int) -> None:
    """Below IPv6's minimum of 1280 the kernel has no IPv6 settings for a device; above is jumbo."""
    document = netlab.ok("up", "flannel-vxlan", "--set", f"underlay_mtu={mtu}")
    expected = {c["expected"] for c in document["verify"]["checks"] if c["kind"] == "mtu"}
    assert any(
        f"{mtu - 50} bytes pass whole, {mtu - 49} are refused" in words for words in expected
    )
