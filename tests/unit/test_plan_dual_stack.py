"""What the plan of a dual-stack flannel holds, as flannel and the bridge plugin make it.

The same by hand, in commands of `ip`, was tried on a kernel: it works from the first packet.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.dataplane import make
from netlab.errors import BadInput
from netlab.plan import headers
from netlab.plan.compile import compile_plan
from netlab.plan.headers import BARE
from netlab.plan.links import Vxlan
from netlab.plan.names import host_veth, link_local, mac
from netlab.plan.routing import (
    LOCALHOST6,
    Address,
    FdbEntry,
    Neighbour,
    Route,
    Sysctl,
    is_ipv6,
    route,
)
from netlab.plan.rulesets import NftTable
from netlab.plan.types import Namespace, Plan
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS, layout_of, plan_of

ROUTER = "fd30::ffff:ffff:ffff:fffe"


def dual(dataplane: str, options: dict[str, Any] | None = None, **fields: Any) -> Plan:
    return plan_of(dataplane, options, **{"nodes": 2, **DUAL_STACK, **fields})


def ipv6_of(space: Namespace) -> dict[str, list[Address]]:
    """The IPv6 addresses of a namespace by device, but for loopback's."""
    result: dict[str, list[Address]] = {}
    for address in space.addresses:
        if is_ipv6(address.address) and address != LOCALHOST6:
            result.setdefault(address.link, []).append(address)
    return result


def ways_of(space: Namespace) -> list[Route]:
    """The IPv6 routes that are not the kernel's own."""
    return [way for way in space.routes if is_ipv6(way.destination) and not way.connected]


def link_local_of(space: Namespace, link: str) -> Address:
    address = f"{link_local(space.link(link).mac)}/64"
    return Address(link, address, scope="link", nodad=True)


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_a_node_can_use_its_addresses_at_once_and_solicit_neighbours(dataplane: str) -> None:
    """Without a link-local address on the device a forwarded packet vanishes without an error."""
    node = dual(dataplane).namespaces["node-1"]
    held = ipv6_of(node)
    assert held["eth0"] == [
        Address("eth0", "fd30::1/64", nodad=True),
        link_local_of(node, "eth0"),
    ]
    assert held["cni0"] == [
        Address("cni0", "fd44::1/64", nodad=True),
        link_local_of(node, "cni0"),
    ]
    assert all(address.nodad for addresses in held.values() for address in addresses)
    assert {link.addr_gen_mode for link in node.links if link.name != "lo"} == {"none"}


def test_a_node_s_settings() -> None:
    node = dual("flannel-vxlan").namespaces["node-1"]
    settings = {setting.path: setting.value for setting in node.sysctls}
    assert settings == {
        "net/ipv6/conf/default/addr_gen_mode": "1",
        "net/ipv4/ip_forward": "1",
        "net/ipv6/conf/all/forwarding": "1",
        "net/ipv6/conf/cni0/accept_ra": "0",
        "net/ipv6/conf/flannel.1/accept_ra": "0",
        "net/ipv6/conf/flannel-v6.1/accept_ra": "0",
    }
    assert node.ipv6


def test_vxlan_has_a_device_of_each_family() -> None:
    """Same VNI and port; the kernel itself cuts the one with an IPv6 address outside to 70 less."""
    node = dual("flannel-vxlan").namespaces["node-1"]
    assert node.link("flannel-v6.1") == Vxlan(
        name="flannel-v6.1",
        mac=mac("node-1", "flannel-v6.1"),
        mtu=1430,
        txqlen=0,
        vni=1,
        port=8472,
        local="fd30::1",
        device="eth0",
        learning=False,
        addr_gen_mode="none",
    )
    assert node.link("flannel.1").mac != node.link("flannel-v6.1").mac
    mtus = {link.name: link.mtu for link in node.links}
    assert mtus["flannel.1"] == mtus["cni0"] == mtus[host_veth("pod-1-1")] == 1450
    assert ipv6_of(node)["flannel-v6.1"] == [Address("flannel-v6.1", "fd44::/128", nodad=True)]


def test_vxlan_leads_to_the_remote_node_by_neighbour_fdb_and_onlink_route() -> None:
    node = dual("flannel-vxlan").namespaces["node-1"]
    vtep, vtep6 = (mac("node-2", name) for name in ("flannel.1", "flannel-v6.1"))
    assert node.neighbours == [
        Neighbour("flannel.1", "10.244.1.0", vtep),
        Neighbour("flannel-v6.1", "fd44:0:0:1::", vtep6),
    ]
    assert node.fdb == [
        FdbEntry("flannel.1", vtep, "192.168.0.2"),
        FdbEntry("flannel-v6.1", vtep6, "fd30::2"),
    ]
    assert ways_of(node) == [
        route("::/0", "eth0", ROUTER, metric=1024),
        route("fd44:0:0:1::/64", "flannel-v6.1", "fd44:0:0:1::", onlink=True, metric=1024),
    ]


def test_host_gw_has_one_route_a_family_and_nothing_else() -> None:
    plan = dual("flannel-host-gw")
    node = plan.namespaces["node-2"]
    assert ways_of(node) == [
        route("::/0", "eth0", ROUTER, metric=1024),
        route("fd44::/64", "eth0", "fd30::1", metric=1024),
    ]
    assert not node.neighbours + node.fdb
    assert {link.mtu for link in node.links if link.name != "lo"} == {1500}
    assert "vxlan" not in plan.requires


def test_a_pod_has_one_global_address_of_each_family_and_no_link_local() -> None:
    pod = dual("flannel-vxlan").namespaces["pod-2-1"]
    assert ipv6_of(pod) == {"eth0": [Address("eth0", "fd44:0:0:1::2/64", nodad=True)]}
    assert pod.link("eth0").addr_gen_mode == "none"
    assert ways_of(pod) == [
        route("::/0", "eth0", "fd44:0:0:1::1", metric=1024),
        route("fd44::/56", "eth0", "fd44:0:0:1::1", metric=1024),
    ]
    [connected] = [way for way in pod.routes if way.connected and is_ipv6(way.destination)]
    assert (connected.destination, connected.metric) == ("fd44:0:0:1::/64", 256)
    assert pod.sysctls == [Sysctl("net/ipv4/conf/eth0/arp_notify", "1")], "none of IPv6: too dear"


def test_what_the_kernel_makes_of_the_addresses_is_in_the_plan() -> None:
    node = dual("flannel-vxlan").namespaces["node-1"]
    made = [way for way in node.routes if way.connected and is_ipv6(way.destination)]
    assert sorted((way.destination, way.link) for way in made) == [
        ("fd30::/64", "eth0"),
        ("fd44::/128", "flannel-v6.1"),
        ("fd44::/64", "cni0"),
        ("fe80::/64", "cni0"),
        ("fe80::/64", "eth0"),
    ]
    assert {way.metric for way in made} == {256}
    assert LOCALHOST6 in node.addresses


def test_rules_of_both_families_and_one_against_multicast_reports() -> None:
    node = dual("flannel-vxlan").namespaces["node-1"]
    tables = [item for item in node.ruleset if isinstance(item, NftTable)]
    texts = {item.name: item.script for item in tables}
    assert texts.keys() == {"flannel-ipv4", "flannel-ipv6", "netlab"}
    assert texts["netlab"].startswith("table bridge netlab")
    assert "icmpv6 type mld2-listener-report drop" in texts["netlab"]
    assert "table ip6 flannel-ipv6" in texts["flannel-ipv6"]
    assert "ip6 saddr fd44::/56 ip6 daddr != ff00::/8 masquerade" in texts["flannel-ipv6"]
    assert "10.244" not in texts["flannel-ipv6"]
    single = plan_of("flannel-vxlan").namespaces["node-1"]
    assert len(single.ruleset) == 1


def test_the_underlay_speaks_both_families() -> None:
    spaces = dual("flannel-vxlan", underlay=TWO_SUBNETS).namespaces
    router = spaces["router"]
    assert [address.address for address in ipv6_of(router)["eth1"]] == [
        "fd30::1:ffff:ffff:ffff:fffe/64",
        link_local_of(router, "eth1").address,
    ]
    assert Sysctl("net/ipv6/conf/all/forwarding", "1") in router.sysctls
    assert ways_of(spaces["node-2"])[0] == route(
        "::/0", "eth0", "fd30::1:ffff:ffff:ffff:fffe", metric=1024
    )
    external = spaces["external"]
    assert ipv6_of(external)["eth0"][0].address == "2001:db8::a/64"
    switch = spaces["underlay-1"]
    assert not switch.ipv6
    assert switch.sysctls == [Sysctl("net/ipv6/conf/all/disable_ipv6", "1")]


def test_direct_routing_is_of_each_family() -> None:
    node = dual("flannel-vxlan", {"direct_routing": True}).namespaces["node-1"]
    assert ways_of(node)[-1] == route("fd44:0:0:1::/64", "eth0", "fd30::2", metric=1024)
    assert not node.fdb + node.neighbours


def test_host_gw_across_segments_is_refused_and_forced_in_both_families() -> None:
    layout = layout_of(nodes=2, underlay=TWO_SUBNETS, **DUAL_STACK)
    with pytest.raises(BadInput, match="one segment"):
        compile_plan("x", layout, make("flannel-host-gw"))
    forced = compile_plan("x", layout, make("flannel-host-gw"), force=True).namespaces["node-1"]
    assert ways_of(forced)[-1] == route(
        "fd44:0:0:1::/64", "eth0", "fd30:0:0:1::1", onlink=True, metric=1024
    )


def test_headers_and_mtu_of_each_family() -> None:
    layout = layout_of(**DUAL_STACK)
    first, second, _ = layout.nodes
    vxlan, host_gw = make("flannel-vxlan"), make("flannel-host-gw")
    assert vxlan.headers(layout, first, second, True) == (
        headers.Ip6("fd30::1", "fd30::2")
        / headers.Udp(8472)
        / headers.Vxlan(1)
        / headers.Ether(mac("node-1", "flannel-v6.1"), mac("node-2", "flannel-v6.1"))
    )
    assert vxlan.path_mtu(layout, first, second, False) == vxlan.pod_mtu(layout) == 1450
    assert vxlan.path_mtu(layout, first, second, True) == 1430
    assert host_gw.headers(layout, first, second, True) == BARE
    assert host_gw.path_mtu(layout, first, second, True) == 1500


def test_what_leaves_the_cluster_is_masqueraded_in_both_families() -> None:
    layout = layout_of(**DUAL_STACK)
    first, second, _ = layout.nodes
    assert layout.external is not None
    vxlan = make("flannel-vxlan")
    for index in (0, 1):
        assert vxlan.masquerades(layout, first, layout.external.addresses[index])
        assert vxlan.masquerades(layout, first, second.addresses[index])
        assert not vxlan.masquerades(layout, first, second.pods[0].addresses[index])


def test_an_mtu_that_leaves_ipv6_too_little_is_refused() -> None:
    assert dual("flannel-vxlan", underlay_mtu=1350)
    with pytest.raises(
        BadInput, match=r"MTU 1349 leaves IPv6 inside VXLAN .* 1280 bytes; use 1350"
    ):
        dual("flannel-vxlan", underlay_mtu=1349)
    assert dual("flannel-host-gw", underlay_mtu=1280)
    assert plan_of("flannel-vxlan", underlay_mtu=1300), "IPv4 alone needs less"


def test_attachments_name_both_families() -> None:
    plan = dual("flannel-vxlan")
    item = plan.attachments[-1]
    assert item.pod == "pod-2-2"
    assert item.addresses == ("10.244.1.3/24", "fd44:0:0:1::3/64")
    assert item.gateways == ("10.244.1.1", "fd44:0:0:1::1")


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_the_ipv4_half_is_that_of_a_single_stack_cluster(dataplane: str) -> None:
    both = plan_of(dataplane, **DUAL_STACK).namespaces
    single = plan_of(dataplane).namespaces
    assert both.keys() == single.keys()
    for name, space in single.items():
        for field, text in (("addresses", "address"), ("routes", "destination")):
            ours = [x for x in getattr(both[name], field) if not is_ipv6(getattr(x, text))]
            assert ours == [x for x in getattr(space, field) if not is_ipv6(getattr(x, text))]
        links = {link.name for link in space.links}
        assert links <= {link.name for link in both[name].links}
        assert {link.name for link in both[name].links} - links <= {"flannel-v6.1"}
        assert [item for item in space.ruleset if item not in both[name].ruleset] == []


@given(st.integers(1, 6), st.integers(0, 4), st.booleans(), st.booleans())
def test_no_address_is_on_two_machines(
    nodes: int, pods: int, routed: bool, dual_stack: bool
) -> None:
    """With NODAD the kernel would not say so."""
    fields: dict[str, Any] = DUAL_STACK if dual_stack else {}
    underlay = TWO_SUBNETS if routed else "192.168.0.0/24"
    plan = plan_of("flannel-vxlan", nodes=nodes, pods_per_node=pods, underlay=underlay, **fields)
    held = [
        address.address
        for space in plan.namespaces.values()
        for address in space.addresses
        if address.link != "lo"
    ]
    assert len(set(held)) == len(held)
