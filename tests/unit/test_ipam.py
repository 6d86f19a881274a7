"""Where pods' addresses come from: host-local, flannel's etcd, Calico's blocks, Cilium's pool."""

from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Cluster, Node
from netlab.designing import design
from netlab.errors import BadInput
from netlab.topology.addresses import address_plan
from netlab.topology.ipam import Ipam, Lease, Pool, Wish
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.ipam.etcd import CHOICE, EtcdLeases
from netlab.topology.ipam.host_local import HostLocal
from netlab.topology.ipam.node_cidrs import node_cidrs
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.layout import lay_out

IPAMS: list[Ipam] = [HostLocal(), Blocks(), ClusterPool(), EtcdLeases("seed")]
V4 = Pool(ip_network("10.244.0.0/16"), 24)
V6 = Pool(ip_network("fd44::/56"), 64)
HUGE = 10**12


def _name(ipam: Ipam) -> str:
    return type(ipam).__name__


def wishes(*pods: int, given_cidr: str | None = None) -> list[Wish]:
    """One for each number of pods; the first node's CIDR may be given."""
    own = (ip_network(given_cidr),) if given_cidr else ()
    return [Wish(f"node-{n}", count, own if n == 1 else ()) for n, count in enumerate(pods, 1)]


def texts(values: object) -> list[str]:
    assert isinstance(values, tuple | list)
    return [str(value) for value in values]


@st.composite
def pools(draw: st.DrawFn) -> tuple[Pool, list[int]]:
    """A pool of either family, and how many pods each of its nodes wants."""
    ipv6 = draw(st.booleans())
    bits = 128 if ipv6 else 32
    mask = bits - draw(st.integers(3, 10))
    prefix = mask - draw(st.integers(2, 6))
    network = ip_network(("fd44::" if ipv6 else "10.0.0.0", prefix))
    room = 2 ** (bits - mask) - 4  # what all of them can give
    counts = draw(st.lists(st.integers(0, min(room, 70)), min_size=1, max_size=3))
    return Pool(network, mask), counts


@pytest.mark.parametrize("ipam", IPAMS, ids=_name)
@given(pools())
def test_no_address_is_given_twice_or_outside_of_its_node(
    ipam: Ipam, pool_and_counts: tuple[Pool, list[int]]
) -> None:
    pool, counts = pool_and_counts
    if isinstance(ipam, Blocks):
        # So small a pool would be one block of the usual size.
        ipam = Blocks((pool.node_mask, pool.node_mask))
    leases = ipam.assign(pool, wishes(*counts))
    assert [len(lease.pods) for lease in leases] == counts
    cidrs = [cidr for lease in leases for cidr in lease.cidrs]
    assert all(cidr[0] in pool.network and cidr[-1] in pool.network for cidr in cidrs)
    assert not any(a.overlaps(b) for a, b in combinations(cidrs, 2))
    for lease in leases:
        _check(lease, pool, whole_block=isinstance(ipam, Blocks))
    assert ipam.assign(pool, wishes(*counts)) == leases, "a plan is a value"


def _check(lease: Lease, pool: Pool, *, whole_block: bool) -> None:
    own = [address for _, address in lease.reserved]
    taken = [*lease.pods, *own]
    assert len(set(taken)) == len(taken)
    assert all(any(address in cidr for cidr in lease.cidrs) for address in taken)
    assert lease.gateway not in lease.pods
    assert {address.version for address in taken} <= {pool.network.version}
    if not whole_block:
        [cidr] = lease.cidrs
        assert cidr.prefixlen == pool.node_mask
        assert cidr[0] not in taken
        assert lease.gateway in cidr
        if pool.network.version == 4:
            assert cidr[-1] not in taken


def test_host_local_counts_up_from_behind_the_gateway() -> None:
    [first, second] = HostLocal().assign(V4, wishes(3, 1))
    assert texts(first.cidrs) == ["10.244.0.0/24"]
    assert str(first.gateway) == "10.244.0.1"
    assert texts(first.pods) == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]
    assert texts(second.pods) == ["10.244.1.2"]
    [first, second] = HostLocal().assign(V6, wishes(2, 1))
    assert (str(first.gateway), texts(first.pods)) == ("fd44::1", ["fd44::2", "fd44::3"])
    assert texts(second.pods) == ["fd44:0:0:1::2"]


@pytest.mark.parametrize(
    ("cidr", "last", "count"), [("10.0.0.0/29", "10.0.0.6", 5), ("fd44::/125", "fd44::7", 6)]
)
def test_host_local_ends_where_the_plugin_does(cidr: str, last: str, count: int) -> None:
    """IPv4 has a broadcast address; the last one of IPv6 is given out."""
    pool = Pool(ip_network(cidr), ip_network(cidr).prefixlen)
    assert str(HostLocal().assign(pool, wishes(count))[0].pods[-1]) == last
    with pytest.raises(BadInput, match=f"of node-1 holds {count} pods, not {count + 1}"):
        HostLocal().assign(pool, wishes(count + 1))


def test_a_node_has_as_many_blocks_as_its_pods_fill() -> None:
    """A block of Calico is a /26: 64 pods, its first and last address too."""
    none, one, full, two = Blocks().assign(V4, wishes(0, 1, 64, 65))
    assert texts(none.cidrs) == ["10.244.0.0/26"], "a node without pods has a block all the same"
    assert none.pods == ()
    assert texts(one.pods) == ["10.244.0.64"]
    assert (str(full.pods[0]), str(full.pods[-1])) == ("10.244.0.128", "10.244.0.191")
    assert texts(two.cidrs) == ["10.244.0.192/26", "10.244.64.192/26"]
    assert str(two.pods[-1]) == "10.244.64.192"


@pytest.mark.parametrize("pool", [V4, V6], ids=str)
@given(st.lists(st.integers(0, 256), min_size=1, max_size=8), st.data())
def test_what_a_node_has_stays_when_others_come_and_pods_do(
    pool: Pool, counts: list[int], data: st.DataObject
) -> None:
    """Of every IPAM; of blocks up to four a node."""
    fewer = [data.draw(st.integers(0, count)) for count in counts]
    fewer = fewer[: data.draw(st.integers(1, len(fewer)))]
    for ipam in (HostLocal(), Blocks(), Blocks(tunnel=True), ClusterPool()):
        limit = 252 if isinstance(ipam, ClusterPool | HostLocal) else 255
        small = ipam.assign(pool, wishes(*(min(count, limit) for count in fewer)))
        large = ipam.assign(pool, wishes(*(min(count, limit) for count in counts)))
        for before, after in zip(small, large[: len(small)], strict=True):
            assert after.cidrs[: len(before.cidrs)] == before.cidrs
            assert after.pods[: len(before.pods)] == before.pods
            assert (after.gateway, after.reserved) == (before.gateway, before.reserved)


def test_more_blocks_than_fit_into_quarters_come_one_after_the_other() -> None:
    two, one = Blocks().assign(V4, wishes(257, 1))
    assert texts(two.cidrs)[-1] == "10.244.1.0/26"
    assert texts(one.cidrs) == ["10.244.1.64/26"]
    small = Pool(ip_network("10.0.0.0/24"), 24)
    two, one = Blocks().assign(small, wishes(65, 1))
    assert texts([*two.cidrs, *one.cidrs]) == ["10.0.0.0/26", "10.0.0.64/26", "10.0.0.128/26"]


def test_gateways_of_blocks_are_no_addresses_of_the_pool() -> None:
    for pool, gateway, block in (
        (V4, "169.254.1.1", "10.244.0.0/26"),
        (V6, "fe80::ecee:eeff:feee:eeee", "fd44::/122"),
    ):
        [lease] = Blocks().assign(pool, wishes(64))
        assert (str(lease.gateway), texts(lease.cidrs)) == (gateway, [block])
        assert lease.pods[0] == lease.cidrs[0][0]
        assert lease.pods[-1] == lease.cidrs[0][-1]


def test_blocks_end_exactly_where_the_pool_does() -> None:
    small = Pool(ip_network("10.0.0.0/24"), 24)
    assert str(Blocks().assign(small, wishes(64, 64, 65))[-1].cidrs[-1]) == "10.0.0.192/26"
    for too_many in (wishes(65, 65, 1), wishes(0, 0, 0, 0, 0), wishes(HUGE)):
        with pytest.raises(BadInput, match=r"10\.0\.0\.0/24 holds 4 blocks of /26, not the \d+"):
            Blocks().assign(small, too_many)


def test_a_pool_smaller_than_a_block_is_one_block() -> None:
    [lease] = Blocks().assign(Pool(ip_network("10.0.0.0/28"), 28), wishes(16))
    assert texts(lease.cidrs) == ["10.0.0.0/28"]


def test_blocks_that_were_given_are_the_nodes_and_others_are_cut_around_them() -> None:
    first, second = Blocks().assign(V4, wishes(65, 1, given_cidr="10.244.0.0/26"))
    assert texts(first.cidrs) == ["10.244.0.0/26", "10.244.0.64/26"]
    assert texts(second.cidrs) == ["10.244.0.128/26"]
    with pytest.raises(BadInput, match=r"block 10\.9\.0\.0/26 of node-1 is outside"):
        Blocks().assign(V4, wishes(1, given_cidr="10.9.0.0/26"))
    tunnels = Blocks(tunnel=True, tunnels=("10.244.0.9",))
    [lease] = tunnels.assign(V4, wishes(2))
    assert texts((lease.reserved[0][1], *lease.pods)) == ["10.244.0.9", "10.244.0.0", "10.244.0.1"]
    with pytest.raises(BadInput, match=r"10\.9\.0\.9 is in no block"):
        Blocks(tunnel=True, tunnels=("10.9.0.9",)).assign(V4, wishes(1))


@pytest.mark.parametrize(
    ("ipam", "given", "pods"),
    [
        (HostLocal(), "10.244.0.3", ["10.244.0.2", "10.244.0.3", "10.244.0.4"]),
        (Blocks(), "10.244.9.1", ["10.244.9.0", "10.244.9.1", "10.244.9.2"]),
    ],
)
def test_addresses_that_pods_were_given_are_theirs(ipam: Ipam, given: str, pods: list[str]) -> None:
    [lease] = ipam.assign(V4, [Wish("node-1", 3, fixed=((1, ip_address(given)),))])
    assert texts(lease.pods) == pods


@pytest.mark.parametrize("ipam", IPAMS, ids=lambda ipam: type(ipam).__name__)
def test_what_is_given_to_two_pods_or_lies_outside_is_refused(ipam: Ipam) -> None:
    [lease] = ipam.assign(V4, [Wish("node-1", 3)])
    twice = tuple((number, lease.pods[1]) for number in range(2))
    outside = ((0, ip_address("10.9.9.9")),)
    own = tuple((0, ip) for _, ip in lease.reserved[:1]) or ((0, lease.gateway),)
    for fixed, why in ((twice, "which another pod has"), (outside, "not in its pod CIDR")):
        with pytest.raises(BadInput, match=why):
            ipam.assign(V4, [Wish("node-1", 3, (lease.cidrs[0],), fixed)])
    if isinstance(ipam, ClusterPool):
        ipam = ClusterPool(routers=(str(lease.reserved[0][1]),))
    if not isinstance(ipam, Blocks):
        with pytest.raises(BadInput, match="the node's own"):
            ipam.assign(V4, [Wish("node-1", 3, (lease.cidrs[0],), own)])
    [around] = ipam.assign(V4, [Wish("node-1", 3, (lease.cidrs[0],), ((2, lease.pods[0]),))])
    assert len({*around.pods, *(ip for _, ip in around.reserved)}) == 3 + len(around.reserved)


def test_the_pool_draws_repeatably_and_keeps_addresses_for_the_agent() -> None:
    [lease] = ClusterPool().assign(V4, wishes(252))
    assert [name for name, _ in lease.reserved] == ["router", "health"]
    assert lease.gateway == lease.reserved[0][1]
    everything = {*lease.pods, *(address for _, address in lease.reserved)}
    assert everything == set(lease.cidrs[0].hosts()), "all 254, .1 too"
    assert ClusterPool().assign(V4, wishes(252)) == [lease]
    assert ClusterPool("other").assign(V4, wishes(252)) != [lease]
    with pytest.raises(BadInput, match="of node-1 holds 252 pods, not 253"):
        ClusterPool().assign(V4, wishes(253))


def test_without_health_checking_a_node_holds_a_pod_more() -> None:
    [lease] = ClusterPool(checking=False).assign(V4, wishes(253))
    assert [name for name, _ in lease.reserved] == ["router"]
    with pytest.raises(BadInput, match="of node-1 holds 253 pods, not 254"):
        ClusterPool(checking=False).assign(V4, wishes(254))


def test_the_pool_s_addresses_do_not_move_when_pods_are_added() -> None:
    [few], [many] = (ClusterPool().assign(V6, wishes(count)) for count in (3, 9))
    assert many.pods[:3] == few.pods
    assert many.reserved == few.reserved
    assert list(few.pods) != sorted(few.pods), "drawn, not counted"


def test_node_cidrs_are_cut_upwards_around_those_that_are_given() -> None:
    cidrs = node_cidrs(V4, wishes(0, 0, 0, given_cidr="10.244.1.0/24"))
    assert texts(cidrs) == ["10.244.1.0/24", "10.244.0.0/24", "10.244.2.0/24"]
    wide = node_cidrs(V4, wishes(0, 0, 0, given_cidr="10.244.0.0/23"))
    assert texts(wide) == ["10.244.0.0/23", "10.244.2.0/24", "10.244.3.0/24"]
    assert texts(node_cidrs(V6, wishes(0, 0))) == ["fd44::/64", "fd44:0:0:1::/64"]


def test_node_cidrs_of_one_family_leave_the_other_alone() -> None:
    assert texts(node_cidrs(V6, wishes(0, given_cidr="10.244.1.0/24"))) == ["fd44::/64"]


@pytest.mark.parametrize(
    ("pool", "given_cidr", "sentence"),
    [
        (V4, "10.1.0.0/24", "outside the cluster 10.244.0.0/16"),
        (V4, "10.0.0.0/8", "outside the cluster 10.244.0.0/16"),
        (V4, "10.244.0.0/31", "too small; use a /30 or wider"),
        (V6, "fd45::/64", "outside the cluster fd44::/56"),
        (V6, "fd44::/127", "too small; use a /126 or wider"),
    ],
)
def test_given_cidrs_that_cannot_be(pool: Pool, given_cidr: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        node_cidrs(pool, wishes(0, given_cidr=given_cidr))


@pytest.mark.parametrize(
    ("ipam", "usable", "ends"),
    [
        (HostLocal(), 253, ("10.244.0.2", "10.244.0.254")),
        (Blocks(), 128, ("10.244.0.0", "10.244.64.63")),
        (Blocks(tunnel=True), 127, ("10.244.0.1", "10.244.64.63")),
        (ClusterPool(), 252, ("10.244.0.1", "10.244.0.254")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_address_plan_tells_what_pods_can_get(
    ipam: Ipam, usable: int, ends: tuple[str, str]
) -> None:
    layout = lay_out(Cluster(nodes=1, pods_per_node=65), ipam)
    [node] = address_plan(layout).nodes
    assert (node.usable_pods, (node.first, node.last)) == (usable, ends)
    first, last = map(ip_address, ends)
    assert all(int(first) <= int(pod.address) <= int(last) for pod in layout.pods)


@pytest.mark.parametrize("ipam", IPAMS, ids=_name)
def test_counts_are_compared_with_the_capacity_before_anything_is_made(ipam: Ipam) -> None:
    cluster = Cluster(
        nodes=[Node(pods=HUGE)], cluster_cidr="10.0.0.0/8", service_cidr="172.16.0.0/16"
    )
    with pytest.raises(BadInput, match="holds"):
        lay_out(cluster, ipam)


@given(st.text(), st.integers(1, 200))
def test_etcd_leases_one_of_the_first_hundred_free_subnets_and_never_the_first(
    seed: str, nodes: int
) -> None:
    """The second is SubnetMin, the last SubnetMax; nodes come one after another."""
    leases = EtcdLeases(seed).assign(V4, wishes(*[1] * nodes))
    free = [str(cidr) for cidr in V4.network.subnets(new_prefix=24)][1:]
    for lease in leases:
        [cidr] = texts(lease.cidrs)
        assert cidr in free[:CHOICE]
        free.remove(cidr)
        assert (lease.gateway, lease.pods[0]) == (lease.cidrs[0][1], lease.cidrs[0][2])
    assert EtcdLeases(seed).assign(V4, wishes(*[1] * (nodes + 1)))[:nodes] == leases


def test_etcd_draws_each_family_apart_and_anew_for_each_seed() -> None:
    four, six = (EtcdLeases("a").assign(pool, wishes(*[1] * 20)) for pool in (V4, V6))
    numbers = [
        [(int(lease.cidrs[0][0]) - int(pool.network[0])) >> bits for lease in leases]
        for pool, bits, leases in ((V4, 8, four), (V6, 64, six))
    ]
    assert numbers[0] != numbers[1]
    assert sorted(numbers[0]) != numbers[0], "not in order, as podCIDRs are"
    assert EtcdLeases("b").assign(V4, wishes(*[1] * 20)) != four


def test_every_subnet_but_the_first_is_leased() -> None:
    pool = Pool(ip_network("10.0.0.0/24"), 28)
    leases = EtcdLeases("").assign(pool, wishes(*[1] * 15))
    assert {lease.cidrs[0] for lease in leases} == set(pool.network.subnets(new_prefix=28)) - {
        ip_network("10.0.0.0/28")
    }
    with pytest.raises(BadInput, match=r"holds 15 nodes of /28, not 16, as the first subnet is"):
        EtcdLeases("").assign(pool, wishes(*[1] * 16))


def test_a_cidr_that_was_given_is_a_reservation() -> None:
    for seed in "abcdefgh":
        first, *others = EtcdLeases(seed).assign(V4, wishes(*[1] * 40, given_cidr="10.244.9.0/24"))
        assert texts(first.cidrs) == ["10.244.9.0/24"]
        assert "10.244.9.0/24" not in [texts(lease.cidrs)[0] for lease in others]


@pytest.mark.parametrize("cidr", ["10.244.0.0/24", "10.244.8.0/25", "10.244.8.0/23"])
def test_a_reservation_is_one_that_flannel_would_take(cidr: str) -> None:
    with pytest.raises(BadInput, match=rf"The pod CIDR {cidr} of node-1 is none that flannel"):
        EtcdLeases("").assign(V4, wishes(1, given_cidr=cidr))


def test_flannel_does_not_start_with_fewer_than_four_subnets() -> None:
    with pytest.raises(BadInput, match=r"fewer than four subnets of /25.*node mask of /26"):
        EtcdLeases("").assign(Pool(ip_network("10.0.0.0/24"), 25), wishes(1))


def test_the_room_for_nodes_is_less_by_the_first_subnet() -> None:
    assert address_plan(lay_out(Cluster(), EtcdLeases(""))).max_nodes == 255
    assert address_plan(lay_out(Cluster())).max_nodes == 256


def test_cilium_has_a_pool_of_its_own() -> None:
    layout = design("cilium-cluster-pool", {}).layout
    assert [str(node.pod_cidr) for node in layout.nodes] == [f"10.0.{k}.0/24" for k in range(3)]
    options = {"dataplane.pool": "10.1.0.0/16", "dataplane.pool_mask_size": 26}
    other = design("cilium-cluster-pool", options).layout
    assert [str(node.pod_cidr) for node in other.nodes][1:] == ["10.1.0.64/26", "10.1.0.128/26"]


@pytest.mark.parametrize(
    ("topology", "options", "words"),
    [
        ("cilium-vxlan", {"dataplane.pool": "10.1.0.0/16"}, "no effect with ipam_mode kubernetes"),
        (
            "cilium-cluster-pool",
            {"cluster_cidr": "10.1.0.0/16"},
            "cluster_cidr '10.1.0.0/16' has no effect, as nodes get their pod CIDRs from the",
        ),
        ("cilium-vxlan", {"dataplane.ipam_mode": "cluster-pool"}, r"10.0.0.0/8.*overlap"),
        ("cilium-cluster-pool", {"dataplane.pool": "10.1.0.0/23"}, "holds 2 nodes of /24, not 3"),
        (
            "cilium-vxlan",
            {"dataplane.health": ("10.244.0.9",), "dataplane.health_checking": False},
            "health has no effect with health_checking off",
        ),
    ],
)
def test_an_option_of_cilium_s_that_would_do_nothing(
    topology: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        design(topology, options)
