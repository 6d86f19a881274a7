"""A cluster of both address families: who gets which IPv6 address, and what is refused."""

from typing import Any

import pytest

from netlab import Cluster, Node
from netlab.errors import BadInput
from netlab.topology.addresses import address_plan
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout

PAIR = ("10.244.0.0/16", "fd44::/56")
HUGE = 10**12


def layout(**fields: Any) -> Layout:
    return lay_out(Cluster(**{"cluster_cidr": PAIR, **fields}))


def texts(values: Any) -> list[str]:
    return [str(value) for value in values]


def test_every_machine_and_pod_has_an_address_of_each_family_ipv4_first() -> None:
    result = layout(nodes=2, pods_per_node=1)
    assert result.dual_stack
    assert result.families == (False, True)
    first, second = result.nodes
    assert texts(first.addresses) == ["192.168.0.1", "fd30::1"]
    assert texts(second.pod_cidrs) == ["10.244.1.0/24", "fd44:0:0:1::/64"]
    assert texts(second.gateways) == ["10.244.1.1", "fd44:0:0:1::1"]
    assert texts(second.pods[0].addresses) == ["10.244.1.2", "fd44:0:0:1::2"]
    assert str(second.address_of(True)) == "fd30::2"
    assert texts(second.cidrs_of(True)) == ["fd44:0:0:1::/64"]
    assert str(result.cluster_cidr_of(True)) == "fd44::/56"
    [subnet] = result.subnets
    assert texts(subnet.networks) == ["192.168.0.0/24", "fd30::/64"]
    assert texts(subnet.gateways) == ["192.168.0.254", "fd30::ffff:ffff:ffff:fffe"]
    assert result.external is not None
    assert texts(result.external.addresses) == ["203.0.113.10", "2001:db8::a"]


def test_one_cluster_cidr_is_one_family_everywhere() -> None:
    result = layout(cluster_cidr="10.244.0.0/16")
    assert not result.dual_stack
    ips = [ip for item in (*result.nodes, *result.pods) for ip in item.addresses]
    ips += [ip for subnet in result.subnets for ip in subnet.gateways]
    assert {ip.version for ip in ips} == {4}


def test_each_segment_has_a_subnet_of_each_family() -> None:
    given = layout(underlay=["192.168.1.0/24", "fd31::/64", "192.168.2.0/24", "fd32::/64"])
    assert [texts(subnet.networks) for subnet in given.subnets] == [
        ["192.168.1.0/24", "fd31::/64"],
        ["192.168.2.0/24", "fd32::/64"],
    ]
    own = layout(underlay=["192.168.1.0/24", "192.168.2.0/24"])
    assert [str(subnet.networks[1]) for subnet in own.subnets] == ["fd30::/64", "fd30:0:0:1::/64"]
    assert [node.subnet.switch for node in own.nodes] == ["underlay-1", "underlay-2", "underlay-1"]


def test_what_the_topology_says_wins_in_either_family() -> None:
    both = Node(address=["192.168.0.9", "fd30::9"], pod_cidr=["10.244.7.0/24", "fd44:0:0:7::/64"])
    one = Node(address="fd30::8")
    first, second, third = layout(nodes=[both, one, Node()]).nodes
    assert texts(first.addresses) == ["192.168.0.9", "fd30::9"]
    assert texts(first.pod_cidrs) == ["10.244.7.0/24", "fd44:0:0:7::/64"]
    assert texts(second.addresses) == ["192.168.0.1", "fd30::8"]
    assert texts(third.addresses) == ["192.168.0.2", "fd30::1"]
    assert texts(third.pod_cidrs) == ["10.244.1.0/24", "fd44:0:0:1::/64"]


def test_services_may_have_both_families() -> None:
    result = layout(service_cidr=["10.96.0.0/12", "fd96::/112"])
    assert texts(result.service_cidrs) == ["10.96.0.0/12", "fd96::/112"]


def test_the_smaller_family_bounds_the_number_of_nodes() -> None:
    assert address_plan(layout()).max_nodes == 256
    plan = address_plan(layout(cluster_cidr=["10.244.0.0/16", "fd44::/60"]))
    assert plan.max_nodes == 16
    assert plan.cluster_cidrs == ("10.244.0.0/16", "fd44::/60")
    assert plan.nodes[1].pod_cidrs == ("10.244.1.0/24", "fd44:0:0:1::/64")


def test_node_capacity_in_ipv6_ends_exactly_where_it_says() -> None:
    """A /56 holds 256 nodes of /64, as in Kubernetes."""
    fields = {"cluster_cidr": ("10.0.0.0/8", "fd44::/56"), "service_cidr": "172.16.0.0/16"}
    fields |= {"underlay": "192.168.0.0/22"}
    nodes = layout(nodes=256, pods_per_node=0, **fields).nodes
    assert str(nodes[-1].pod_cidrs[1]) == "fd44:0:0:ff::/64"
    with pytest.raises(BadInput, match="fd44::/56 holds 256 nodes of /64, not 257"):
        layout(nodes=257, pods_per_node=0, **fields)


def test_node_masks_are_at_most_16_bits_longer_than_the_cluster_s() -> None:
    """Kubernetes' allocator keeps a bitmap of 2^16 (pkg/controller/nodeipam/ipam/cidrset)."""
    assert layout(cluster_cidr=("10.244.0.0/16", "fd44::/48")).nodes
    with pytest.raises(BadInput, match=r"node mask /64 .* 16 bits longer .* fd44::/40.*use a /48"):
        layout(cluster_cidr=("10.244.0.0/16", "fd44::/40"))
    assert layout(cluster_cidr=("10.244.0.0/16", "fd44::/40"), node_mask_ipv6=56).nodes


def test_ipv6_gives_out_the_last_address() -> None:
    fields = {"cluster_cidr": ("10.244.0.0/16", "fd44::/110"), "node_mask_ipv6": 126}
    result = layout(nodes=1, pods_per_node=2, **fields)
    assert texts(pod.addresses[1] for pod in result.pods) == ["fd44::2", "fd44::3"]
    with pytest.raises(BadInput, match=r"fd44::/126 of node-1 holds 2 pods, not 3"):
        layout(nodes=1, pods_per_node=3, **fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cluster_cidr": ["fd44::/56", "10.244.0.0/16"]}, "one IPv4 network, or an IPv4 and an"),
        ({"cluster_cidr": ["10.1.0.0/16", "10.2.0.0/16"]}, "one IPv4 network, or an IPv4 and an"),
        ({"cluster_cidr": ["fd44::/56", "fd45::/56"]}, "one IPv4 network, or an IPv4 and an IPv6"),
        ({"cluster_cidr": "fd44::/56"}, "cluster CIDR must be one IPv4 network, or"),
        ({"cluster_cidr": [*PAIR, "fd45::/56"]}, "not '10.244.0.0/16,fd44::/56,fd45::/56'"),
        ({"cluster_cidr": []}, "cluster CIDR must be one IPv4 network"),
        ({"service_cidr": ["fd96::/112", "10.96.0.0/12"]}, "service CIDR must be one IPv4 net"),
        ({"service_cidr": ["10.96.0.0/12", "fd96::/127"]}, "fd96::/127 is too small; use a /126"),
        ({"cluster_cidr": "10.1.0.0/16", "underlay": ["192.168.0.0/24", "fd30::/64"]}, "is IPv6, "),
        ({"underlay": ["192.168.1.0/24", "192.168.2.0/24", "fd30::/64"]}, "2 IPv4 subnets and 1 "),
        ({"underlay": ["192.168.1.0/24", "fd30::/64", "fd31::/64"]}, "1 IPv4 subnets and 2 of"),
        ({"underlay": ["fd30::/64"]}, "needs at least one IPv4 subnet"),
        ({"underlay": ["192.168.0.0/24", "fd30::/126"]}, "fd30::/126 is too small; use a /125"),
        ({"underlay_mtu": 1279}, "MTU 1279 must lie between 1280 and 32768 where there is IPv6"),
        (
            {"cluster_cidr": ["10.244.0.0/16", "fd44::1/56"]},
            "host bits set; the network is fd44::/56",
        ),
        ({"cluster_cidr": ["10.244.0.0/16", "fd44::"]}, "lacks its prefix length, as in fd44::/64"),
        (
            {"cluster_cidr": ["10.244.0.0/16", "fd4x::/56"]},
            "is not an IPv6 network such as fd44::/56",
        ),
        ({"cluster_cidr": ["10.244.0.0/16", "fe80::/56"]}, "because fe80::/10 is for link-local"),
        ({"cluster_cidr": ["10.244.0.0/16", "ff00::/56"]}, "because ff00::/8 is for multicast"),
        ({"cluster_cidr": ["10.244.0.0/16", "::/56"]}, "because ::/8 holds the loopback"),
        ({"cluster_cidr": ["10.244.0.0/16", "fd30::/56"]}, "underlay subnet fd30::/64 .* overlap"),
        ({"service_cidr": ["10.96.0.0/12", "fd44::/112"]}, "service CIDR .fd44::/112. overlap"),
        ({"node_mask_ipv6": 48}, "node mask /48 must lie between the cluster CIDR's /56 and /126"),
        ({"node_mask_ipv6": 127}, "node mask /127 must lie between the cluster CIDR's /56 and"),
        ({"nodes": HUGE}, "holds 256 nodes"),
        ({"nodes": [Node(address="fd30::zz")]}, "'fd30::zz' is not an IPv6 address"),
        ({"nodes": [Node(address="fd31::1")]}, "fd31::1 of node-1 is not a host address"),
        ({"nodes": [Node(address="fd30::")]}, "fd30:: of node-1 is not a host address"),
        ({"nodes": [Node(address="fd30::ffff:ffff:ffff:fffe")]}, "of node-1 is the router's"),
        ({"nodes": [Node(address=("192.168.0.5", "fd30::5"))] * 2}, "have one address"),
        (
            {"nodes": [Node(pod_cidr=["10.244.0.0/24", "fd45::/64"])]},
            "outside the cluster fd44::/56",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as error:
        layout(**fields)
    assert str(error.value).endswith(".")


def test_addresses_of_one_node_are_on_one_segment() -> None:
    underlay = ["192.168.1.0/24", "192.168.2.0/24", "fd31::/64", "fd32::/64"]
    node = Node(address=("192.168.1.7", "fd32::7"))
    with pytest.raises(BadInput, match="addresses of node-1 are on different segments"):
        layout(nodes=[node], underlay=underlay)


def test_a_pod_cidr_of_a_family_that_the_cluster_has_not() -> None:
    node = Node(pod_cidr=["10.244.0.0/24", "fd44::/64"])
    with pytest.raises(BadInput, match="fd44::/64 of node-1 is of a family the cluster has not"):
        layout(cluster_cidr="10.244.0.0/16", nodes=[node])


def test_two_addresses_of_one_family_are_refused() -> None:
    """Not silently taken for the first of them."""
    with pytest.raises(BadInput, match="one of each family"):
        layout(nodes=[Node(address=("192.168.0.5", "192.168.0.6"))])


def test_an_address_of_a_family_that_the_cluster_has_not_is_refused() -> None:
    with pytest.raises(BadInput, match="fd30::5 of node-1 is not a host address of the underlay"):
        layout(cluster_cidr="10.244.0.0/16", nodes=[Node(address=("192.168.0.5", "fd30::5"))])
