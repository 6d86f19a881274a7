"""Every name and address of a cluster: who gets which, and what is refused."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Cluster, Container, Node, Pod
from netlab.errors import BadInput
from netlab.topology.check import fit
from netlab.topology.cidr import usable_pods
from netlab.topology.layout import Layout, lay_out


def layout(**fields: Any) -> Layout:
    return lay_out(Cluster(**fields))


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Clusters that fit: any node mask, some nodes with a pod CIDR of their own, one family or two.

    The number of subnets of a node's size is the same in both families.
    """
    prefix = draw(st.integers(8, 26))
    mask = draw(st.integers(prefix, min(prefix + 8, 30)))
    cluster_cidr = IPv4Network((10 << 24, prefix))
    capacity = 2 ** (mask - prefix)
    count = draw(st.integers(1, min(capacity, 12)))
    pods = draw(st.integers(0, min(usable_pods(IPv4Network((0, mask))), 6)))
    own = draw(st.sets(st.integers(0, min(capacity, 12) - 1), max_size=count))
    pieces = [str(IPv4Network((int(cluster_cidr[0]) + n * 2 ** (32 - mask), mask))) for n in own]
    given_cidrs: list[Any] = [*pieces, *[None] * (count - len(pieces))]
    underlay = draw(st.sampled_from([["192.168.0.0/24"], ["192.168.0.0/26", "192.168.1.0/26"]]))
    families: dict[str, Any] = {"cluster_cidr": str(cluster_cidr)}
    if draw(st.booleans()):
        wide = draw(st.integers(mask - prefix, 16))
        families = {
            "cluster_cidr": [str(cluster_cidr), f"fd44::/{112 - wide}"],
            "node_mask_ipv6": 112,
        }
        if draw(st.booleans()):
            underlay = [*underlay, *(f"fd30:{n}::/64" for n in range(len(underlay)))]
    return Cluster(
        nodes=[Node(pod_cidr=cidr) for cidr in draw(st.permutations(given_cidrs))],
        pods_per_node=pods,
        node_mask=mask,
        service_cidr="172.16.0.0/16",
        external=draw(st.booleans()),
        underlay=underlay,
        **families,
    )


@given(clusters())
def test_addresses_are_disjoint_and_where_they_belong(cluster: Cluster) -> None:
    result = lay_out(cluster)
    cidrs = [cidr for node in result.nodes for cidr in node.pod_cidrs]
    assert not any(a.overlaps(b) for a, b in combinations(cidrs, 2))
    for node in result.nodes:
        assert tuple(cidr.version for cidr in node.pod_cidrs) == tuple(
            6 if ipv6 else 4 for ipv6 in result.families
        )
        for index, cidr in enumerate(node.pod_cidrs):
            whole, gateway = result.cluster_cidrs[index], node.gateways[index]
            assert cidr[0] in whole
            assert cidr[-1] in whole
            reserved = {cidr[0], gateway} | ({cidr[-1]} if cidr.version == 4 else set())
            addresses = [pod.addresses[index] for pod in node.pods]
            assert all(address in cidr for address in addresses)
            assert not reserved & set(addresses)
            place, net = node.addresses[index], node.subnet.networks[index]
            assert place in net
            assert place not in (net[0], net[-1], node.subnet.gateways[index])
    on_underlay = [ip for node in result.nodes for ip in node.addresses]
    on_underlay += [ip for subnet in result.subnets for ip in subnet.gateways]
    on_underlay += result.external.addresses if result.external else ()
    everything = [ip for pod in result.pods for ip in pod.addresses] + on_underlay
    assert len(everything) == len(set(everything))
    assert lay_out(cluster) == result


@pytest.mark.parametrize(("prefix", "mask"), [(16, 24), (24, 24), (26, 30), (20, 22)])
def test_node_capacity_ends_exactly_where_it_says(prefix: int, mask: int) -> None:
    capacity = 2 ** (mask - prefix)
    fields = {
        "cluster_cidr": f"10.0.0.0/{prefix}",
        "node_mask": mask,
        "pods_per_node": 0,
        "underlay": "192.168.0.0/22",
    }
    nodes = layout(nodes=capacity, **fields).nodes
    assert nodes[-1].pod_cidr[-1] == IPv4Network(f"10.0.0.0/{prefix}")[-1]
    with pytest.raises(BadInput, match=f"holds {capacity} nodes of /{mask}, not {capacity + 1};"):
        layout(nodes=capacity + 1, **fields)


@pytest.mark.parametrize(("mask", "capacity"), [(24, 253), (30, 1), (28, 13)])
def test_pod_capacity_ends_exactly_where_it_says(mask: int, capacity: int) -> None:
    result = layout(nodes=1, pods_per_node=capacity, node_mask=mask)
    assert result.pods[-1].address == result.nodes[0].pod_cidr[-2]
    with pytest.raises(BadInput, match=f"holds {capacity} pods, not {capacity + 1}"):
        layout(nodes=1, pods_per_node=capacity + 1, node_mask=mask)


@pytest.mark.parametrize("external", [True, False])
def test_underlay_capacity_ends_exactly_where_it_says(external: bool) -> None:
    capacity = 5  # of six hosts one is the router, whose address is the last
    fields = {"underlay": "192.168.0.0/29", "external": external, "pods_per_node": 0}
    result = layout(nodes=capacity, **fields)
    assert len({node.address for node in result.nodes}) == capacity
    with pytest.raises(BadInput, match=r"192\.168\.0\.0/29 is too small"):
        layout(nodes=capacity + 1, **fields)


def test_defaults_are_those_of_kubeadm_with_flannel() -> None:
    result = layout()
    assert [str(node.pod_cidr) for node in result.nodes] == [
        "10.244.0.0/24",
        "10.244.1.0/24",
        "10.244.2.0/24",
    ]
    assert [str(node.address) for node in result.nodes] == [f"192.168.0.{n}" for n in (1, 2, 3)]
    first = result.pods[0]
    assert (first.name, str(first.address), first.node) == ("pod-1-1", "10.244.0.2", "node-1")
    assert [(c.name, c.port) for c in first.containers] == [
        ("container-1", 8080),
        ("container-2", 8081),
    ]
    assert result.external is not None
    assert str(result.external.address) == "203.0.113.10"
    assert str(result.external.subnet.gateway) == "203.0.113.1"


@pytest.mark.parametrize(
    ("fields", "addresses"),
    [
        ({"underlay": "203.0.113.0/25"}, ["198.51.100.10"]),
        ({"cluster_cidr": "203.0.0.0/16", "service_cidr": "198.51.100.0/24"}, ["192.0.2.10"]),
        ({"cluster_cidr": ("10.244.0.0/16", "2001:db8::/56")}, ["203.0.113.10", "3fff::a"]),
    ],
)
def test_the_internet_is_a_network_that_the_cluster_does_not_use(
    fields: dict[str, Any], addresses: list[str]
) -> None:
    external = layout(**fields).external
    assert external is not None
    assert [str(ip) for ip in external.addresses] == addresses


def test_local_ports_differ_between_all_containers() -> None:
    ports = [c.local_port for pod in layout(nodes=3, pods_per_node=5).pods for c in pod.containers]
    assert len(ports) == len(set(ports)) == 30


def test_several_subnets_get_a_router_each_and_nodes_in_turn() -> None:
    result = layout(underlay=["192.168.1.0/24", "192.168.2.0/24"])
    assert [str(subnet.gateway) for subnet in result.subnets] == ["192.168.1.254", "192.168.2.254"]
    assert [str(subnet.gateway) for subnet in layout().subnets] == ["192.168.0.254"], (
        "one alone too"
    )
    assert [node.subnet.switch for node in result.nodes] == [
        "underlay-1",
        "underlay-2",
        "underlay-1",
    ]


def test_what_the_topology_says_wins() -> None:
    pods = [Pod("web", (Container("nginx", ("nginx", "-g", "daemon off;")),)), Pod()]
    result = layout(
        nodes=[Node("alpha", pods, "192.168.0.9", "10.244.7.0/24"), Node(pods=0), Node()]
    )
    alpha, second, third = result.nodes
    assert (str(alpha.address), str(alpha.gateway)) == ("192.168.0.9", "10.244.7.1")
    assert [pod.name for pod in alpha.pods] == ["web", "pod-1-2"]
    assert (alpha.pods[0].containers[0].port, alpha.pods[0].containers[0].local_port) == (0, 0)
    assert (second.name, second.pods, str(second.address)) == ("node-2", (), "192.168.0.1")
    assert (len(third.pods), str(third.pod_cidr)) == (2, "10.244.1.0/24")
    assert result.node("alpha") is alpha


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cluster_cidr": "10.244.1.0/16"}, "has host bits set; the network is 10.244.0.0/16"),
        ({"cluster_cidr": "10.244.0.0"}, "lacks its prefix length"),
        ({"cluster_cidr": "ten/8"}, "is not an IPv4 network"),
        ({"service_cidr": "10.244.0.0/20"}, "the service CIDR .* overlap"),
        ({"underlay": "10.96.1.0/24"}, "the underlay subnet .* overlap"),
        ({"service_cidr": "172.16.0.0/31"}, "service CIDR 172.16.0.0/31 is too small"),
        ({"underlay": "192.168.0.0/30"}, "is too small; use a /29"),
        ({"underlay": []}, "at least one IPv4 subnet"),
        ({"node_mask": 15}, "between the cluster CIDR's /16 and /30"),
        ({"node_mask": 31}, "between the cluster CIDR's /16 and /30"),
        ({"underlay_mtu": 575}, "between 576 and 32768"),
        ({"underlay_mtu": 32769}, "between 576 and 32768"),
        ({"node_port_range": (0, 5)}, "NodePort range 0-5"),
        ({"nodes": 0}, "at least one node"),
        ({"nodes": []}, "at least one node"),
        ({"pods_per_node": -1}, "cannot be negative"),
        ({"cluster_cidr": "10.244.0.0/32"}, "CIDR 10.244.0.0/32 is too small; use a /30 or wider"),
        ({"nodes": [Node(pods=-1)]}, "A node cannot have -1 pods"),
        ({"containers": 1921}, "A pod holds 1920 containers, not 1921"),
        ({"cluster_cidr": "0.0.0.0/0"}, "because 0.0.0.0/8 stands for this host"),
        ({"cluster_cidr": "224.0.0.0/4"}, "because 224.0.0.0/4 is for multicast"),
        ({"service_cidr": "127.1.0.0/16"}, "because 127.0.0.0/8 is every host's loopback"),
        ({"underlay": ["192.168.0.0/24", "240.0.0.0/24"]}, "because 240.0.0.0/4 is reserved"),
        ({"nodes": [Node("a"), Node("a")]}, "Two nodes are named 'a'"),
        ({"nodes": [Node(address="192.168.0.1")] * 2}, "have one address, 192.168.0.1"),
        ({"nodes": [Node(address="192.168.9.1")]}, "is not a host address of the underlay"),
        ({"nodes": [Node(address="192.168.0.255")]}, "is not a host address of the underlay"),
        ({"nodes": [Node(address="node")]}, "is not an IPv4 address"),
        ({"nodes": [Node(pod_cidr="10.1.0.0/24")]}, "outside the cluster 10.244.0.0/16"),
        ({"nodes": [Node(pods=0, pod_cidr="10.244.0.0/32")]}, "too small; use a /30"),
        ({"nodes": [Node(pod_cidr="10.244.1.0/24")] * 2}, "overlap"),
        ({"nodes": [Node("a" * 254)]}, "is not a DNS subdomain"),
        ({"nodes": [Node("")]}, "The name '' is not a DNS subdomain"),
        ({"nodes": [Node("a..b")]}, "is not a DNS subdomain"),
        ({"nodes": [Node("Node")]}, "is not a DNS subdomain"),
        ({"nodes": [Node(pods=[Pod("")])]}, "The name '' is not a DNS subdomain"),
        ({"nodes": [Node(pods=[Pod("p", namespace="a.b")])]}, "'a.b' is not a DNS label"),
        ({"nodes": [Node(pods=[Pod("p", namespace="")])]}, "'' is not a DNS label"),
        ({"nodes": [Node("underlay")]}, "Two namespaces of the lab would be named 'underlay'"),
        ({"nodes": [Node("router")]}, "Two namespaces of the lab would be named 'router'"),
        ({"nodes": [Node(address="192.168.0.254")]}, "192.168.0.254 of node-1 is the router's"),
        (
            {
                "underlay": ["203.0.113.0/24", "198.51.100.0/24"],
                "cluster_cidr": "192.0.0.0/16",
            },
            "one of which is to be the internet; leave one free",
        ),
        ({"nodes": [Node(pods=[Pod("node-1")])]}, "Two namespaces .* named 'node-1'"),
        ({"nodes": [Node(pods=[Pod("p", (Container("c"),) * 2)])]}, "Two containers of p"),
        ({"nodes": [Node(pods=[Pod("p", (Container("../c"),))])]}, "is not a DNS label"),
    ],
)
def test_what_cannot_be_is_refused_in_words(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        layout(**fields)


HUGE = 10**12


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"nodes": HUGE}, f"holds 256 nodes of /24, not {HUGE}"),
        ({"nodes": 4_000_000, "cluster_cidr": "10.0.0.0/8", "node_mask": 30}, "for its share of"),
        ({"pods_per_node": HUGE}, f"holds 253 pods, not {HUGE}"),
        ({"nodes": [Node(pods=HUGE)]}, f"holds 253 pods, not {HUGE}"),
        ({"containers": HUGE}, f"holds 1920 containers, not {HUGE}"),
    ],
)
def test_counts_are_compared_with_the_capacity_before_anything_is_made(
    fields: dict[str, Any], sentence: str
) -> None:
    """Else this test would need more memory, and more time, than there is."""
    fields = {"service_cidr": "172.16.0.0/16"} | fields
    with pytest.raises(BadInput, match=sentence):
        layout(**fields)


def test_nodes_are_dealt_to_subnets_of_any_size_until_one_is_full() -> None:
    fields = {"underlay": ["192.168.1.0/24", "192.168.2.0/29"], "pods_per_node": 0}
    assert len(layout(nodes=11, **fields).nodes) == 11  # the sixth of the /29 is the router's
    with pytest.raises(BadInput, match=r"192\.168\.2\.0/29 is too small for its share of 12"):
        layout(nodes=12, **fields)


def test_other_public_networks_are_the_users_business() -> None:
    assert layout(cluster_cidr="100.12.24.0/22").pods


@pytest.mark.parametrize(
    ("make_it", "sentence"),
    [
        (lambda: Cluster(nodes="abc"), "Cluster.nodes is 'abc', not a whole number or a seq"),
        (lambda: Cluster(nodes=None), "Cluster.nodes is None, not a whole number or a sequence of"),
        (lambda: Cluster(nodes=[Node(), "x"]), "Cluster.nodes[1] is 'x', not a Node"),
        (lambda: Cluster(nodes=True), "Cluster.nodes is True, not a whole number or"),
        (lambda: Cluster(pods_per_node="2"), "Cluster.pods_per_node is '2', not a whole number"),
        (lambda: Cluster(containers=None), "Cluster.containers is None, not a whole number"),
        (lambda: Cluster(underlay_mtu=1.5e3), "Cluster.underlay_mtu is 1500.0, not a whole number"),
        (lambda: Cluster(external="no"), "Cluster.external is 'no', not True or False"),
        (lambda: Cluster(service_cidr=5), "Cluster.service_cidr is 5, not a string"),
        (lambda: Cluster(underlay=["10.0.0.0/8", 5]), "Cluster.underlay[1] is 5, not a string"),
        (lambda: Cluster(node_port_range=(1, 2, 3)), "Cluster.node_port_range is (1, 2, 3), not ("),
        (lambda: Node(pods=[1]), "Node.pods[0] is 1, not a Pod"),
        (lambda: Node(address=b"1.2.3.4"), "Node.address is b'1.2.3.4', not a string"),
        (lambda: Pod(7), "Pod.name is 7, not a string"),
        (lambda: Pod(containers=Container("c")), "Pod.containers is Container("),
        (lambda: Container(None), "Container.name is None, not a string"),
        (lambda: Container("c", ("a", 2)), "Container.command[1] is 2, not a string"),
        (
            lambda: Container("c", "sleep 5"),
            "Container.command is a string, 'sleep 5', not a sequence of strings such as "
            "('sleep', '5')",
        ),
    ],
)
def test_what_has_the_wrong_type_is_named(make_it: Callable[[], object], sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}"):
        make_it()


def test_sequences_are_kept_as_tuples() -> None:
    nodes = [Node("a", pods=[Pod("p", [Container("c", ["sleep", "5"])])])]
    cluster = Cluster(nodes=nodes, node_port_range=[1, 2], underlay=["10.0.0.0/24"])
    nodes.append("x")
    assert cluster.nodes == (Node("a", pods=(Pod("p", (Container("c", ("sleep", "5")),)),)),)
    assert (cluster.node_port_range, cluster.underlay) == ((1, 2), ("10.0.0.0/24",))


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "wanted", "error"),
    [
        (1, float, None),
        (True, float, "it is True, not a number"),
        ("b", Literal["a", "b"], None),
        ("c", Literal["a", "b"], "it is 'c', not 'a' or 'b'"),
        ([1, "x"], list[int], "it[1] is 'x', not a whole number"),
        (None, str | None, None),
        (1, str | None, "it is 1, not a string"),
        ("x" * 100, int, f"it is '{'x' * 58}…, not a whole number"),
        (Unshowable(), int, "it is <Unshowable>, not a whole number"),
    ],
)
def test_types_that_a_dataplane_s_options_may_have(
    value: object, wanted: object, error: str | None
) -> None:
    if error is None:
        assert fit(value, wanted, "it") == value
    else:
        with pytest.raises(TypeError, match=f"^{re.escape(error)}$"):
            fit(value, wanted, "it")


@pytest.mark.parametrize(
    "fields",
    [
        {"cluster_cidr": "192.168.0.0/16"},
        {"underlay": "10.244.0.0/16"},
        {"service_cidr": "10.244.0.0/16"},
    ],
)
def test_networks_that_overlap_can_be_forced(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="overlap; use others, or --force"):
        layout(**fields)
    assert len(lay_out(Cluster(**fields), force=True).pods) == 6
