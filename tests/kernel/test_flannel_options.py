"""Flannel's options as its net-conf.json and flags have them, each built and proved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kernel.conftest import Netlab

FEATURE = "tx-checksum-ip-generic"
TURN = (
    'python3 -c \'from pyroute2.ethtool.ioctl import IoctlEthtool as E; e = E("flannel.1");'
    f' f = e.get_features(); f.set_value("{FEATURE}", True); e.set_features(f)\''
)


@pytest.mark.parametrize(
    "options",
    [
        ("flannel-vxlan", "mtu=1400"),
        ("flannel-host-gw", "mtu=1400"),
        ("flannel-vxlan", "ip_masq=false"),
        ("flannel-vxlan", "vni=7", "port=4789", "direct_routing=true"),
        ("flannel-vxlan-l3", "direct_routing=true", "mtu=1300"),
    ],
)
def test_an_option_is_built_and_proved(netlab: Netlab, options: tuple[str, ...]) -> None:
    topology, *settings = options
    words = [word for setting in settings for word in ("--set", f"dataplane.{setting}")]
    assert netlab.ok("up", topology, *words)["ok"]
    assert netlab.ok("diff")["ok"]


def test_subnets_of_two_mtus_are_joined_by_a_router_that_fragments(netlab: Netlab) -> None:
    done = netlab.ok("up", "flannel-vxlan-l3", "--set", "underlay_mtu=1500,1400")
    checks = [c for c in done["verify"]["checks"] if c["kind"] == "mtu"]
    hosts = {"node-1", "node-2", "node-3", "external"}
    for between_hosts in (False, True):
        own = [c for c in checks if ({c["from"], c["to"]} <= hosts) is between_hosts]
        limits = {c["observed"].split()[0] for c in own}
        assert limits == ({"1500", "1400"} if between_hosts else {"1450", "1350"})


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_a_node_whose_mtu_is_less_than_its_segments_loses_what_others_send(
    netlab: Netlab, topology: Callable[[str], str], dataplane: str
) -> None:
    """Nobody tells them. By TCP it is not seen, as a kernel hands its segments over as one."""
    nodes = "nodes=[Node(), Node(mtu=1400), Node()]"
    file = topology(f'topology = Cluster({nodes}, pods_per_node=1, dataplane="{dataplane}")')
    done = netlab.run("--json", "up", file)
    assert done.code == 1
    failed = {(c["from"], c["to"]) for c in done.json["verify"]["checks"] if not c["ok"]}
    assert failed == {
        *(("pod-1-1", "pod-2-1"), ("pod-3-1", "pod-2-1"), ("node-1", "pod-2-1")),
        *(("node-1", "node-2"), ("node-3", "node-2"), ("external", "node-2")),
    }


def test_a_tunnel_s_checksums_are_turned_off_and_kept_so(netlab: Netlab) -> None:
    words = ("flannel-vxlan", "--nodes", "2", "--set", "dataplane.tx_checksum=false")
    assert netlab.ok("up", *words)["ok"]
    netlab.inside("node-1", TURN)
    found = netlab.run("--json", "diff")
    assert found.code == 1
    [change] = found.json["changed"]
    assert change["fields"] == ["offloads"]
    assert change["differences"] == [f"offloads is {FEATURE} on, not {FEATURE} off"]
    assert netlab.ok("up", *words)["ok"]
    assert netlab.ok("diff")["ok"]
