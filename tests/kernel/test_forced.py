"""What `--force` builds although it cannot work: `verify` shows what breaks."""

from __future__ import annotations

from pathlib import Path

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


SAME = """nodes:
- {pod_cidr: 10.244.5.0/24}
- {pod_cidr: 10.244.5.0/24}
- {pods: 1}
"""


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_two_nodes_with_one_pod_network_are_built_and_seen_to_break(
    netlab: Netlab, dataplane: str, tmp_path: Path
) -> None:
    (tmp_path / "same.yaml").write_text(SAME)
    options = (str(tmp_path / "same.yaml"), "--set", f"dataplane={dataplane}")
    refused = netlab.run("up", *options)
    assert refused.code == 2
    assert "overlap; use others, or --force" in refused.err
    found = netlab.run("--json", "up", *options, "--force")
    assert found.code == 1
    checks = found.json["verify"]["checks"]
    wrong = [c["observed"] for c in checks if (c["from"], c["to"]) == ("pod-1-1", "pod-2-2")]
    assert any("pod-1-2 container-1 answers" in observed for observed in wrong)
    assert all(c["ok"] for c in checks if c["kind"] == "pod-same-node")
    assert all(c["ok"] for c in checks if (c["from"], c["to"]) == ("pod-3-1", "pod-2-1"))
    assert any(not c["ok"] for c in checks if (c["from"], c["to"]) == ("pod-3-1", "pod-1-1"))
    assert netlab.ok("diff")["ok"]
    assert netlab.ok("up", *options, "--force", "--no-verify")["writes"] == 0
