"""Flannel's options as its net-conf.json and flags have them, each built and proved."""

from __future__ import annotations

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
    limits = {c["observed"] for c in done["verify"]["checks"] if c["kind"] == "mtu"}
    assert {limit.split()[0] for limit in limits} == {"1450", "1350"}


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
