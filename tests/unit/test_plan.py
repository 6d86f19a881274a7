"""What the plans of the flannel dataplanes hold, as the real systems make it."""

from typing import Any

import pytest

from netlab import Container, Node, Pod
from netlab.dataplane import make
from netlab.errors import BadInput
from netlab.loading import load_topology
from netlab.plan import headers
from netlab.plan.compile import compile_plan
from netlab.plan.headers import BARE
from netlab.plan.links import LOOPBACK, Peer, Port, Veth, Vxlan
from netlab.plan.names import host_veth, mac
from netlab.plan.processes import Container as ContainerProcess
from netlab.plan.routing import (
    DEFAULT_RULES,
    LOCALHOST,
    LOCALHOST6,
    Address,
    FdbEntry,
    Neighbour,
    Route,
    Sysctl,
    connected,
    route,
)
from netlab.plan.rulesets import NftTable
from netlab.plan.shell import render
from netlab.plan.types import Namespace, Plan
from netlab.topology.layout import lay_out
from tests.unit import plans
from tests.unit.plans import TWO_SUBNETS

DEFAULT_ROUTE = route("0.0.0.0/0", "eth0", "192.168.0.254")


def shipped(name: str, **settings: str) -> Plan:
    loaded = load_topology(name, settings={k.replace("__", "."): v for k, v in settings.items()})
    return without_loopback(compile_plan(loaded.name, lay_out(loaded.cluster), loaded.dataplane))


def plan_of(dataplane: str, options: dict[str, Any] | None = None, **fields: Any) -> Plan:
    return without_loopback(plans.plan_of(dataplane, options, **fields))


def without_loopback(plan: Plan) -> Plan:
    """What every namespace has alike need not be named in each test: loopback, connected routes."""
    for space in plan.namespaces.values():
        assert space.links.pop() == LOOPBACK
        # In pods IPv6 is on, with no address but this; elsewhere it is off.
        assert space.ipv6 is (space.role == "pod")
        if space.ipv6:
            assert space.addresses.pop() == LOCALHOST6
        assert space.addresses.pop() == LOCALHOST
        assert space.rules == list(DEFAULT_RULES)
        assert [way for way in space.routes if way.connected] == [
            way for address in space.addresses if (way := connected(address))
        ]
        space.routes = [way for way in space.routes if not way.connected]
    return plan


def by_destination(space: Namespace) -> dict[str, Route]:
    return {way.destination: way for way in space.routes}


def test_vxlan_node_holds_what_flannel_makes() -> None:
    node = shipped("flannel-vxlan").namespaces["node-1"]
    assert [link.name for link in node.links] == [
        "eth0",
        "flannel.1",
        "cni0",
        host_veth("pod-1-1"),
        host_veth("pod-1-2"),
    ]
    assert node.link("eth0") == Veth(
        name="eth0", mac=mac("node-1", "eth0"), mtu=1500, peer=Peer("underlay", "node-1")
    )
    assert node.link("flannel.1") == Vxlan(
        name="flannel.1",
        mac=mac("node-1", "flannel.1"),
        mtu=1450,
        txqlen=0,
        vni=1,
        port=8472,
        local="192.168.0.1",
        device="eth0",
        learning=False,
    )
    assert node.link("cni0").mtu == 1450
    assert node.link(host_veth("pod-1-2")) == Veth(
        name=host_veth("pod-1-2"),
        mac=mac("node-1", host_veth("pod-1-2")),
        mtu=1450,
        txqlen=0,
        master="cni0",
        bridge_port=Port(hairpin=True),
        peer=Peer("pod-1-2", "eth0"),
    )
    assert node.addresses == [
        Address("eth0", "192.168.0.1/24"),
        Address("flannel.1", "10.244.0.0/32"),
        Address("cni0", "10.244.0.1/24"),
    ]
    assert node.routes == [
        DEFAULT_ROUTE,
        route("10.244.1.0/24", "flannel.1", "10.244.1.0", onlink=True),
        route("10.244.2.0/24", "flannel.1", "10.244.2.0", onlink=True),
    ]
    vteps = {number: mac(f"node-{number}", "flannel.1") for number in (2, 3)}
    assert node.neighbours == [
        Neighbour("flannel.1", f"10.244.{number - 1}.0", vteps[number]) for number in vteps
    ]
    assert node.fdb == [
        FdbEntry("flannel.1", vteps[number], f"192.168.0.{number}") for number in vteps
    ]
    assert node.sysctls == [
        Sysctl("net/ipv6/conf/all/disable_ipv6", "1"),
        Sysctl("net/ipv6/conf/flannel.1/accept_ra", "0"),
        Sysctl("net/ipv4/ip_forward", "1"),
        Sysctl("net/ipv6/conf/cni0/accept_ra", "0"),
    ]


def test_pod_holds_what_the_bridge_plugin_makes() -> None:
    pod = shipped("flannel-vxlan").namespaces["pod-2-1"]
    assert pod.links == [
        Veth(
            name="eth0",
            mac=mac("pod-2-1", "eth0"),
            mtu=1450,
            txqlen=0,
            peer=Peer("node-2", host_veth("pod-2-1")),
            addr_gen_mode="none",
        )
    ]
    assert pod.addresses == [Address("eth0", "10.244.1.2/24")]
    assert pod.routes == [
        route("0.0.0.0/0", "eth0", "10.244.1.1"),
        route("10.244.0.0/16", "eth0", "10.244.1.1"),
    ]
    assert pod.sysctls == [Sysctl("net/ipv4/conf/eth0/arp_notify", "1")]
    assert [container.port for container in pod.containers] == [8080, 8081]
    assert not pod.neighbours + pod.fdb + pod.ruleset + pod.daemons


def test_flannel_rules_in_the_order_of_its_source() -> None:
    [table] = shipped("flannel-vxlan").namespaces["node-3"].ruleset
    assert isinstance(table, NftTable)
    assert (table.family, table.name) == ("ip", "flannel-ipv4")
    lines = [line.strip() for line in table.script.splitlines()]
    assert lines[lines.index("meta mark 0x00004000 return") :][:6] == [
        "meta mark 0x00004000 return",
        "ip saddr 10.244.2.0/24 ip daddr 10.244.0.0/16 return",
        "ip saddr 10.244.0.0/16 ip daddr 10.244.2.0/24 return",
        "ip saddr != 10.244.2.0/24 ip daddr 10.244.0.0/16 return",
        "ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
        "ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random",
    ]
    accepted = lines[lines.index("ip saddr 10.244.0.0/16 accept") :][:2]
    assert accepted == ["ip saddr 10.244.0.0/16 accept", "ip daddr 10.244.0.0/16 accept"]
    assert table.script.startswith("table ip flannel-ipv4 {\n")
    assert table.script.count("{") == table.script.count("}")


def test_vni_and_port_are_options() -> None:
    node = plan_of("flannel-vxlan", {"vni": 4096, "port": 4789}).namespaces["node-1"]
    vxlan = node.link("flannel.4096")
    assert isinstance(vxlan, Vxlan)
    assert (vxlan.vni, vxlan.port) == (4096, 4789)
    assert {entry.link for entry in node.fdb} == {"flannel.4096"}
    assert Sysctl("net/ipv6/conf/flannel.4096/accept_ra", "0") in node.sysctls


@pytest.mark.parametrize("options", [{"vni": 0}, {"vni": 2**24}, {"port": 0}, {"port": 65536}])
def test_vni_and_port_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must lie between"):
        plan_of("flannel-vxlan", options)


def test_host_gw_has_plain_routes_and_no_tunnel() -> None:
    plan = shipped("flannel-host-gw")
    node = plan.namespaces["node-2"]
    assert node.routes == [
        DEFAULT_ROUTE,
        route("10.244.0.0/24", "eth0", "192.168.0.1"),
        route("10.244.2.0/24", "eth0", "192.168.0.3"),
    ]
    assert not node.neighbours + node.fdb
    kinds = {link.kind for space in plan.namespaces.values() for link in space.links}
    assert kinds == {"veth", "bridge"}
    assert {link.mtu for space in plan.namespaces.values() for link in space.links} == {1500}
    assert "vxlan" not in plan.requires


def test_host_gw_is_refused_across_subnets_unless_forced() -> None:
    layout = plans.layout_of(underlay=TWO_SUBNETS)
    dataplane = make("flannel-host-gw")
    with pytest.raises(BadInput, match=r"one segment.*node-1 is in 192\.168\.1\.0/24 and node-2"):
        compile_plan("x", layout, dataplane)
    forced = compile_plan("x", layout, dataplane, force=True).namespaces["node-1"]
    routes = by_destination(forced)
    assert routes["10.244.1.0/24"] == route("10.244.1.0/24", "eth0", "192.168.2.1", onlink=True)
    assert routes["10.244.2.0/24"] == route("10.244.2.0/24", "eth0", "192.168.1.2")
    first, second, third = layout.nodes
    assert "192.168.2.1 is not on the segment" in (
        dataplane.unreachable(layout, first, second) or ""
    )
    assert dataplane.unreachable(layout, first, third) is None


def test_l3_underlay_has_a_router_with_a_leg_in_each_subnet() -> None:
    spaces = shipped("flannel-vxlan-l3").namespaces
    router = spaces["router"]
    assert router.addresses == [
        Address("eth0", "192.168.1.254/24"),
        Address("eth1", "192.168.2.254/24"),
        Address("eth2", "203.0.113.1/24"),
    ]
    assert [link.peer for link in router.links if isinstance(link, Veth)] == [
        Peer("underlay-1", "router"),
        Peer("underlay-2", "router"),
        Peer("internet", "router"),
    ]
    assert Sysctl("net/ipv4/ip_forward", "1") in router.sysctls
    assert by_destination(spaces["node-2"])["0.0.0.0/0"] == route(
        "0.0.0.0/0", "eth0", "192.168.2.254"
    )
    # The tunnel hides the underlay's shape: its routes are those of one segment.
    assert by_destination(spaces["node-1"])["10.244.1.0/24"].link == "flannel.1"
    assert {entry.destination for entry in spaces["node-1"].fdb} == {"192.168.2.1", "192.168.1.2"}


def test_direct_routing_sends_bare_packets_within_a_segment() -> None:
    spaces = shipped("flannel-vxlan-l3", dataplane__direct_routing="true").namespaces
    node = spaces["node-1"]
    routes = by_destination(node)
    assert routes["10.244.2.0/24"] == route("10.244.2.0/24", "eth0", "192.168.1.2")
    assert routes["10.244.1.0/24"] == route("10.244.1.0/24", "flannel.1", "10.244.1.0", onlink=True)
    assert [entry.destination for entry in node.fdb] == ["192.168.2.1"]
    assert [entry.address for entry in node.neighbours] == ["10.244.1.0"]


def test_headers_say_what_the_wire_shows() -> None:
    layout = plans.layout_of(underlay=TWO_SUBNETS)
    first, second, third = layout.nodes
    vxlan = make("flannel-vxlan", {"direct_routing": True})
    assert vxlan.headers(layout, first, third, False) == BARE
    assert vxlan.headers(layout, first, second, False) == (
        headers.Ip("192.168.1.1", "192.168.2.1")
        / headers.Udp(8472)
        / headers.Vxlan(1)
        / headers.Ether(mac("node-1", "flannel.1"), mac("node-2", "flannel.1"))
    )
    assert make("flannel-host-gw").headers(layout, first, third, False) == BARE


def test_the_smallest_device_on_the_way_bounds_what_crosses_whole() -> None:
    layout = plans.layout_of(underlay_mtu=1400)
    first, second, _ = layout.nodes
    for name, mtu in (("flannel-vxlan", 1350), ("flannel-host-gw", 1400)):
        dataplane = make(name)
        assert dataplane.pod_mtu(layout) == mtu
        assert dataplane.path_mtu(layout, first, second, False) == mtu


def test_the_mtu_of_net_conf_is_that_of_packets_between_nodes() -> None:
    for name, pods in (("flannel-vxlan", 1350), ("flannel-host-gw", 1400)):
        plan = plan_of(name, {"mtu": 1400})
        assert {item.mtu for item in plan.attachments} == {pods}
        node = plan.namespaces["node-1"]
        assert (node.link("eth0").mtu, node.link("cni0").mtu) == (1500, pods)
    assert (
        plan_of("flannel-vxlan", {"mtu": 1400}).namespaces["node-1"].link("flannel.1").mtu == 1350
    )
    with pytest.raises(BadInput, match="The MTU 100 must lie between 576 and 65535, or be 0"):
        plan_of("flannel-vxlan", {"mtu": 100})


def test_tx_checksum_off_is_said_of_the_tunnel_s_device() -> None:
    plan = plan_of("flannel-vxlan", {"tx_checksum": False})
    off = (("tx-checksum-ip-generic", False),)
    node = plan.namespaces["node-1"]
    assert {link.name: link.offloads for link in node.links if link.offloads} == {"flannel.1": off}
    assert "ethtool -K flannel.1 tx-checksum-ip-generic off" in render(plan, "")


def test_a_node_and_a_subnet_have_mtus_of_their_own() -> None:
    plan = plan_of("flannel-vxlan", nodes=[Node(), Node(mtu=1400)])
    assert [plan.namespaces[f"node-{n}"].link("eth0").mtu for n in (1, 2)] == [1500, 1400]
    assert [item.mtu for item in plan.attachments] == [1450, 1450, 1350, 1350]
    assert plan.namespaces["underlay"].link("node-2").mtu == 1500, "the switch does not know of it"
    plan = plan_of("flannel-host-gw", nodes=[Node(), Node(mtu=1400)])
    assert [item.mtu for item in plan.attachments] == [1500, 1500, 1400, 1400]

    plan = plan_of("flannel-vxlan", nodes=2, underlay=TWO_SUBNETS, underlay_mtu=(1500, 1300))
    assert [item.mtu for item in plan.attachments] == [1450, 1450, 1250, 1250]
    router = plan.namespaces["router"]
    assert [router.link(f"eth{n}").mtu for n in (0, 1, 2)] == [1500, 1300, 1500]

    for fields, sentence in (
        ({"nodes": [Node(mtu=1501)]}, "1501 of node-1 must lie between 576 and the 1500"),
        ({"underlay": TWO_SUBNETS, "underlay_mtu": (1500,)}, "2 segments and 1 MTUs"),
        ({"underlay_mtu": (10,)}, "MTU 10 must lie between"),
    ):
        with pytest.raises(BadInput, match=sentence):
            plan_of("flannel-vxlan", **fields)


@pytest.mark.parametrize("rules", ["nftables", "iptables"])
def test_without_ip_masq_flannel_only_accepts(rules: str) -> None:
    plan = plan_of("flannel-vxlan", {"ip_masq": False, "rules": rules})
    loaded = str(plan.namespaces["node-1"].ruleset)
    assert "masquerade" not in loaded.lower()
    assert "accept" in loaded.lower()


def test_what_leaves_the_cluster_is_masqueraded() -> None:
    layout = plans.layout_of()
    first, second, _ = layout.nodes
    assert layout.external is not None
    vxlan = make("flannel-vxlan")
    assert vxlan.masquerades(layout, first, layout.external.address)
    assert vxlan.masquerades(layout, first, second.address)
    assert not vxlan.masquerades(layout, first, second.pods[0].address)


def test_seed_example() -> None:
    plan = shipped("seed-example")
    nodes = [space for space in plan.namespaces.values() if space.role == "node"]
    assert [node.addresses[0].address for node in nodes] == [f"192.168.0.{n}/24" for n in (1, 2, 3)]
    assert [node.addresses[-1].address for node in nodes] == [
        "100.12.24.1/24",
        "100.12.25.1/24",
        "100.12.26.1/24",
    ]
    assert by_destination(nodes[0])["100.12.25.0/24"].gateway == "192.168.0.2"
    vxlan = shipped("seed-example", dataplane="flannel-vxlan").namespaces["node-1"]
    assert by_destination(vxlan)["100.12.25.0/24"].link == "flannel.1"


def test_every_cable_is_known_by_both_ends_and_every_mac_is_unique() -> None:
    spaces = shipped("flannel-vxlan-l3").namespaces
    macs = []
    for space in spaces.values():
        for link in space.links:
            macs.append(link.mac)
            if isinstance(link, Veth):
                assert link.peer is not None
                other = spaces[link.peer.namespace].link(link.peer.link)
                assert isinstance(other, Veth)
                assert other.peer == Peer(space.name, link.name)
                assert other.mtu == link.mtu
    assert len(macs) == len(set(macs))
    assert all(int(address[:2], 16) & 3 == 2 for address in macs)


def test_a_plan_is_a_value() -> None:
    assert shipped("flannel-vxlan") == shipped("flannel-vxlan")


def test_namespaces_come_in_the_order_of_building() -> None:
    assert list(plan_of("flannel-vxlan", nodes=1, underlay=TWO_SUBNETS).namespaces) == [
        "underlay-1",
        "underlay-2",
        "internet",
        "router",
        "external",
        "node-1",
        "pod-1-1",
        "pod-1-2",
    ]
    assert list(plan_of("flannel-vxlan", nodes=1, pods_per_node=0).namespaces) == [
        "underlay",
        "internet",
        "router",
        "external",
        "node-1",
    ]
    assert not {"external", "internet"} & {*plan_of("flannel-vxlan", external=False).namespaces}


def test_a_cluster_of_one_node_keeps_the_connected_route() -> None:
    plan = plan_of("flannel-vxlan", nodes=1, cluster_cidr="10.244.0.0/24")
    assert [way.destination for way in plan.namespaces["pod-1-1"].routes] == ["0.0.0.0/0"]


def test_containers_become_processes_of_their_pod() -> None:
    pods = [Pod("web", (Container("app", ("sleep", "1")), Container("side")))]
    plan = plan_of("flannel-vxlan", nodes=[Node(pods=pods)])
    assert plan.namespaces["web"].containers == [
        ContainerProcess("app", "web", ("sleep", "1"), 0, 0, addresses=("10.244.0.2",)),
        ContainerProcess("side", "web", None, 8081, 10000, addresses=("10.244.0.2",)),
    ]
    assert plan.namespaces["external"].containers == [
        ContainerProcess(
            *("client", "external", None, 8080, 9999),
            addresses=("203.0.113.10",),
            namespace="",
        )
    ]


def test_a_bridge_has_no_more_ports_than_the_kernel_gives_it() -> None:
    fields: dict[str, Any] = {"node_mask": 20, "containers": 0, "external": False}
    links = (
        plan_of("flannel-vxlan", nodes=1, pods_per_node=1023, **fields).namespaces["node-1"].links
    )
    assert sum(link.master == "cni0" for link in links) == 1023
    with pytest.raises(BadInput, match=r"cni0 in node-1 would have 1024 .* 1023; use more nodes"):
        plan_of("flannel-vxlan", nodes=1, pods_per_node=1024, **fields)


def test_a_device_name_too_long_for_the_kernel_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'flannel\.16777215' .* 16 characters"):
        plan_of("flannel-vxlan", {"vni": 2**24 - 1})


def test_an_object_that_is_given_twice_is_there_once() -> None:
    """Forwarding is the bridge plugin's word, and may be the dataplane's too."""
    node = plan_of("flannel-vxlan").namespaces["node-1"]
    assert node.sysctls.count(Sysctl("net/ipv4/ip_forward", "1")) == 1


def test_a_small_mtu_leaves_a_device_without_ipv6() -> None:
    """Below 1,280 bytes the kernel takes its IPv6 settings away, so none can be compared."""
    spaces = plan_of("flannel-vxlan", underlay_mtu=1300).namespaces
    assert {link.name: link.addr_gen_mode for link in spaces["node-1"].links} == {
        "eth0": "eui64",
        "flannel.1": None,
        "cni0": None,
        host_veth("pod-1-1"): None,
        host_veth("pod-1-2"): None,
    }
    assert spaces["pod-1-1"].link("eth0").addr_gen_mode is None


def test_how_pods_are_attached_is_part_of_the_plan() -> None:
    plan = plan_of("flannel-vxlan", nodes=2)
    assert [(item.pod, item.node) for item in plan.attachments] == [
        ("pod-1-1", "node-1"),
        ("pod-1-2", "node-1"),
        ("pod-2-1", "node-2"),
        ("pod-2-2", "node-2"),
    ]
    item = plan.attachments[2]
    assert (item.device, item.port, item.bridge) == ("eth0", host_veth("pod-2-1"), "cni0")
    assert (item.wiring, item.hairpin, item.mtu) == ("bridge", True, 1450)
    assert (item.addresses, item.gateways) == (("10.244.1.2/24",), ("10.244.1.1",))
    assert item.gateway_mac == plan.namespaces["node-2"].link("cni0").mac


def test_a_dataplane_without_ipv6_is_refused_a_dual_stack_cluster() -> None:
    class OnlyIpv4(type(make("flannel-host-gw"))):  # type: ignore[misc]
        dual_stack = False

    layout = plans.layout_of(**plans.DUAL_STACK)
    with pytest.raises(BadInput, match="flannel-host-gw carries IPv4 only; give one cluster CIDR"):
        compile_plan("x", layout, OnlyIpv4())
