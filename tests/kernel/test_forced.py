"""What `--force` builds although it cannot work: `verify` shows what breaks."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Netlab


@pytest.mark.parametrize("setting", ["cluster_cidr=192.168.0.0/16", "underlay=10.244.0.0/16"])
def test_a_pod_network_on_the_underlay_is_built_and_seen_to_break(
    netlab: Netlab, setting: str
) -> None:
    options = ("flannel-vxlan", "--nodes", "2", "--set", setting)
    refused = netlab.run("up", *options)
    assert refused.code == 2
    assert "overlap; use others, or --force" in refused.err
    found = netlab.run("--json", "up", *options, "--force")
    assert found.code == 1
    failed = {c["kind"] for c in found.json["verify"]["checks"] if not c["ok"]}
    assert {"pod-cross-node", "wire"} <= failed
    within = [c for c in found.json["verify"]["checks"] if c["kind"] == "pod-same-node"]
    assert within
    assert all(c["ok"] for c in within), "a bridge by itself knows nothing of routes"


def test_a_service_network_among_pods_breaks_nothing_that_is_there(netlab: Netlab) -> None:
    done = netlab.run(
        "up", "flannel-vxlan", "--nodes", "2", "--set", "cluster_cidr=10.96.0.0/16", "--force"
    )
    assert done.code == 0
