"""How pods are attached: what each way puts into pod and node, and what it tells of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from netlab import Cluster
from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.attach.lxc import Lxc
from netlab.dataplane.attach.ptp import HOST_MAC, Ptp
from netlab.plan.attach import Attach
from netlab.plan.compile import compile_plan
from netlab.plan.dataplane import Dataplane
from netlab.plan.links import Veth
from netlab.plan.routing import Address, Neighbour, NextHop, Route, Sysctl, route
from netlab.plan.shell import render
from netlab.plan.types import Plan
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.layout import lay_out
from tests.unit.plans import DUAL_STACK
from tests.unit.scripts import check_syntax


@dataclass(frozen=True, slots=True)
class Any_(Dataplane):
    """Nothing but pods, attached in the way that is given."""

    name: ClassVar[str] = "any"
    way: Any = None

    def attach(self, layout: Any, node: Any) -> Attach:
        way: Attach = self.way
        return way


def plan_with(way: Attach, ipam: Ipam | None = None, **fields: Any) -> Plan:
    cluster = Cluster(**{"nodes": 1, "pods_per_node": 1, "containers": 0, **fields})
    return compile_plan("x", lay_out(cluster, ipam), Any_(way))


def test_calico_s_way_is_a_host_route_and_proxy_arp() -> None:
    way = Ptp(1480)
    port = way.port("pod-1-1")
    plan = plan_with(way, Blocks())
    pod, node = plan.namespaces["pod-1-1"], plan.namespaces["node-1"]
    assert (port[:4], len(port)) == ("cali", 15)
    assert pod.addresses[0] == Address("eth0", "10.244.0.0/32")
    assert pod.routes == [
        route("169.254.1.1/32", "eth0"),
        route("0.0.0.0/0", "eth0", "169.254.1.1"),
    ]
    assert node.link(port).mac == HOST_MAC
    assert node.link(port).master is None
    assert (
        Route(
            destination="10.244.0.0/32", next_hops=(NextHop(link=port),), scope="link", metric=1024
        )
        in node.routes
    )
    assert node.neighbours == [Neighbour(port, "10.244.0.0", pod.link("eth0").mac)]
    for setting in (f"conf/{port}/proxy_arp", f"conf/{port}/route_localnet"):
        assert Sysctl(f"net/ipv4/{setting}", "1") in node.sysctls
    assert Sysctl(f"net/ipv4/neigh/{port}/proxy_delay", "0") in node.sysctls
    [told] = plan.attachments
    assert (told.wiring, told.port, told.bridge, told.hairpin) == ("ptp", port, None, False)
    assert (told.addresses, told.gateways) == (("10.244.0.0/32",), ("169.254.1.1",))
    assert (told.gateway_mac, told.mtu) == (HOST_MAC, 1480)


def test_calico_s_way_of_ipv6_is_a_link_local_gateway() -> None:
    way = Ptp(1500)
    plan = plan_with(way, Blocks(), **DUAL_STACK)
    pod, node = plan.namespaces["pod-1-1"], plan.namespaces["node-1"]
    port = way.port("pod-1-1")
    assert Address("eth0", "fd44::/128", nodad=True) in pod.addresses
    assert route("::/0", "eth0", "fe80::ecee:eeff:feee:eeee") in pod.routes
    assert Address(port, "fe80::ecee:eeff:feee:eeee/64", scope="link", nodad=True) in node.addresses
    assert Sysctl(f"net/ipv6/conf/{port}/proxy_ndp", "1") in node.sysctls
    [told] = plan.attachments
    assert told.addresses == ("10.244.0.0/32", "fd44::/128")
    assert told.gateways == ("169.254.1.1", "fe80::ecee:eeff:feee:eeee")


def test_cilium_s_way_is_a_host_route_and_the_router_s_address() -> None:
    way = Lxc(1500, route_mtu=1450)
    plan = plan_with(way, ClusterPool())
    pod, node = plan.namespaces["pod-1-1"], plan.namespaces["node-1"]
    [told] = plan.attachments
    [router] = told.gateways
    port = way.port("pod-1-1")
    assert (port[:3], len(port)) == ("lxc", 15)
    assert pod.routes == [
        route(f"{router}/32", "eth0"),
        route("0.0.0.0/0", "eth0", router, mtu=1450),
    ]
    assert route(told.addresses[0], port, protocol="kernel", source=router) in node.routes
    assert Sysctl(f"net/ipv4/conf/{port}/rp_filter", "0") in node.sysctls
    assert (told.wiring, told.bridge, told.mtu) == ("lxc", None, 1450)
    assert told.gateway_mac == node.link(port).mac


@pytest.mark.parametrize("way", [Bridge(1500), Ptp(1500), Lxc(1500)], ids=lambda way: way.name)
def test_what_an_attachment_tells_is_in_the_plan(way: Attach) -> None:
    """Probes, reports and pictures ask it alone, whatever the way."""
    plan = plan_with(way, ClusterPool(), nodes=2, pods_per_node=2)
    assert [item.pod for item in plan.attachments] == [
        name for name, space in plan.namespaces.items() if space.role == "pod"
    ]
    for item in plan.attachments:
        pod, node = plan.namespaces[item.pod], plan.namespaces[item.node]
        inner, outer = pod.link(item.device), node.link(item.port)
        assert isinstance(inner, Veth)
        assert isinstance(outer, Veth)
        assert inner.peer is not None
        assert (inner.peer.namespace, inner.peer.link) == (item.node, item.port)
        assert outer.master == item.bridge
        assert item.hairpin is (outer.bridge_port is not None and outer.bridge_port.hairpin)
        held = {address.address for address in pod.addresses if address.link == item.device}
        assert held == set(item.addresses)
        defaults = [way.gateway for way in pod.routes if way.destination == "0.0.0.0/0"]
        assert tuple(defaults) == item.gateways
        answering = [link.mac for link in node.links if link.name in (item.bridge, item.port)]
        assert item.gateway_mac in answering
        assert item.wiring == type(way).__module__.rpartition(".")[2]


@pytest.mark.parametrize("way", [Bridge(1500), Ptp(1500), Lxc(1500)], ids=lambda way: way.name)
def test_each_way_can_be_printed(way: Attach) -> None:
    text = render(plan_with(way, ClusterPool()), "")
    check_syntax(text)
    assert "link add name eth0 netns node-1" in text
