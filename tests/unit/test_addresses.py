"""The figures of a cluster's address plan."""

from dataclasses import asdict, replace
from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import BadInput, Cluster, Node
from netlab.topology.addresses import address_plan
from netlab.topology.explained import explain
from netlab.topology.ipam import Ipam, Pool, Wish
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.ipam.etcd import EtcdLeases
from netlab.topology.ipam.host_local import HostLocal
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.layout import lay_out
from netlab.topology.pod_ranges import pod_range
from netlab.topology.resolved import NodeSpec, SubnetSpec

DUAL = ("10.244.0.0/16", "fd44::/56")

CONTRACT = {
    "cluster_cidr",
    "node_mask",
    "max_nodes",
    "service_cidr",
    "service_addresses",
    "node_port_range",
    "nodes",
}


def test_the_keys_are_those_of_the_contract() -> None:
    data = asdict(address_plan(lay_out(Cluster())))
    assert data.keys() >= CONTRACT
    assert data["nodes"][1] == {
        "name": "node-2",
        "addresses": ("192.168.0.2",),
        "pod_cidr": "10.244.1.0/24",
        "pod_cidrs": ("10.244.1.0/24",),
        "gateway": "10.244.1.1",
        "first": "10.244.1.2",
        "last": "10.244.1.254",
        "usable_pods": 253,
        "reserved": {},
        "families": (
            {
                "pod_cidrs": ("10.244.1.0/24",),
                "gateway": "10.244.1.1",
                "first": "10.244.1.2",
                "last": "10.244.1.254",
                "usable_pods": 253,
                "reserved": {},
            },
        ),
    }
    assert (data["underlay"], data["usable_pods"]) == (("192.168.0.0/24",), 3 * 253)


def test_the_underlay_has_room_for_all_but_its_ends_and_the_router() -> None:
    [segment] = address_plan(lay_out(Cluster())).segments
    assert (segment.networks, segment.routers) == (("192.168.0.0/24",), ("192.168.0.254",))
    small = Cluster(nodes=5, underlay="192.168.0.0/29")
    [segment] = address_plan(lay_out(small)).segments
    assert segment.nodes == 5
    with pytest.raises(BadInput, match="too small for its share of 6 nodes"):
        lay_out(replace(small, nodes=6))
    both = replace(small, cluster_cidr=DUAL, underlay=("192.168.0.0/24", "fd30::/125"), nodes=6)
    assert address_plan(lay_out(both)).segments[0].nodes == 6
    with pytest.raises(BadInput, match="too small for its share of 7 nodes"):
        lay_out(replace(both, nodes=7))


def test_both_families_have_their_figures() -> None:
    services = ("10.96.0.0/24", "fd96::/112")
    plan = address_plan(lay_out(Cluster(cluster_cidr=DUAL, service_cidr=services)))
    first, second = plan.service_ranges
    assert (first.addresses, first.static_band.size) == (254, 16)
    assert (second.addresses, second.static_band.last) == (65535, "fd96::100")
    assert (second.dynamic_band.first, second.dynamic_band.last) == ("fd96::101", "fd96::ffff")
    pods = plan.nodes[1].families[1]
    assert (pods.pod_cidrs, pods.gateway) == (("fd44:0:0:1::/64",), "fd44:0:0:1::1")
    assert (pods.first, pods.usable_pods) == ("fd44:0:0:1::2", 2**64 - 2)
    assert pods.last == "fd44::1:ffff:ffff:ffff:ffff"
    assert plan.node_masks == (24, 64)


IPAMS = (HostLocal(), Blocks(), Blocks(tunnel=True), ClusterPool(), EtcdLeases("a"))


@pytest.mark.parametrize("ipam", IPAMS, ids=str)
@pytest.mark.parametrize("ipv6", [False, True])
def test_a_node_is_full_with_exactly_as_many_pods_as_are_told(ipam: Ipam, ipv6: bool) -> None:
    """The IPAM itself is the oracle: so many pods it gives an address, and no more to a CIDR."""
    pool = Pool(*((ip_network("fd44::/118"), 124) if ipv6 else (ip_network("10.0.0.0/22"), 28)))
    if isinstance(ipam, Blocks):
        ipam = replace(ipam, sizes=(28, 124))
    [lease] = ipam.assign(pool, [Wish("a", 0)])
    place = SubnetSpec("underlay", (), ())
    node = NodeSpec("a", (), place, lease.cidrs, (lease.gateway,), (), lease.reserved)
    told = pod_range(node, ipv6)
    [full] = ipam.assign(pool, [Wish("a", told.usable)])
    assert full.cidrs == lease.cidrs
    assert (min(full.pods), max(full.pods)) == (told.first, told.last)
    one_more = [Wish("a", told.usable + 1)]
    if told.blocks:
        assert len(ipam.assign(pool, one_more)[0].cidrs) == 2
    else:
        with pytest.raises(BadInput, match=f"holds {told.usable} pods"):
            ipam.assign(pool, one_more)


def test_no_more_nodes_are_told_than_there_are_blocks() -> None:
    cluster = Cluster(cluster_cidr="10.244.0.0/24", node_mask=30, pods_per_node=1)
    plan = address_plan(lay_out(cluster, Blocks()))
    assert (plan.block_mask, plan.max_nodes) == (26, 4)
    assert address_plan(lay_out(replace(cluster))).block_mask is None


def test_kubeadm_defaults() -> None:
    plan = address_plan(lay_out(Cluster()))
    assert plan.max_nodes == 256
    assert plan.service_addresses == 2**20 - 2
    assert plan.kubernetes_service_ip == "10.96.0.1"
    assert plan.node_port_range == "30000-32767"
    assert plan.kubelet_max_pods == 110
    assert (plan.static_band.first, plan.static_band.last) == ("10.96.0.1", "10.96.1.0")
    assert (plan.dynamic_band.first, plan.dynamic_band.last) == ("10.96.1.1", "10.111.255.254")


def test_seed_example_holds_four_nodes() -> None:
    cluster = Cluster(cluster_cidr="100.12.24.0/22", service_cidr="10.233.0.0/18")
    plan = address_plan(lay_out(cluster))
    assert plan.max_nodes == 4
    assert [node.pod_cidr for node in plan.nodes] == [f"100.12.{n}.0/24" for n in (24, 25, 26)]
    assert plan.service_addresses == 16382


@given(st.integers(1, 65535), st.integers(0, 65534))
def test_bands_of_node_ports_cover_the_range_once(first: int, more: int) -> None:
    last = min(first + more, 65535)
    plan = address_plan(lay_out(Cluster(node_port_range=(first, last))))
    static, dynamic = plan.static_port_band, plan.dynamic_port_band
    assert static.size + dynamic.size == plan.node_ports == last - first + 1
    assert (static.first or dynamic.first, dynamic.last) == (first, last)
    assert dynamic.first == (static.last or first - 1) + 1


def test_the_default_node_ports_have_a_static_band_of_86() -> None:
    plan = address_plan(lay_out(Cluster()))
    assert asdict(plan.static_port_band) == {"first": 30000, "last": 30085, "size": 86}
    assert asdict(plan.dynamic_port_band) == {"first": 30086, "last": 32767, "size": 2682}
    small = address_plan(lay_out(Cluster(node_port_range=(30000, 30009))))
    assert asdict(small.static_port_band) == {"first": None, "last": None, "size": 0}


@given(st.integers(8, 30))
def test_bands_cover_the_usable_service_addresses_once(prefix: int) -> None:
    cluster = Cluster(service_cidr=f"172.0.0.0/{prefix}")
    plan = address_plan(lay_out(cluster))
    network = IPv4Network(cluster.service_cidr)
    assert plan.static_band.size + plan.dynamic_band.size == plan.service_addresses
    assert plan.dynamic_band.last == str(network[-2])
    first = plan.static_band.first or plan.dynamic_band.first
    assert first == plan.kubernetes_service_ip == str(network[1])
    if plan.static_band.last and plan.dynamic_band.first:
        assert IPv4Address(plan.static_band.last) + 1 == IPv4Address(plan.dynamic_band.first)


def test_the_smallest_node_has_one_pod() -> None:
    node = address_plan(lay_out(Cluster(node_mask=30, pods_per_node=1))).nodes[0]
    assert (node.first, node.last, node.usable_pods) == ("10.244.0.2", "10.244.0.2", 1)


@pytest.mark.parametrize(
    ("ipam", "says"),
    [
        (HostLocal(), ["2^8 = 256 nodes", "less the gateway's 10.244.0.1: 253 pods"]),
        (Blocks(), ["2^10 = 1024 blocks", "64 pods", "a block's ends are given out too"]),
        (Blocks(tunnel=True), ["2^6 = 64", "less the tunnel's 10.244.0.0: 63 pods"]),
        (
            ClusterPool(),
            ["2^8 = 256 nodes", "less the router's", " and the health's", ": 252 pods"],
        ),
    ],
)
def test_the_arithmetic_ends_in_the_plan_s_figures(ipam: Ipam, says: list[str]) -> None:
    layout = lay_out(Cluster(nodes=2), ipam)
    plan = address_plan(layout)
    _, _, _, nodes, pods = explain(layout)
    text = " ".join((*nodes.says, *pods.says))
    for words in says:
        assert words in text
    assert f"{plan.nodes[0].usable_pods} pods" in text


@given(st.integers(8, 24), st.integers(0, 6), st.integers(12, 28))
def test_the_arithmetic_holds_for_any_cidr(length: int, more: int, services: int) -> None:
    cluster = Cluster(
        nodes=1,
        pods_per_node=1,
        cluster_cidr=f"10.0.0.0/{length}",
        node_mask=length + more,
        service_cidr=f"172.16.0.0/{services}",
    )
    layout = lay_out(cluster)
    plan = address_plan(layout)
    underlay, service, _, nodes, pods = explain(layout)
    assert underlay.says[1].endswith(": 253 nodes")
    assert nodes.says[0].endswith(f"= {plan.max_nodes} nodes")
    assert f": {plan.nodes[0].usable_pods} pods" in pods.says[2]
    assert service.says[1].endswith(f": {plan.service_addresses}")
    for step in (underlay, nodes, pods, service):
        for one in step.digits:
            network = IPv4Network(one.address)
            digits = one.binary.replace(" ", "").replace(".", "")
            assert int(digits, 2) == int(network.network_address)


def test_blocks_of_one_node_are_counted_together() -> None:
    *_, pods = explain(lay_out(Cluster(nodes=1, pods_per_node=70), Blocks(tunnel=True)))
    assert pods.what == "The 2 blocks of /26 of node-1"
    assert "2 blocks: 128" in pods.says
    assert pods.says[2].startswith("less the tunnel's 10.244.0.0: 127 pods, from 10.244.0.1 to ")


def test_nodes_are_told_in_the_order_of_their_cidrs_each_with_its_number() -> None:
    nodes = [Node("a", pod_cidr="10.0.3.0/24"), Node("b"), Node("c", pod_cidr="10.0.9.0/25")]
    layout = lay_out(Cluster(nodes=nodes, cluster_cidr="10.0.0.0/20"))
    told = explain(layout)[3].digits
    assert [one.what for one in told] == ["0: b", "3: a", "c", "15: the last"]
    assert told[1].binary == "00001010.00000000.0000 0011. 00000000"
    many = explain(lay_out(Cluster(nodes=256, underlay="192.168.0.0/22", pods_per_node=0)))[3]
    assert many.says[1] == "of the nodes' 256 the first 3 and the last 3:"
    assert [one.what for one in many.digits][2:] == [
        "2: node-3",
        "253: node-254",
        "254: node-255",
        "255: node-256",
    ]


def test_the_arithmetic_is_of_both_families() -> None:
    services = ("10.96.0.0/28", "fd96::/120")
    cluster = Cluster(cluster_cidr=DUAL, service_cidr=services, node_port_range=(30000, 30009))
    steps = {step.what: step for step in explain(lay_out(cluster))}
    small, large = steps["The service CIDR 10.96.0.0/28"], steps["The service CIDR fd96::/120"]
    assert "no band for those who name one: 16 addresses are 16 or fewer" in small.says
    assert "min(max(16, 256/16), 256) = 16 at the start" in large.says[2]
    assert large.digits[0].binary == "…:0000000000000000:00000000 00010000"
    assert steps["The NodePorts"].says[1].endswith("10 ports are 16 or fewer")
    assert "2^64 = 18446744073709551616" in steps["The underlay fd30::/64"].says[0]
    assert "IPv6 has no broadcast" in steps["The pod CIDR fd44::/64 of node-1"].says[3]
