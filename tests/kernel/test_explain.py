"""`netlab explain` on a running lab: what `ip` and BIRD's routes show is all told of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from netlab.plan.explaining import TELLS_NOTHING
from tests.kernel.conftest import Netlab

SIZE = ("--nodes", "2", "--pods-per-node", "1", "--set", "containers=1")
TARGETS = ("node-1", "pod-1-1", "router")


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Netlab]:
    """A lab with a daemon that writes routes: up comes back when they are there."""
    shared.ok("up", "calico-bgp", *SIZE)
    yield shared
    shared.ok("down")


def told(netlab: Netlab, *words: str) -> list[Any]:
    objects: list[Any] = netlab.ok("explain", *words)["objects"]
    return objects


def test_all_that_ip_shows_is_told(lab: Netlab) -> None:
    everything = told(lab)
    assert {one["state"] for one in everything} == {"there"}
    assert not [one for one in everything if TELLS_NOTHING in one["why"]]
    for target in TARGETS:
        words = {one["object"] for one in everything if one["namespace"] == target}
        shown = lab.inside(target, "ip -j link; ip -4 -j address; ip -4 -j route show table all")
        links, addressed, routes = map(json.loads, shown.splitlines())
        for link in links:
            assert f"link {link['ifname']}" in words
        for link in addressed:
            for one in link["addr_info"]:
                ip = f"{one['local']}/{one['prefixlen']}"
                assert f"address {ip} dev {link['ifname']}" in words
        for way in routes:
            kind = f"{way['type']} " if "type" in way else ""
            length = "" if "/" in way["dst"] else "/32"
            destination = "0.0.0.0/0" if way["dst"] == "default" else f"{way['dst']}{length}"
            assert any(one.startswith(f"route {kind}{destination} ") for one in words), way


def test_who_writes_a_route_and_with_which_protocol(lab: Netlab) -> None:
    other = told(lab, "node-1/10.244.0.64/26")
    assert [(one["object"], one["writer"]) for one in other] == [
        ("route 10.244.0.64/26 via 192.168.0.2 dev eth0 proto bird", "BIRD")
    ]
    assert {one["writer"] for one in told(lab, "bird")} == {"BIRD", "calico-node"}
    # As `ip` prints it.
    line = lab.inside("node-1", "ip route show 10.244.0.64/26").strip()
    assert told(lab, f"node-1/{line}") == other
    text = lab.run("explain", "node-1/10.244.0.64/26").out
    assert "    route 10.244.0.64/26 via 192.168.0.2 dev eth0 proto bird\n        BIRD: " in text


def test_what_differs_is_said(lab: Netlab) -> None:
    lab.inside("pod-1-1", "ip route del default; ip route add 10.77.0.0/16 dev eth0")
    found = told(lab, "pod-1-1/default")
    assert [(one["writer"], one["state"]) for one in found] == [("CNI plugin calico", "missing")]
    found = told(lab, "10.77.0.0/16")
    assert [(one["namespace"], one["state"]) for one in found] == [("pod-1-1", "unexpected")]
    lab.ok("up", "calico-bgp", *SIZE, "--no-verify")
    assert told(lab, "pod-1-1/default")[0]["state"] == "there"


def test_what_is_not_there(lab: Netlab) -> None:
    result = lab.run("explain", "flannel.1")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    # What begins as an option does is an object here.
    assert {one["kind"] for one in told(lab, "-j", "cali-fip-snat")} == {"rule"}
