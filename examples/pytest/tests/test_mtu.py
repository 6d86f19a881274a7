"""A black hole: one node's uplink carries less than the others believe, and nobody says so."""

import pytest

from netlab import Lab


@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)
def test_a_small_uplink_is_found_and_repaired(lab: Lab) -> None:
    client = lab.pod("pod-1-1")
    assert client.reaches("pod-2-1").mtu(1450)

    lab.node("node-2").run("ip", "link", "set", "eth0", "mtu", "1400")
    # Connections are still made and hang later: their first packets are small.
    found = client.reaches("pod-2-1", port=8080)
    assert found
    assert not found.mtu(1450)

    changed = [str(change) for change in lab.diff().changed]
    assert changed == ["node-2: link eth0: mtu is 1400, not 1500"]
    lab.repair()
    assert client.reaches("pod-2-1").mtu(1450)
    assert lab.diff().ok
