"""The figures of a cluster's address plan."""

from dataclasses import asdict
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Cluster
from netlab.topology.addresses import address_plan, static_band_size
from netlab.topology.explained import explain
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.ipam.host_local import HostLocal
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.layout import lay_out

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
    }
    assert (data["underlay"], data["usable_pods"]) == (("192.168.0.0/24",), 3 * 253)


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


@pytest.mark.parametrize(
    ("cidr", "size"),
    [  # the examples of Kubernetes' documentation, "Service ClusterIP allocation"; then the edges
        ("10.96.0.0/24", 16),
        ("10.96.0.0/20", 256),
        ("10.96.0.0/16", 256),
        ("10.96.0.0/23", 32),
        ("10.96.0.0/27", 16),
        ("10.96.0.0/28", 0),
        ("10.96.0.0/30", 0),
    ],
)
def test_static_band(cidr: str, size: int) -> None:
    assert static_band_size(IPv4Network(cidr)) == size


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
        (Blocks(), ["2^10 = 1024 blocks", "64 pods"]),
        (
            ClusterPool(),
            ["2^8 = 256 nodes", "less the router's", " and the health's", ": 252 pods"],
        ),
    ],
)
def test_the_arithmetic_ends_in_the_plan_s_figures(ipam: Ipam, says: list[str]) -> None:
    layout = lay_out(Cluster(nodes=2), ipam)
    plan = address_plan(layout)
    nodes, pods, *_ = explain(layout)
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
    nodes, pods, service, _ = explain(layout)
    assert nodes.says[0].endswith(f"= {plan.max_nodes} nodes")
    assert f": {plan.nodes[0].usable_pods} pods" in pods.says[-1]
    assert service.says[1].endswith(f": {plan.service_addresses}")
    for step in (nodes, pods, service):
        for one in step.digits:
            network = IPv4Network(one.address)
            digits = one.binary.replace(" ", "").replace(".", "")
            assert int(digits, 2) == int(network.network_address)
