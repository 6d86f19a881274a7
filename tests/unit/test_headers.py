"""Header stacks: what they say of themselves, and how one is compared with what was seen."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.plan.headers import (
    BARE,
    Ether,
    Geneve,
    Header,
    Ip,
    Ip6,
    Other,
    Stack,
    Udp,
    Vxlan,
    Wireguard,
    ip,
)

FRAME = Ether("aa", "bb")
INNER = Ether("cc", "dd")
OUTER = ip("192.168.0.1", "192.168.0.2", 64)
OUTER6 = ip("fd30::1", "fd30::2", 64)
POD = ip("10.244.0.2", "10.244.1.2", 63)
VXLAN = FRAME / OUTER / Udp(8472) / Vxlan(1) / INNER / POD
CASES = {
    "bare": (FRAME / POD, "bare", "aa > bb 10.244.0.2 > 10.244.1.2 ttl 63"),
    "vxlan": (
        VXLAN,
        "VXLAN, VNI 1, UDP 8472",
        "192.168.0.1 > 192.168.0.2 UDP 8472 VNI 1, inner cc > dd 10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "vxlan over IPv6": (
        FRAME / OUTER6 / Udp(8472) / Vxlan(1) / INNER / POD,
        "VXLAN, VNI 1, UDP 8472, over IPv6",
        "fd30::1 > fd30::2 UDP 8472 VNI 1, inner cc > dd 10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "ipip": (
        FRAME / OUTER / POD,
        "IPIP",
        "192.168.0.1 > 192.168.0.2 IPIP, inner 10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "IP in IPv6": (
        FRAME / OUTER6 / POD,
        "IP in IPv6",
        "fd30::1 > fd30::2 IP in IPv6, inner 10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "flannel udp": (
        FRAME / OUTER / Udp(8285) / POD,
        "IP in UDP 8285",
        "192.168.0.1 > 192.168.0.2 UDP 8285, inner 10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "geneve": (
        FRAME / OUTER / Udp(6081) / Geneve(7) / INNER / POD,
        "GENEVE, VNI 7, UDP 6081",
        "192.168.0.1 > 192.168.0.2 UDP 6081 GENEVE VNI 7, inner cc > dd "
        "10.244.0.2 > 10.244.1.2 ttl 63",
    ),
    "wireguard": (
        FRAME / OUTER / Udp(51820) / Wireguard(96),
        "WireGuard, UDP 51820",
        "192.168.0.1 > 192.168.0.2 UDP 51820, WireGuard data: encrypted packet of 96 bytes, its "
        "addresses cannot be read",
    ),
    "wireguard over IPv6": (
        FRAME / OUTER6 / Udp(51821) / Wireguard(),
        "WireGuard, UDP 51821, over IPv6",
        "fd30::1 > fd30::2 UDP 51821, WireGuard data: encrypted packet, its addresses cannot be "
        "read",
    ),
    "plain udp": (
        FRAME / OUTER / Udp(53) / Other("unknown payload"),
        "unknown payload, UDP 53",
        "192.168.0.1 > 192.168.0.2 UDP 53, inner unknown payload",
    ),
    "arp": (FRAME / Other("ARP"), "ARP", "aa > bb ARP"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stack_says_what_it_is(name: str) -> None:
    stack, form, line = CASES[name]
    assert (stack.form, str(stack)) == (form, line)


def test_sizes_are_what_tunnels_take_off_the_mtu() -> None:
    overhead = OUTER / Udp(8472) / Vxlan(1) / INNER
    assert overhead.size == 50
    assert (OUTER6 / Udp(8472) / Vxlan(1) / INNER).size == 70
    assert Stack((OUTER,)).size == 20
    assert (OUTER / Udp(8285)).size == 28
    assert (OUTER / Udp(51820) / Wireguard(96)).size == 60
    assert (OUTER6 / Udp(51820) / Wireguard(96)).size == 80
    assert BARE.size == 0
    assert not BARE
    assert FRAME / BARE / POD == FRAME / POD


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (FRAME / POD, ["bare, not VXLAN, VNI 1, UDP 8472"]),
        (FRAME / OUTER / Udp(4789) / Vxlan(1) / INNER / POD, ["UDP port 4789, not 8472"]),
        (
            FRAME / ip("192.168.0.1", "192.168.0.3") / Udp(8472) / Vxlan(2) / INNER / POD,
            [
                "outer addresses 192.168.0.1 > 192.168.0.3, not 192.168.0.1 > 192.168.0.2",
                "outer ttl None, not 64",
                "VNI 2, not 1",
            ],
        ),
        (
            FRAME
            / OUTER
            / Udp(8472)
            / Vxlan(1)
            / Ether("cc", "ee")
            / ip("1.1.1.1", POD.destination, 64),
            [
                "inner frame cc > ee, not cc > dd",
                "packet 1.1.1.1 > 10.244.1.2, not 10.244.0.2 > 10.244.1.2",
                "ttl 64, not 63",
            ],
        ),
        (Ether("aa", "ff") / Stack(VXLAN.headers[1:]), ["frame aa > ff, not aa > bb"]),
        (
            FRAME / OUTER / Udp(8472) / Geneve(1) / INNER / POD,
            ["GENEVE, VNI 1, UDP 8472, not VXLAN, VNI 1, UDP 8472"],
        ),
        (FRAME / Other("802.1Q") / POD, ["802.1Q, not VXLAN, VNI 1, UDP 8472"]),
        (VXLAN, []),
    ],
)
def test_differences_are_named_layer_by_layer(seen: Stack, words: list[str]) -> None:
    assert list(VXLAN.differences(seen)) == words
    assert VXLAN.matches(seen) is (not words)


def test_of_one_form_the_layers_are_named() -> None:
    wanted, seen = FRAME / Ip6("a::1", "a::2"), FRAME / Ip("1.1.1.1", "1.1.1.2")
    assert list(wanted.differences(seen)) == ["Ethernet / IP, not Ethernet / IPv6"]


def test_what_is_not_said_matches_anything() -> None:
    loose = Ether() / ip("192.168.0.1", None) / Udp() / Vxlan() / Ether(None, "dd") / Ip()
    assert loose.matches(VXLAN)
    assert list((Ether() / ip("1.1.1.1")).differences(FRAME / POD)) == [
        "packet 10.244.0.2 > 10.244.1.2, not 1.1.1.1 > any"
    ]


TEXTS = st.none() | st.sampled_from(["a", "b"])
NUMBERS = st.none() | st.integers(0, 2)
HEADERS: st.SearchStrategy[Header] = st.one_of(
    st.builds(Ether, TEXTS, TEXTS),
    st.builds(Ip, TEXTS, TEXTS, NUMBERS),
    st.builds(Ip6, TEXTS, TEXTS, NUMBERS),
    st.builds(Udp, NUMBERS),
    st.builds(Vxlan, NUMBERS),
    st.builds(Geneve, NUMBERS),
    st.builds(Wireguard, NUMBERS),
    st.builds(Other, st.sampled_from(["ARP", "ESP"])),
)
STACKS = st.lists(HEADERS, max_size=7).map(lambda items: Stack(tuple(items)))


@given(STACKS, STACKS)
def test_any_stack_has_words_and_matches_itself(one: Stack, other: Stack) -> None:
    assert one.matches(one)
    assert one.form
    assert isinstance(str(one), str)
    words = list(one.differences(other))
    assert one.matches(other) is (not words)
    assert all(words)
    same = [type(h) for h in one.headers] == [type(h) for h in other.headers]
    blank = Stack(tuple(type(header)() for header in one.headers))
    assert blank.matches(other) is same or any(isinstance(h, Other) for h in one.headers)


def test_what_is_encrypted_is_known_by_its_length_and_outer_header() -> None:
    wanted = FRAME / OUTER / Udp(51820) / Wireguard()
    assert wanted.sealed
    assert wanted.outer == OUTER
    assert not VXLAN.sealed
    assert BARE.outer is None
    assert wanted.matches(FRAME / OUTER / Udp(51820) / Wireguard(96))
    long = FRAME / OUTER / Udp(51820) / Wireguard(112)
    assert list((FRAME / OUTER / Udp(7) / Wireguard(96)).differences(long)) == [
        "UDP port 51820, not 7",
        "encrypted bytes 112, not 96",
    ]
    assert list(wanted.differences(FRAME / POD)) == ["bare, not WireGuard, UDP 51820"]


def test_headers_are_plain_values() -> None:
    assert msgspec.structs.replace(POD, ttl=64) == ip("10.244.0.2", "10.244.1.2", 64)
    assert hash(VXLAN) == hash(FRAME / OUTER / Udp(8472) / Vxlan(1) / INNER / POD)
    assert Ip("a", "b", 1) != Ip6("a", "b", 1)
