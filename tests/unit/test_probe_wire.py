"""Frames taken apart and judged. They are crafted here, as good or bad nodes send them."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from netlab.plan import headers as h
from netlab.plan.headers import Stack
from netlab.plan.probing.actions import CapturedEcho, Device, EchoReply, Sighting, Solicitation
from netlab.plan.probing.check import Verdict
from netlab.plan.probing.evidence import NOTHING, NotOnWire, OnWire, Unresolved
from netlab.probe.engines import sealed
from netlab.probe.engines.capture import Captured
from netlab.probe.engines.decode import decode
from netlab.probe.engines.solicitations import solicitations
from netlab.probe.engines.wire import carrying, unresolved

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
VTEP_A, VTEP_B = "02:00:00:00:01:0a", "02:00:00:00:01:0b"
POD_A, POD_B = "10.244.0.2", "10.244.1.2"
NODE_A, NODE_B = "192.168.0.1", "192.168.0.2"
COOKIE = b"netlabXX\0\0\0\1"
PORT_A, PORT_B = ("underlay", "node-1"), ("underlay", "node-2")
PORT_C = ("underlay", "node-3")
POD = h.ip(POD_A, POD_B, 63)
OUTER = h.ip(NODE_A, NODE_B)
WANT_VXLAN = h.Ether(A, B) / OUTER / h.Udp(8472) / h.Vxlan(1) / h.Ether(VTEP_A, VTEP_B) / POD
WANT_BARE = h.Ether(A, B) / POD
ECHO = CapturedEcho("pod-1-1", POD_B)
REPLIED = EchoReply(0.001, 62)


def packet(ttl: int = 63, kind: int = 8) -> Any:
    return IP(src=POD_A, dst=POD_B, ttl=ttl) / ICMP(type=kind, id=7, seq=1) / COOKIE


def packet6(kind: Any = ICMPv6EchoRequest) -> Any:
    return IPv6(src="fd44::2", dst="fd44:0:0:1::2", hlim=63) / kind(id=7, seq=1, data=COOKIE)


def bare(ttl: int = 63, kind: int = 8) -> bytes:
    return bytes(Ether(src=A, dst=B) / packet(ttl, kind))


def around(*inner: Any, port: int = 8472, target: str = NODE_B) -> bytes:
    """What is given, in UDP between the nodes."""
    layers = Ether(src=A, dst=B) / IP(src=NODE_A, dst=target) / UDP(sport=40000, dport=port)
    for layer in inner:
        layers = layers / layer
    return bytes(layers)


def vxlan(
    port: int = 8472, vni: int = 1, target: str = NODE_B, ttl: int = 63, kind: int = 8
) -> bytes:
    frame = Ether(src=VTEP_A, dst=VTEP_B) / packet(ttl, kind)
    return around(VXLAN(vni=vni, flags=8), frame, port=port, target=target)


def form(frame: bytes) -> str:
    return decode(frame).form


def captured(device: Device, frame: bytes) -> Captured:
    return Captured(*device, "in", frame)


def judge(
    expectation: Any,
    frames: list[tuple[Device, bytes]],
    lost: dict[str, str] | None = None,
    reply: EchoReply = REPLIED,
) -> Verdict:
    seen = [(device, decode(frame)) for device, frame in frames]
    verdict: Verdict = expectation.judge(ECHO, Sighting(reply, seen, (), lost or {}))
    return verdict


def at_both(want: Stack) -> OnWire:
    return OnWire({PORT_A: want, PORT_B: want})


def test_a_vxlan_frame_is_decoded_to_the_pods_header() -> None:
    seen = decode(vxlan())
    assert WANT_VXLAN.matches(seen)
    assert str(seen) == (
        f"192.168.0.1 > 192.168.0.2 UDP 8472 VNI 1, inner {VTEP_A} > {VTEP_B} "
        "10.244.0.2 > 10.244.1.2 ttl 63"
    )


@pytest.mark.parametrize("port", [4789, 8472, 9999])
def test_what_is_in_udp_is_recognised_on_any_port(port: int) -> None:
    assert form(vxlan(port)) == f"VXLAN, VNI 1, UDP {port}"
    inner = Ether(src=VTEP_A, dst=VTEP_B) / packet()
    assert (
        form(around(GENEVE(vni=5, proto=0x6558), inner, port=port)) == f"GENEVE, VNI 5, UDP {port}"
    )
    assert form(around(packet(), port=port)) == f"IP in UDP {port}"
    assert form(around(packet6(), port=port)) == f"IPv6 in UDP {port}"


def test_a_group_policy_tag_is_vxlan_too() -> None:
    frame = Ether(src=VTEP_A, dst=VTEP_B) / packet()
    assert form(around(VXLAN(vni=1, flags=0x88, gpid=7), frame)) == "VXLAN, VNI 1, UDP 8472"


def test_forms_are_told_apart() -> None:
    assert WANT_BARE.matches(decode(bare()))
    ipip = decode(bytes(Ether(src=A, dst=B) / IP(src=NODE_A, dst=NODE_B) / packet()))
    assert (h.Ether(A, B) / OUTER / POD).matches(ipip)
    assert ipip.form == "IPIP"
    sit = decode(bytes(Ether(src=A, dst=B) / IP(src=NODE_A, dst=NODE_B) / packet6()))
    assert sit.form == "IPv6 in IP"


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (around(b"\0", port=53), "unknown payload, UDP 53"),
        (around(b"\x17" * 48, port=51820), "unknown payload, UDP 51820"),
        (around(b"\4\0\0\0" + bytes(43), port=51820), "unknown payload, UDP 51820"),
        (bytes(Ether(src=A, dst=B) / ARP()), "ARP"),
        (bytes(Ether(src=A, dst=B) / Dot1Q(vlan=5) / packet()), "802.1Q"),
        (bytes(Ether(src=A, dst=B) / IP(src=NODE_A, dst=NODE_B) / TCP()), "TCP"),
    ],
)
def test_a_layer_that_surprises_is_named(frame: bytes, words: str) -> None:
    assert form(frame) == words
    assert not WANT_VXLAN.matches(decode(frame))
    assert list(WANT_VXLAN.differences(decode(frame))) == [f"{words}, not VXLAN, VNI 1, UDP 8472"]


def test_ipv6_is_decoded_within_and_without() -> None:
    pod = h.ip("fd44::2", "fd44:0:0:1::2", 63)
    assert (h.Ether(A, B) / pod).matches(decode(bytes(Ether(src=A, dst=B) / packet6())))
    outer = (
        IPv6(src="fd30::1", dst="fd30::2") / UDP(sport=40000, dport=8472) / VXLAN(vni=1, flags=8)
    )
    frame = Ether(src=A, dst=B) / outer / Ether(src=VTEP_A, dst=VTEP_B) / packet6()
    tunnel = h.ip("fd30::1", "fd30::2") / h.Udp(8472) / h.Vxlan(1) / h.Ether(VTEP_A, VTEP_B)
    assert (h.Ether(A, B) / tunnel / pod).matches(decode(bytes(frame)))


def test_the_right_frame_once_at_either_port_is_right() -> None:
    verdict = judge(at_both(WANT_VXLAN), [(PORT_A, vxlan()), (PORT_B, vxlan())])
    assert verdict.ok
    assert verdict.observed == verdict.expected
    assert verdict.expected == "VXLAN, VNI 1, UDP 8472, once at the port of node-1 and node-2"
    assert verdict.evidence == str(decode(vxlan()))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bare(), "bare, not VXLAN, VNI 1, UDP 8472, at the port of node-1"),
        (vxlan(port=4789), "UDP port 4789, not 8472"),
        (vxlan(vni=2), "VNI 2, not 1"),
        (
            vxlan(target="192.168.0.3"),
            "outer addresses 192.168.0.1 > 192.168.0.3, not 192.168.0.1 > 192.168.0.2 at the port",
        ),
        (vxlan(ttl=64), "ttl 64, not 63 at the port of node-1"),
    ],
)
def test_a_wrong_path_fails_though_the_packet_arrives(frame: bytes, words: str) -> None:
    verdict = judge(at_both(WANT_VXLAN), [(PORT_A, frame), (PORT_B, frame)])
    assert not verdict.ok
    assert words in verdict.observed
    assert verdict.evidence == str(decode(frame))


def test_encapsulation_where_none_should_be_fails() -> None:
    verdict = judge(at_both(WANT_BARE), [(PORT_A, vxlan()), (PORT_B, vxlan())])
    assert "VXLAN, VNI 1, UDP 8472, not bare" in verdict.observed


def test_a_packet_seen_in_both_forms_fails() -> None:
    verdict = judge(at_both(WANT_VXLAN), [(PORT_A, vxlan()), (PORT_A, bare()), (PORT_B, vxlan())])
    assert not verdict.ok
    assert (
        "seen 2 times at the port of node-1 (VXLAN, VNI 1, UDP 8472 and bare)" in verdict.observed
    )


def test_a_packet_not_seen_fails() -> None:
    verdict = judge(at_both(WANT_VXLAN), [(PORT_A, vxlan())])
    assert verdict.observed == "not seen at the port of node-2"


def test_each_port_may_expect_other_macs() -> None:
    inside = Stack(WANT_VXLAN.headers[1:])
    routed = OnWire({PORT_A: h.Ether(A, C) / inside, PORT_B: h.Ether(C, B) / inside})
    verdict = judge(routed, [(PORT_A, vxlan()), (PORT_B, vxlan())])
    assert f"frame {A} > {B}, not {A} > {C} at the port of node-1" in verdict.observed


def test_where_nothing_may_be_seen_anything_fails() -> None:
    good = judge(NotOnWire(), [])
    assert good == (NOTHING, NOTHING, True, NOTHING)
    leaked = judge(NotOnWire(), [(PORT_A, bare())])
    assert leaked.observed == "seen on the underlay at the port of node-1"
    assert leaked.evidence == str(decode(bare()))
    assert not leaked.ok


def test_nothing_is_proved_by_an_echo_that_never_arrived() -> None:
    verdict = judge(NotOnWire(), [], reply=EchoReply(error="no reply in 1.0 s"))
    assert (verdict.ok, verdict.observed) == (False, "no reply in 1.0 s")


def test_a_packet_seen_at_a_third_port_fails() -> None:
    verdict = judge(at_both(WANT_VXLAN), [(port, vxlan()) for port in (PORT_A, PORT_B, PORT_C)])
    assert not verdict.ok
    assert verdict.observed == "also seen at the port of node-3"


def test_ports_named_alike_are_told_apart() -> None:
    routed = OnWire({("underlay-1", "router"): WANT_BARE, ("underlay-2", "router"): WANT_BARE})
    observed = judge(routed, [(("underlay-1", "router"), bare())]).observed
    assert observed == "not seen at the port of router on underlay-2"


@pytest.mark.parametrize(
    ("no_reply", "reply", "observed"),
    [
        (None, EchoReply(error="no reply in 1.0 s"), "no reply in 1.0 s"),
        ("no way back", REPLIED, "echo reply"),
        ("no way back", EchoReply(error="namespace pod-1-1 is gone"), "namespace pod-1-1 is gone"),
        ("no way back", EchoReply(error="no reply in 0.3 s"), None),
        (None, REPLIED, None),
    ],
)
def test_whether_the_echo_is_answered_is_part_of_it(
    no_reply: str | None, reply: EchoReply, observed: str | None
) -> None:
    expectation = OnWire({PORT_A: WANT_BARE}, no_reply)
    verdict = judge(expectation, [(PORT_A, bare())], reply=reply)
    assert verdict.ok is (observed is None)
    assert verdict.observed == (observed or verdict.expected)
    assert (no_reply or "bare") in verdict.expected


def test_a_capture_that_could_not_be_opened_proves_nothing() -> None:
    lost = {"underlay": "namespace underlay is gone"}
    assert judge(at_both(WANT_VXLAN), [], lost).observed.startswith("namespace underlay is gone")
    assert not judge(NotOnWire(), [], lost).ok


def ask(mac: str, address: str, target: str, operation: int = 1) -> bytes:
    return bytes(Ether(src=mac) / ARP(op=operation, hwsrc=mac, psrc=address, pdst=target))


@pytest.mark.parametrize(
    ("frames", "seen", "words"),
    [
        ([ask(A, NODE_A, NODE_B)], [], None),
        ([], [], f"no ARP request for {NODE_B} at the port of node-1"),
        ([ask(C, NODE_A, NODE_B)], [], "no ARP request"),
        ([ask(A, NODE_A, NODE_B), ask(C, NODE_B, NODE_A, 2)], [], f"answered for by {C}"),
        ([ask(A, NODE_A, NODE_B)], [bare()], "seen on the underlay at the port of node-1"),
    ],
)
def test_a_packet_without_a_next_hop_gets_no_further_than_arp(
    frames: list[bytes], seen: list[bytes], words: str | None
) -> None:
    expectation = Unresolved(PORT_A, A, (NODE_A,), NODE_B)
    asked = list(solicitations(captured(PORT_A, frame) for frame in [*frames, bare()]))
    silent = EchoReply(error="no reply in 0.3 s")
    stacks = [(PORT_A, decode(frame)) for frame in seen]
    verdict = expectation.judge(ECHO, Sighting(silent, stacks, asked))
    assert verdict.ok is (words is None)
    assert (words or "no answer") in (verdict.observed + verdict.evidence)
    lost = Sighting(silent, [], asked, {"underlay": "namespace underlay is gone"})
    assert not expectation.judge(ECHO, lost).ok
    gone = Sighting(EchoReply(error="namespace pod-1-1 is gone"), [], asked)
    assert not expectation.judge(ECHO, gone).ok


def test_neighbour_discovery_is_the_same_for_ipv6() -> None:
    own, hop = "fe80::a", "fd30:0:0:1::1"
    wanted = ICMPv6ND_NS(tgt=hop) / ICMPv6NDOptSrcLLAddr(lladdr=A)
    frame = bytes(
        Ether(src=A, dst="33:33:ff:00:00:01") / IPv6(src=own, dst="ff02::1:ff00:1") / wanted
    )
    asked = list(solicitations([captured(PORT_A, frame)]))
    assert asked == [Solicitation(PORT_A, False, A, own, hop)]
    expectation = Unresolved(PORT_A, A, ("fd30::1", own), hop)
    silent = EchoReply(error="no reply in 0.3 s")
    verdict = expectation.judge(ECHO, Sighting(silent, [], asked))
    assert verdict.ok
    assert (
        f"Neighbour discovery on underlay: {A} asks who has {hop}, tell {own}" in verdict.evidence
    )
    reply = bytes(Ether(src=C, dst=A) / IPv6(src=hop, dst=own) / ICMPv6ND_NA(tgt=hop))
    answered = [*asked, *solicitations([captured(PORT_C, reply)])]
    verdict = expectation.judge(ECHO, Sighting(silent, [], answered))
    assert f"{hop} is answered for by {C}" in verdict.observed


def test_frames_are_sorted_by_their_cookie_and_only_requests_count() -> None:
    other = COOKIE[:-1] + b"\2"
    foreign = bytes(Ether(src=A, dst=B) / IP() / TCP() / b"unmarked")
    six = [
        bytes(Ether(src=A, dst=B) / packet6(kind)) for kind in (ICMPv6EchoRequest, ICMPv6EchoReply)
    ]
    frames = [
        captured(PORT_A, vxlan()),
        captured(PORT_B, bare()),
        captured(PORT_A, vxlan(kind=0)),
        captured(PORT_A, foreign),
        captured(PORT_A, bare().replace(COOKIE, other)),
        *(captured(PORT_A, frame) for frame in six),
    ]
    assert carrying(frames, {COOKIE: 0, other: 1}) == {0: [*frames[:2], frames[5]], 1: [frames[4]]}
    assert carrying(frames, {}) == {}


def test_only_what_was_never_sent_is_sent_again() -> None:
    away = EchoReply(error="host unreachable (ICMP from 192.168.0.1)")
    late = EchoReply(error="no reply in 1.0 s")
    seen = [(PORT_A, WANT_VXLAN)]
    echoes = [CapturedEcho("node-1", NODE_B, wanted) for wanted in (True, True, True, False, True)]
    outcomes = [(away, []), (away, seen), (late, []), (away, []), (EchoReply(), seen)]
    sightings = {number: Sighting(*outcome) for number, outcome in enumerate(outcomes)}
    assert unresolved(echoes, sightings) == [0]


SEALED = CapturedEcho("pod-1-1", POD_B, sealed=(NODE_B, NODE_A))
HIDDEN = CapturedEcho("pod-1-1", POD_B, sealed=("", ""))


def data(length: int, counter: int = 0, port: int = 51820, target: str = NODE_B) -> bytes:
    """A WireGuard data message around so many encrypted bytes."""
    content = b"\4\0\0\0" + bytes(4) + counter.to_bytes(8, "little") + bytes(length + 16)
    return around(content, port=port, target=target)


def reply(length: int) -> bytes:
    layers = Ether(src=B, dst=A) / IP(src=NODE_B, dst=NODE_A) / UDP(sport=51820, dport=51820)
    return bytes(layers / (b"\4\0\0\0" + bytes(12 + length + 16)))


def test_an_encrypted_packet_is_decoded_to_its_length() -> None:
    seen = decode(data(128, port=7))
    assert seen == h.Ether(A, B) / h.ip(NODE_A, NODE_B, 64) / h.Udp(7) / h.Wireguard(128)
    six = IPv6(src="fd30::1", dst="fd30::2") / UDP(dport=51821) / (b"\4\0\0\0" + bytes(44))
    assert decode(bytes(Ether(src=A, dst=B) / six)).form == "WireGuard, UDP 51821, over IPv6"


def test_an_encrypted_echo_is_known_by_its_length_and_not_its_reply() -> None:
    frames = [data(128), data(144), reply(128), bare(), data(128, port=7), vxlan()]
    own = sealed.carrying(SEALED, 128, [captured(PORT_A, frame) for frame in frames])
    assert [item.frame for item in own] == [frames[0], frames[4]], "on a wrong port too"
    there = data(128, target="192.168.0.3")
    assert sealed.carrying(SEALED, 128, [captured(PORT_A, there)]), "and at a wrong address"
    assert not sealed.carrying(ECHO, 0, own)


def test_other_packets_of_its_length_are_told_from_the_same_one_elsewhere() -> None:
    once = [captured(PORT_A, data(128)), captured(PORT_B, data(128))]
    other = captured(PORT_B, data(128, counter=1))
    assert not sealed.are_several(SEALED, 128, once)
    assert not sealed.are_several(SEALED, 128, [])
    assert sealed.are_several(SEALED, 128, [*once, other])
    assert sealed.are_several(HIDDEN, 128, once), "nothing of it may be seen"


@pytest.mark.parametrize("target", [POD_B, "fd44::2"])
def test_an_encrypted_echo_s_packet_has_the_length_that_was_drawn(target: str) -> None:
    echo = CapturedEcho("pod-1-1", target, sealed=(NODE_B, NODE_A))
    for length in sealed.LENGTHS:
        content = sealed.payload(echo, COOKIE, length)
        assert len(content) + 8 + (40 if echo.ipv6 else 20) == length
        assert content.startswith(COOKIE)
        assert content.endswith(COOKIE)
    assert sealed.payload(echo, COOKIE, 0) == COOKIE


def test_lengths_are_drawn_each_once() -> None:
    echoes = [*[SEALED] * sealed.AT_A_TIME, ECHO]
    drawn = sealed.draw(echoes)
    assert len(set(drawn)) == len(drawn)
    assert drawn[-1] == 0
    assert max(sealed.LENGTHS) < 496, "flannel's least MTU inside a WireGuard tunnel"


def test_what_left_in_the_clear_is_no_proof_of_encryption() -> None:
    want = h.Ether(A, B) / OUTER / h.Udp(51820) / h.Wireguard()
    good = judge(at_both(want), [(PORT_A, data(128)), (PORT_B, data(128))])
    assert good.ok
    assert good.expected == "WireGuard, UDP 51820, once at the port of node-1 and node-2"
    assert good.evidence.endswith("encrypted packet of 128 bytes, its addresses cannot be read")
    for frames, words in (
        ([bare()], "bare, not WireGuard, UDP 51820, at the port of node-1"),
        ([data(128), bare()], "seen 2 times at the port of node-1 (WireGuard, UDP 51820 and bare)"),
        ([data(128, port=7)], "UDP port 7, not 51820"),
        ([data(128, target="192.168.0.3")], "outer addresses 192.168.0.1 > 192.168.0.3, not"),
    ):
        seen = [(port, frame) for port in (PORT_A, PORT_B) for frame in frames]
        assert words in judge(at_both(want), seen).observed
    leaked = judge(NotOnWire(), [(PORT_A, data(128))])
    assert leaked.observed == "seen on the underlay at the port of node-1"
