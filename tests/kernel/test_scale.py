"""Nodes and pods come to a running lab and go: what the others have stays, and so do their flows.

tests/bench_scale.py does it with every shipped topology, and with what `up` proves in between.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.kernel.conftest import COMMAND, Netlab
from tests.traffic import flows_of, traffic

pytestmark = pytest.mark.kernel
# A program carries the packets; a daemon brings the routes; an ip set of rules has the nodes.
TOPOLOGIES = ("flannel-udp", "calico-bgp", pytest.param("cilium-native", marks=pytest.mark.long))


def stored(netlab: Netlab, topology: str) -> Any:
    return json.loads((netlab.state / topology / "plan.json").read_text())


def daemons(status: Any) -> list[tuple[str, int, int]]:
    """The process of each daemon, and how often it was started again."""
    return [(one["node"], one["pid"], one["restarts"]) for one in status.get("daemons", ())]


def sessions(netlab: Netlab) -> dict[str, str]:
    """Since when the BGP sessions of node-1 have the state that they have."""
    control = "/run/lab/daemons/node-1/bird/bird.ctl"
    text = netlab.inside("node-1", f"birdc -r -s {control} show protocols")
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: " ".join(row[3:]) for row in rows if len(row) > 5 and row[1] == "BGP"}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_node_comes_and_goes_and_the_others_lose_no_packet(netlab: Netlab, topology: str) -> None:
    up = ("up", topology, "--no-verify")
    assert netlab.ok(*up, "--nodes", "2")["ok"]
    before, status = stored(netlab, topology), netlab.ok("status")
    heard = sessions(netlab) if topology == "calico-bgp" else {}
    with traffic(COMMAND, netlab.environment, flows_of(status), rate=500) as seen:
        netlab.ok(*up, "--nodes", "3")
        grown = sessions(netlab) if heard else {}
        netlab.ok(*up, "--nodes", "2")
    assert [(one.flow, one.when, one.broken) for one in seen if one.lost or one.broken] == []
    assert min(one.sent for one in seen) > 500
    assert min(one.messages for one in seen) > 50
    assert daemons(netlab.ok("status")) == daemons(status), "none is started again"
    if heard:
        assert grown.items() > heard.items(), "sessions stay, and one is new"
        assert sessions(netlab) == heard
    assert stored(netlab, topology) == before
    assert netlab.ok("diff")["ok"]


@pytest.mark.parametrize("nodes", ["2", "8"])
def test_an_up_that_is_killed_on_the_way_is_made_good_by_the_next(
    netlab: Netlab, nodes: str
) -> None:
    """Of the old number or the new one."""
    up = ("up", "flannel-udp", "--no-verify", "--nodes")
    netlab.ok(*up, "2")
    before = stored(netlab, "flannel-udp")
    process = netlab.start(*up, "8")
    while not (netlab.state / "flannel-udp" / ".plan.json").exists():  # what will be stored then
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(0.1)  # it takes a few times that
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert netlab.ok(*up, nodes, "--wait", "5")["ok"]
    assert netlab.ok("diff")["ok"]
    assert (stored(netlab, "flannel-udp") == before) == (nodes == "2")
