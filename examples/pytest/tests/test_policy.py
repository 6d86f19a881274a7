"""What a NetworkPolicy becomes on a node: one client may connect to one port, others may not."""

import pytest

from netlab import Lab

POLICY = """
table inet network-policy {
    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
        ip daddr 10.244.1.2 tcp dport 8080 ip saddr 10.244.0.2 accept
        ip daddr 10.244.1.2 drop
    }
}
"""


@pytest.fixture
def protected(lab: Lab) -> Lab:
    """The lab, where pod-2-1 may be asked by pod-1-1 at its port 8080 and not otherwise."""
    done = lab.node("node-2").run("nft", "-f", "-", stdin=POLICY)
    assert done.code == 0, done.stderr
    return lab


pytestmark = pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=2, scope="module")


def test_the_client_is_let_in(protected: Lab) -> None:
    assert protected.pod("pod-1-1").reaches("pod-2-1", port=8080, protocol="http")
    assert protected.pod("pod-1-1").not_reaches("pod-2-1", port=8081, timeout=0.3)


def test_others_are_not(protected: Lab) -> None:
    assert protected.pod("pod-1-2").not_reaches("pod-2-1", port=8080, timeout=0.3)
    assert protected.pod("pod-1-2").reaches("pod-2-2", port=8080)


def test_the_pod_itself_reaches_all(protected: Lab) -> None:
    assert protected.pod("pod-2-1").reaches("pod-1-2", port=8080).seen_as("10.244.1.2")


def test_without_the_policy_everybody_is(lab: Lab) -> None:
    assert lab.pod("pod-1-2").reaches("pod-2-1", port=8080)
