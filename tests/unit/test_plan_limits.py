"""What the kernel would not make is refused in the plan, whatever was forced."""

from __future__ import annotations

import pytest

from netlab import BadInput, Cluster, flannel
from netlab.designing import design
from netlab.plan.limits import refuse_impossible
from netlab.plan.links import Bridge, Vxlan, Wireguard
from netlab.plan.types import Namespace


@pytest.mark.parametrize(
    ("dataplane", "words"),
    [
        (flannel.Vxlan(vni=-1), "The VNI -1 of flannel.-1 in node-1 must lie between 0 and 16777"),
        (flannel.Vxlan(port=70000), "The VXLAN port 70000 of flannel.1 in node-1 must lie between"),
        (flannel.Vxlan(mtu=100), "The MTU 50 of flannel.1 in node-1 must lie between 68 and 65535"),
        (flannel.HostGw(mtu=70000), "The MTU 70000 of cni0 in node-1 must lie between 68 and"),
    ],
)
def test_a_number_beyond_the_kernels(dataplane: flannel.Vxlan, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        design(Cluster(nodes=2, dataplane=dataplane), {}, force=True)


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([Vxlan(name="a", vni=1), Vxlan(name="b", vni=1)], "devices a and b in n would have the s"),
        ([Bridge(name="a", priority=70000)], "The priority 70000 of a in n must lie between"),
        ([Wireguard(name="a", listen_port=-1)], "The port -1 of a in n must lie between"),
        ([Vxlan(name="a", ttl=256)], "The TTL 256 of a in n must lie between 0 and 255"),
    ],
)
def test_devices_that_cannot_be(links: list[Vxlan], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        refuse_impossible(Namespace("n", "node", links=links))


def test_tunnels_that_can_be_together() -> None:
    links = [Vxlan(name="a", vni=1), Vxlan(name="b", vni=2), Vxlan(name="c", vni=1, port=4789)]
    links.append(Vxlan(name="d", vni=1, local="fd30::1"))
    refuse_impossible(Namespace("n", "node", links=links))
