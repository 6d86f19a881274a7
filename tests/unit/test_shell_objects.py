"""Every kind of device, every form of route, rule and neighbour in the words of `ip`."""

import pytest

from netlab.errors import BadInput
from netlab.plan.links import (
    Bridge,
    Dummy,
    Ifb,
    Ipip,
    Link,
    Loopback,
    Macvlan,
    Other,
    Port,
    Tun,
    Veth,
    Vxlan,
    Wireguard,
    WireguardPeer,
)
from netlab.plan.routing import (
    DEFAULT_RULES,
    Address,
    Encap,
    FdbEntry,
    Neighbour,
    NextHop,
    Route,
    Rule,
    route,
)
from netlab.plan.rulesets import NftTable
from netlab.plan.shell import render
from netlab.plan.types import Namespace, Object, Plan
from tests.unit.plans import LINK_TYPES, space_with
from tests.unit.scripts import check_syntax, script_with, section

DEVICES: list[tuple[Link, str]] = [
    (Bridge(name="x"), "link add name x mtu 1500 txqueuelen 1000 type bridge"),
    (
        Bridge(name="x", stp=True, ageing_time=0, vlan_filtering=True, mcast_snooping=False),
        "type bridge ageing_time 0 stp_state 1 vlan_filtering 1 mcast_snooping 0",
    ),
    (
        Vxlan(name="x", mac="02:00:00:00:00:01", vni=1, local="10.0.0.1", device="eth0"),
        "link add name x address 02:00:00:00:00:01 mtu 1500 txqueuelen 1000 type vxlan id 1 "
        "dstport 8472 local 10.0.0.1 dev eth0 learning",
    ),
    (
        Vxlan(name="x", external=True, learning=False, port=8473, ttl=9, gbp=True),
        "type vxlan external dstport 8473 nolearning ttl 9 gbp",
    ),
    (
        Vxlan(
            name="x", vni=2, remote="fd30::2", tos=4, ageing=9, l3miss=True, udp_csum=False, df=1
        ),
        "type vxlan id 2 dstport 8472 remote fd30::2 learning tos 0x4 ageing 9 l3miss noudpcsum "
        "df set",
    ),
    (
        Vxlan(name="x", vni=2, udp6_zero_csum_tx=True, udp6_zero_csum_rx=True),
        "type vxlan id 2 dstport 8472 learning udp6zerocsumtx udp6zerocsumrx",
    ),
    (Tun(name="x", mtu=1472, txqlen=500), "tuntap add dev x mode tun"),
    (Tun(name="x", mode="tap", multi_queue=True), "tuntap add dev x mode tap multi_queue"),
    (
        Tun(name="x", packet_info=True, vnet_header=True),
        "tuntap add dev x mode tun pi vnet_hdr",
    ),
    (
        Ipip(name="x", mtu=1480, local="10.0.0.1"),
        "link add name x mtu 1480 txqueuelen 1000 type ipip local 10.0.0.1",
    ),
    (
        Ipip(name="x", remote="10.0.0.2", device="eth0", ttl=64, pmtudisc=False, external=True),
        "type ipip remote 10.0.0.2 dev eth0 ttl 64 nopmtudisc external",
    ),
    (Wireguard(name="x"), "link add name x mtu 1420 txqueuelen 1000 type wireguard"),
    (Dummy(name="x"), "link add name x mtu 1500 txqueuelen 1000 type dummy"),
    (Ifb(name="x", txqlen=32), "link add name x mtu 1500 txqueuelen 32 type ifb"),
    (
        Macvlan(name="x", device="eth0", mode="private"),
        "link add link eth0 name x mtu 1500 txqueuelen 1000 type macvlan mode private",
    ),
]


def lines_of(*objects: Object) -> list[str]:
    text = script_with(*objects)
    check_syntax(text)
    return text.splitlines()


@pytest.mark.parametrize(("link", "words"), DEVICES, ids=lambda value: getattr(value, "kind", ""))
def test_each_kind_of_device(link: Link, words: str) -> None:
    lines = lines_of(link)
    [made] = [line for line in lines if line.startswith(("link add", "tuntap add"))]
    assert made == words if words.startswith(("link", "tuntap")) else made.endswith(f" {words}")
    assert "link set dev x up" in lines


def test_every_kind_of_the_plan_is_among_them() -> None:
    """Veths are cables, loopback is there; a kind that is added must be added here."""
    assert {type(link) for link, _ in DEVICES} == {*LINK_TYPES} - {Veth, Loopback, Other}


def test_a_kind_that_no_command_makes_is_refused_and_not_left_out() -> None:
    with pytest.raises(BadInput, match="The device x is of a kind that a script of ip commands"):
        script_with(Other(name="x", type="gre"))


def test_what_a_device_is_given_once_it_is_there() -> None:
    lines = lines_of(
        Tun(name="t", mtu=1472, txqlen=500),
        Dummy(name="d", up=False, arp=False),
        Dummy(
            name="p",
            master="b",
            bridge_port=Port(hairpin=True, learning=False, state=1, isolated=True),
        ),
        Bridge(name="b"),
    )
    assert "link set dev t mtu 1472 txqueuelen 500" in lines
    assert "link set dev d arp off" in lines
    assert "link set dev d up" not in lines
    assert "link set dev p type bridge_slave hairpin on learning off isolated on state 1" in lines
    assert lines.index("link set dev b up") < lines.index("link set dev p master b")
    assert not any(line.startswith("link set dev t arp") for line in lines)


def test_wireguard_s_keys_are_given_by_wg() -> None:
    peer = WireguardPeer(
        public_key="PUBLIC=",
        endpoint="10.0.0.2:51820",
        allowed_ips=("10.244.1.0/24", "fd44::/64"),
        keepalive=25,
        preshared_key="SHARED=",
    )
    assert "PrivateKey" not in script_with(Wireguard(name="wg0")), "wg takes no empty one"
    device = Wireguard(
        name="wg0", private_key="PRIVATE=", listen_port=51820, fwmark=7, peers=(peer,)
    )
    text = script_with(device)
    check_syntax(text)
    assert "bridge unshare wg; do" in text
    start = text.index("ip netns exec a wg setconf wg0 /dev/stdin <<'END'\n")
    assert text[start:].split("END\n")[0].splitlines()[1:] == [
        "[Interface]",
        "ListenPort = 51820",
        "PrivateKey = PRIVATE=",
        "FwMark = 7",
        "[Peer]",
        "PublicKey = PUBLIC=",
        "PresharedKey = SHARED=",
        "Endpoint = 10.0.0.2:51820",
        "AllowedIPs = 10.244.1.0/24, fd44::/64",
        "PersistentKeepalive = 25",
    ]


@pytest.mark.parametrize(
    ("link", "made"),
    [
        (
            Macvlan(name="m", device="eth0", link_netns="b"),
            ["link add link eth0 name m netns a mtu 1500 txqueuelen 1000 type macvlan mode bridge"],
        ),
        (
            Wireguard(name="w", link_netns="b"),
            ["link add name w netns a mtu 1420 txqueuelen 1000 type wireguard"],
        ),
        (Tun(name="t", link_netns="b"), ["tuntap add dev t mode tun", "link set dev t netns a"]),
    ],
    ids=["macvlan", "wireguard", "tun"],
)
def test_a_device_whose_parent_or_socket_is_elsewhere_is_made_there(
    link: Link, made: list[str]
) -> None:
    text = render(Plan("x", (), {"a": space_with(link), "b": Namespace("b", "node")}), "")
    check_syntax(text)
    assert f"ip -n b -batch - <<'END'\n{made[0]}\n" in section(text, "The other devices")
    assert all(line in text.splitlines() for line in made)


def test_a_device_comes_after_its_parent_in_another_namespace() -> None:
    child, parent = Macvlan(name="m", device="br9", link_netns="b"), Bridge(name="br9")
    for first, second in (("a", "b"), ("b", "a")):
        spaces = {first: Namespace(first, "node"), second: Namespace(second, "node")}
        spaces["a"].links, spaces["b"].links = [child], [parent]
        text = render(Plan("x", (), spaces), "")
        assert text.index("name br9 ") < text.index("link add link br9 name m ")


HOP_1 = NextHop(link="eth0", gateway="10.0.0.1")
HOP_2 = NextHop(link="eth1", gateway="10.0.1.1", weight=3, onlink=True)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (route("0.0.0.0/0", "eth0", "10.0.0.1"), "default via 10.0.0.1 dev eth0"),
        (route("::/0", "eth0", "fd30::1"), "::/0 via fd30::1 dev eth0 metric 1024"),
        (route("10.1.0.0/24", "eth0"), "10.1.0.0/24 dev eth0"),
        (
            route("10.2.0.0/24", "eth0", "10.0.0.9", onlink=True, metric=50),
            "10.2.0.0/24 via 10.0.0.9 dev eth0 onlink metric 50",
        ),
        (
            route("10.2.0.0/24", "eth0", "10.0.0.9", table=100, protocol="bird"),
            "10.2.0.0/24 via 10.0.0.9 dev eth0 table 100 proto bird",
        ),
        (
            route("10.2.0.0/24", "eth0", "10.0.0.9", source="10.0.0.2", mtu=1400),
            "10.2.0.0/24 via 10.0.0.9 dev eth0 src 10.0.0.2 mtu 1400",
        ),
        (Route(destination="10.2.0.0/24", type="blackhole"), "blackhole 10.2.0.0/24"),
        (
            Route(destination="fd44::/64", type="unreachable", metric=1024),
            "unreachable fd44::/64 metric 1024",
        ),
        (
            Route(destination="10.2.0.0/24", next_hops=(HOP_1, HOP_2)),
            "10.2.0.0/24 nexthop via 10.0.0.1 dev eth0 weight 1 "
            "nexthop via 10.0.1.1 dev eth1 onlink weight 3",
        ),
        (route("10.2.0.0/24", "eth0", "fe80::1"), "10.2.0.0/24 via inet6 fe80::1 dev eth0"),
        (
            Route(
                destination="10.2.0.0/24",
                next_hops=(NextHop(link="v", encap=Encap(id=7, destination="10.0.0.2", ttl=64)),),
                scope="link",
            ),
            "10.2.0.0/24 encap ip id 7 dst 10.0.0.2 ttl 64 dev v",
        ),
        (
            Route(
                destination="fd44::/64",
                next_hops=(
                    NextHop(link="v", encap=Encap(destination="fd30::2", source="fd30::1")),
                ),
            ),
            "fd44::/64 encap ip6 id 0 dst fd30::2 src fd30::1 dev v",
        ),
        (
            Route(destination="10.2.0.0/24", next_hops=(HOP_1,), tos=8),
            "10.2.0.0/24 via 10.0.0.1 dev eth0 tos 0x8",
        ),
        (
            Route(
                destination="10.2.0.1/32",
                type="local",
                next_hops=(NextHop(link="lo"),),
                table=9,
                scope="host",
            ),
            "local 10.2.0.1/32 dev lo table 9",
        ),
        (
            Route(destination="10.2.0.0/24", next_hops=(NextHop(link="eth0"),)),
            "10.2.0.0/24 dev eth0 scope global",
        ),
        (
            Route(destination="10.2.0.0/24", next_hops=(HOP_1,), scope="site"),
            "10.2.0.0/24 via 10.0.0.1 dev eth0 scope site",
        ),
    ],
    ids=str,
)
def test_routes_in_every_form(item: Route, words: str) -> None:
    assert f"route add {words}" in lines_of(item)


def test_connected_routes_come_with_their_addresses() -> None:
    address = Address("eth0", "10.1.0.1/24")
    made = route("10.1.0.0/24", "eth0", protocol="kernel", source="10.1.0.1")
    assert not any(line.startswith("route add") for line in lines_of(address, made))
    cilium = route("10.1.0.7/32", "lxc1", protocol="kernel")  # which says so of its own routes
    assert "route add 10.1.0.7/32 dev lxc1 proto kernel" in lines_of(address, made, cilium)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Address("eth0", "10.1.0.1/24"), "10.1.0.1/24 brd + dev eth0"),
        (Address("eth0", "10.1.0.1/32"), "10.1.0.1/32 dev eth0"),
        (Address("eth0", "fd44::1/64", nodad=True), "fd44::1/64 dev eth0 nodad"),
        (
            Address("eth0", "fe80::1/64", scope="link", nodad=True),
            "fe80::1/64 dev eth0 scope link nodad",
        ),
    ],
    ids=str,
)
def test_addresses_of_both_families(item: Address, words: str) -> None:
    assert f"addr add {words}" in lines_of(item)


def test_neighbours_and_fdb_entries() -> None:
    mac = "02:00:00:00:00:01"
    lines = lines_of(
        Neighbour("eth0", "10.1.0.2", mac),
        Neighbour("eth0", "fd44::2", mac, state="noarp"),
        Neighbour("eth0", "169.254.1.1", proxy=True),
        Neighbour("eth0", "10.1.0.3", mac, protocol=42),
        FdbEntry("vx", mac, "10.0.0.2"),
        FdbEntry("vx", mac, "fd30::2", port=8473, vni=7),
    )
    assert "neigh add 10.1.0.2 lladdr 02:00:00:00:00:01 dev eth0 nud permanent" in lines
    assert "neigh add fd44::2 lladdr 02:00:00:00:00:01 dev eth0 nud noarp" in lines
    assert "neigh add proxy 169.254.1.1 dev eth0" in lines
    assert f"neigh add 10.1.0.3 lladdr {mac} dev eth0 nud permanent protocol 42" in lines
    assert f"fdb add {mac} dev vx dst 10.0.0.2 self permanent" in lines
    assert f"fdb add {mac} dev vx dst fd30::2 port 8473 vni 7 self permanent" in lines


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            Rule(priority=9, table=2004, fwmark=0x200, fwmask=0xF00),
            "fwmark 0x200/0xf00 lookup 2004",
        ),
        (Rule(priority=9, source="10.0.0.0/8", destination="10.1.0.0/16"), "to 10.1.0.0/16 lookup"),
        (Rule(priority=9, source="10.0.0.0/8"), "pref 9 from 10.0.0.0/8 lookup 254"),
        (
            Rule(priority=9, iif="eth0", oif="eth1", tos=4),
            "from all tos 0x4 iif eth0 oif eth1 lookup",
        ),
        (Rule(priority=9, invert=True, iif="eth0"), "rule add not pref 9 from all iif eth0 lookup"),
        (Rule(priority=9, action="blackhole"), "pref 9 from all blackhole"),
    ],
    ids=str,
)
def test_rules(rule: Rule, words: str) -> None:
    [line] = [line for line in lines_of(rule) if line.startswith("rule ")]
    assert line.startswith("rule add ")
    assert words in line


def test_rules_of_each_family_are_given_to_that_family() -> None:
    text = script_with(Rule(priority=9, table=100), Rule(priority=9, table=100, ipv6=True))
    for family in ("-4", "-6"):
        assert (
            f"ip {family} -n a -batch - <<'END'\nrule add pref 9 from all lookup 100\nEND\n" in text
        )


def test_a_rule_that_every_namespace_has_is_deleted_where_it_is_not_wanted() -> None:
    """Cilium moves the rule of the local table from priority 0 to 100."""
    space = space_with(Rule(priority=100, table=255))
    space.rules = [rule for rule in space.rules if rule != DEFAULT_RULES[0]]
    text = render(Plan("x", (), {"a": space}), "")
    added, deleted = "rule add pref 100 from all lookup 255", "rule del pref 0 from all lookup 255"
    assert f"{added}\n{deleted}\n" in text, "never without one"
    assert "ip -6 -n" not in text
    assert "rule " not in section(script_with(), "a (node)")


def test_a_table_of_rules_is_loaded_by_its_program() -> None:
    text = script_with(NftTable(family="ip", name="t"))
    check_syntax(text)
    assert "for tool in ip bridge unshare nft; do" in text
    assert "ip netns exec a nft -f - <<'END'\ntable ip t {\n" in text
