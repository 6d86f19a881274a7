"""Flannel's IPIP and WireGuard: what nodes hold, the keys, and what is refused."""

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import BadInput, Cluster, Node, Unmet, dataplane, flannel
from netlab.dataplane import make
from netlab.designing import design
from netlab.plan import headers, wireguard
from netlab.plan.diff import Change
from netlab.plan.headers import BARE, Stack
from netlab.plan.links import Ipip, Wireguard, WireguardPeer
from netlab.plan.routing import Address, route
from netlab.plan.types import Plan
from netlab.topology.layout import lay_out
from tests.unit import plans
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS, plan_of

PSK = base64.b64encode(bytes(range(32))).decode()
PUBLIC6 = {**DUAL_STACK, "underlay": ["192.168.0.0/24", "2001:db8::/64"]}


def device(plan: Plan, node: str = "node-1", name: str = "flannel-wg") -> Wireguard:
    link = plan.namespaces[node].link(name)
    assert isinstance(link, Wireguard)
    return link


def endpoints(plan: Plan, node: str = "node-1", name: str = "flannel-wg") -> list[str | None]:
    return [peer.endpoint for peer in device(plan, node, name).peers]


def refusal(dataplane: flannel.Flannel, **fields: Any) -> str:
    with pytest.raises(BadInput) as caught:
        design(Cluster(dataplane=dataplane, **fields), {})
    return str(caught.value)


def test_ipip_has_one_device_and_the_nodes_as_gateways_on_it() -> None:
    plan = plan_of("flannel-ipip")
    node = plan.namespaces["node-2"]
    assert node.link("flannel.ipip") == Ipip(
        name="flannel.ipip", mtu=1480, txqlen=0, local="192.168.0.2", pmtudisc=False
    )
    assert Address("flannel.ipip", "10.244.1.0/32") in node.addresses
    for pods, gateway in (("10.244.0.0/24", "192.168.0.1"), ("10.244.2.0/24", "192.168.0.3")):
        assert route(pods, "flannel.ipip", gateway, onlink=True) in node.routes
    assert {item.mtu for item in plan.attachments} == {1480}
    assert not node.neighbours + node.fdb
    assert "ipip" in plan.requires


def test_ipip_goes_bare_to_its_own_subnet_where_it_is_told_to() -> None:
    layout = plans.layout_of(underlay=TWO_SUBNETS)
    first, second, third = layout.nodes
    ipip = make("flannel-ipip", {"direct_routing": True})
    assert ipip.headers(layout, first, third, False) == BARE
    outer = headers.ip("192.168.1.1", "192.168.2.1")
    assert ipip.headers(layout, first, second, False) == Stack((outer,))
    node = plan_of("flannel-ipip", {"direct_routing": True}, underlay=TWO_SUBNETS).namespaces[
        "node-1"
    ]
    assert route("10.244.2.0/24", "eth0", "192.168.1.2", onlink=True) in node.routes
    assert route("10.244.1.0/24", "flannel.ipip", "192.168.2.1", onlink=True) in node.routes
    assert ipip.pod_mtu(layout) == 1480, "as if all were tunnelled"


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
def test_what_crosses_whole_is_what_the_tunnel_leaves(mtu: int) -> None:
    layout = plans.layout_of(underlay_mtu=mtu)
    first, second, _ = layout.nodes
    for name, overhead in (("flannel-ipip", 20), ("flannel-wireguard", 80)):
        dataplane = make(name)
        assert dataplane.path_mtu(layout, first, second, False) == mtu - overhead
        assert dataplane.headers(layout, first, second, False).size <= overhead


def test_ipip_carries_ipv4_only() -> None:
    assert "carries IPv4 only" in refusal(flannel.Ipip(), **DUAL_STACK)


def test_wireguard_routes_the_cluster_network_and_its_peers_tell_whose() -> None:
    plan = plan_of("flannel-wireguard")
    node = plan.namespaces["node-1"]
    link = device(plan)
    assert (link.mtu, link.txqlen, link.listen_port) == (1420, 0, 51820)
    assert [(peer.endpoint, peer.allowed_ips) for peer in link.peers] == [
        ("192.168.0.2:51820", ("10.244.1.0/24",)),
        ("192.168.0.3:51820", ("10.244.2.0/24",)),
    ]
    assert Address("flannel-wg", "10.244.0.0/32") in node.addresses
    [own] = [way for way in node.routes if way.link == "flannel-wg"]
    assert own == route("10.244.0.0/16", "flannel-wg")
    assert own.scope == "link"


def test_each_knows_the_others_by_the_public_keys_of_their_private_ones() -> None:
    plan = plan_of("flannel-wireguard", nodes=4)
    names = [f"node-{number}" for number in range(1, 5)]
    public = {name: wireguard.public_key(device(plan, name).private_key) for name in names}
    assert len(set(public.values())) == 4
    for name in names:
        known = [peer.public_key for peer in device(plan, name).peers]
        assert known == [public[other] for other in names if other != name]


def test_keys_follow_from_the_seed() -> None:
    one, again, other = (
        device(plan_of("flannel-wireguard", options)).private_key
        for options in ({}, {}, {"seed": "other"})
    )
    assert one == again != other


def test_a_public_key_is_that_of_wg_pubkey() -> None:
    private = "SF4l5uYU1JQ/7+qFhImXXJyuxWg3eGH+zVjsu0x/ZlU="
    assert wireguard.public_key(private) == "edtMRFlXCOfARCX+Jnu66vvhhgGrww/aTWXkAmdPhgY="


@given(st.text())
def test_a_private_key_is_clamped_as_the_kernel_would(owner: str) -> None:
    key = base64.b64decode(wireguard.private_key(owner))
    assert len(key) == 32
    assert (key[0] & 7, key[31] & 0xC0) == (0, 0x40)
    assert wireguard.is_key(wireguard.private_key(owner))


@pytest.mark.parametrize("text", ["", "x", PSK[:-1], PSK + "A", "é" * 44, PSK.replace("A", "*")])
def test_what_is_no_key_is_told(text: str) -> None:
    assert not wireguard.is_key(text)


def test_without_the_library_it_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    wireguard.public_key.cache_clear()
    for module in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Unmet, match=r"take the Python package cryptography.*wireguard\]'") as error:
        design("flannel-wireguard", {})
    assert error.value.exit_code == 3
    with pytest.raises(Unmet):
        dataplane.needs(flannel.Wireguard, ())
    assert design("flannel-ipip", {}).plan, "what takes no keys does not miss it"


def test_both_families_have_a_tunnel_each_with_one_key() -> None:
    plan = plan_of("flannel-wireguard", **DUAL_STACK)
    four, six = device(plan), device(plan, name="flannel-wg-v6")
    assert four.private_key == six.private_key
    assert (four.listen_port, six.listen_port) == (51820, 51821)
    assert endpoints(plan, name="flannel-wg-v6") == ["[fd30::2]:51821", "[fd30::3]:51821"]
    assert six.peers[0].allowed_ips == ("fd44:0:0:1::/64",)
    routes = plan.namespaces["node-1"].routes
    assert route("fd44::/56", "flannel-wg-v6") in routes
    assert route("10.244.0.0/16", "flannel-wg") in routes


@pytest.mark.parametrize(
    ("mode", "fields", "endpoint"),
    [
        ("ipv4", DUAL_STACK, "192.168.0.2:51820"),
        ("ipv6", DUAL_STACK, "[fd30::2]:51820"),
        ("auto", DUAL_STACK, "192.168.0.2:51820"),
        ("auto", PUBLIC6, "[2001:db8::2]:51820"),
        (
            "auto",
            {**DUAL_STACK, "underlay": ["198.51.100.0/24", "2001:db8::/64"]},
            "198.51.100.2:51820",
        ),
    ],
)
def test_one_tunnel_for_both_families(mode: str, fields: dict[str, Any], endpoint: str) -> None:
    over6 = endpoint.startswith("[")
    options = {"mode": mode, **({"listen_port_v6": 51820} if over6 else {})}
    plan = plan_of("flannel-wireguard", options, **fields)
    assert [link.name for link in plan.namespaces["node-1"].links if link.kind == "wireguard"] == [
        "flannel-wg"
    ]
    assert device(plan).peers[0].endpoint == endpoint
    assert device(plan).peers[0].allowed_ips == ("10.244.1.0/24", "fd44:0:0:1::/64")
    assert {way.link for way in plan.namespaces["node-1"].routes if "flannel" in way.link} == {
        "flannel-wg"
    }
    chosen, layout = make("flannel-wireguard", options), plans.layout_of(**fields)
    for ipv6 in (False, True):
        stack = chosen.headers(layout, *layout.nodes[:2], ipv6)
        assert isinstance(stack.headers[0], headers.Ip6) is over6
        assert stack.headers[1:] == (headers.Udp(51820), headers.Wireguard())
        assert stack.size == (80 if over6 else 60)


def test_what_flannel_announces_and_nobody_listens_on_is_refused_or_shown() -> None:
    said = "Flannel announces UDP port 51821 for IPv6, but with one tunnel for both families"
    for mode, fields in (("ipv6", DUAL_STACK), ("auto", PUBLIC6)):
        assert said in refusal(flannel.Wireguard(mode=mode), **fields)
    forced = design(Cluster(dataplane=flannel.Wireguard(mode="ipv6"), **DUAL_STACK), {}, force=True)
    first, second, _ = forced.layout.nodes
    reason = forced.dataplane.unreachable(forced.layout, first, second)
    assert reason == "nobody listens on UDP port 51821 of node-2"
    separate = make("flannel-wireguard")
    assert separate.unreachable(forced.layout, first, second) is None


@pytest.mark.parametrize(
    ("options", "fields", "words"),
    [
        ({"mode": "ipv4"}, {}, "The option mode has no effect where the cluster has no IPv6"),
        ({"listen_port_v6": 7}, {}, "The option listen_port_v6 has no effect where the cluster"),
        (
            {"mode": "ipv4", "listen_port_v6": 7},
            DUAL_STACK,
            "The option listen_port_v6 has no effect where all nodes are reached by IPv4",
        ),
        ({"listen_port_v6": 51820}, DUAL_STACK, "cannot both listen on 51820"),
        ({"listen_port": 0}, {}, "The UDP port 0 must lie between 1 and 65535"),
        ({"psk": "short"}, {}, "The PSK 'short' is not 32 bytes in base64"),
        ({"persistent_keepalive_interval": 65536}, {}, "must lie between 0 and 65535 seconds"),
        ({"mtu": 1359}, DUAL_STACK, "use 1360 or more"),
        (
            {"mode": "auto"},
            {
                **DUAL_STACK,
                "underlay": [
                    "192.168.0.0/24",
                    "198.51.100.0/24",
                    "2001:db8::/64",
                    "2001:db8:1::/64",
                ],
            },
            "node-1 and node-2 speak to each other by different families",
        ),
    ],
)
def test_options_that_cannot_be(
    options: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    assert words in refusal(flannel.Wireguard(**options), **fields)


def test_psk_and_keepalive_are_every_peer_s_and_the_mtu_is_the_device_s() -> None:
    options = {"psk": PSK, "persistent_keepalive_interval": 25, "mtu": 1600, "listen_port": 7}
    link = device(plan_of("flannel-wireguard", options))
    assert {(peer.preshared_key, peer.keepalive) for peer in link.peers} == {(PSK, 25)}
    assert (link.mtu, link.listen_port) == (1520, 7)
    layout = plans.layout_of()
    chosen = make("flannel-wireguard", options)
    assert chosen.path_mtu(layout, *layout.nodes[:2], False) == 1520, "it may be in fragments"


def test_two_peers_of_one_network_are_as_the_kernel_has_them() -> None:
    """A network is one peer's: that of the last who was given it."""
    nodes = [Node(), Node(pod_cidr="10.244.7.0/24"), Node(pod_cidr="10.244.7.0/24")]
    chosen = flannel.Wireguard()
    forced = design(Cluster(nodes=nodes, dataplane=chosen), {}, force=True).plan
    assert [peer.allowed_ips for peer in device(forced).peers] == [(), ("10.244.7.0/24",)]


def test_leases_of_etcd_are_an_option_of_all_backends() -> None:
    for name in ("flannel-vxlan", "flannel-host-gw", "flannel-udp", "flannel-ipip"):
        chosen = make(name, {"subnet_manager": "etcd"})
        layout = lay_out(Cluster(), chosen.allocator())
        assert layout.node("node-1").pod_cidr[0] != layout.cluster_cidr[0]
        assert list(chosen.validate(layout)) == []
    said = "The option seed has no effect where nothing is drawn"
    assert said in refusal(flannel.Vxlan(seed="x"))
    drawn = [
        design(Cluster(dataplane=flannel.Vxlan(subnet_manager="etcd", seed=seed)), {}).layout
        for seed in ("a", "b", "a")
    ]
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_peer_s_secrets_are_not_in_what_differs() -> None:
    peer = WireguardPeer(public_key="P", preshared_key=PSK)
    want = Wireguard(name="wg0", private_key="SECRET=", peers=(peer,))
    have = Wireguard(name="wg0", peers=(WireguardPeer(public_key="P"),))
    said = str(Change("a", want, have))
    assert said == (
        "a: link wg0: private key differs, peers is public key P, not public key P preshared key "
        "given"
    )
