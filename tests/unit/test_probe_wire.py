"""Frames taken apart and judged. They are crafted here, as good or bad nodes send them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from netlab.probe.barred import BarredPath, arps
from netlab.probe.capture import Captured
from netlab.probe.icmp import Ping, Pong
from netlab.probe.wire import NOTHING, Seen, WirePath, carrying, decode

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
VTEP_A, VTEP_B = "02:00:00:00:01:0a", "02:00:00:00:01:0b"
POD_A, POD_B = "10.244.0.2", "10.244.1.2"
NODE_A, NODE_B = "192.168.0.1", "192.168.0.2"
MARK = b"netlabXX\0\0\0\1"
PORT_A, PORT_B = ("underlay", "node-1"), ("underlay", "node-2")
PORT_C = ("underlay", "node-3")
VXLAN_SEEN = Seen((A, B), (POD_A, POD_B), 63, "VXLAN", (NODE_A, NODE_B), 8472, 1, (VTEP_A, VTEP_B))
BARE_SEEN = Seen((A, B), (POD_A, POD_B), 63)


def packet(ttl: int = 63, kind: int = 8) -> Any:
    return IP(src=POD_A, dst=POD_B, ttl=ttl) / ICMP(type=kind, id=7, seq=1) / MARK


def bare(ttl: int = 63, kind: int = 8) -> bytes:
    return bytes(Ether(src=A, dst=B) / packet(ttl, kind))


def vxlan(
    port: int = 8472, vni: int = 1, target: str = NODE_B, ttl: int = 63, kind: int = 8
) -> bytes:
    outer = Ether(src=A, dst=B) / IP(src=NODE_A, dst=target) / UDP(sport=40000, dport=port)
    inner = Ether(src=VTEP_A, dst=VTEP_B) / packet(ttl, kind)
    return bytes(outer / VXLAN(vni=vni, flags=8) / inner)


def captured(device: tuple[str, str], frame: bytes) -> Captured:
    return Captured(*device, "in", frame)


def path(seen: Seen) -> WirePath:
    return WirePath(
        "pod-1-1", "pod-2-1", Ping("pod-1-1", POD_B, MARK), {PORT_A: seen, PORT_B: seen}
    )


def test_a_vxlan_frame_is_decoded_to_the_pods_header() -> None:
    assert decode(vxlan()) == VXLAN_SEEN
    assert str(decode(vxlan())) == (
        f"192.168.0.1 > 192.168.0.2 UDP 8472 VNI 1, inner {VTEP_A} > {VTEP_B} "
        "10.244.0.2 > 10.244.1.2 ttl 63"
    )


@pytest.mark.parametrize("port", [4789, 8472, 9999])
def test_vxlan_is_recognised_on_any_port(port: int) -> None:
    seen = decode(vxlan(port))
    assert seen is not None
    assert (seen.tunnel, seen.udp_port, seen.vni) == ("VXLAN", port, 1)


def test_a_bare_packet_and_ipip_and_others_are_told_apart() -> None:
    assert decode(bare()) == BARE_SEEN
    ipip = decode(bytes(Ether(src=A, dst=B) / IP(src=NODE_A, dst=NODE_B) / packet()))
    assert ipip == Seen((A, B), (POD_A, POD_B), 63, "IPIP", (NODE_A, NODE_B))
    udp = decode(bytes(Ether(src=A, dst=B) / IP(src=NODE_A, dst=NODE_B) / UDP(dport=53) / b"\0"))
    assert udp is not None
    assert udp.tunnel == "UDP"
    assert decode(bytes(Ether(src=A, dst=B) / ARP())) is None


def test_the_right_frame_once_at_either_port_is_right() -> None:
    frames = [captured(PORT_A, vxlan()), captured(PORT_B, vxlan())]
    check = path(VXLAN_SEEN).judge(frames, {})
    assert check.ok
    assert check.kind == "wire"
    assert check.observed == check.expected
    assert check.evidence == str(VXLAN_SEEN)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bare(), "bare, not VXLAN, VNI 1, UDP 8472, at the port of node-1"),
        (vxlan(port=4789), "UDP port 4789, not 8472 at the port of node-1"),
        (vxlan(vni=2), "VNI 2, not 1"),
        (vxlan(target="192.168.0.3"), "outer addresses 192.168.0.1 > 192.168.0.3, not"),
        (vxlan(ttl=64), "ttl 64, not 63"),
    ],
)
def test_a_wrong_path_fails_though_the_packet_arrives(frame: bytes, words: str) -> None:
    check = path(VXLAN_SEEN).judge([captured(PORT_A, frame), captured(PORT_B, frame)], {})
    assert not check.ok
    assert words in check.observed
    assert check.evidence == str(decode(frame))


def test_encapsulation_where_none_should_be_fails() -> None:
    check = path(BARE_SEEN).judge([captured(PORT_A, vxlan()), captured(PORT_B, vxlan())], {})
    assert "VXLAN, VNI 1, UDP 8472, not bare" in check.observed


def test_a_packet_seen_in_both_forms_fails() -> None:
    frames = [captured(PORT_A, vxlan()), captured(PORT_A, bare()), captured(PORT_B, vxlan())]
    check = path(VXLAN_SEEN).judge(frames, {})
    assert not check.ok
    assert "seen 2 times at the port of node-1 (VXLAN, VNI 1, UDP 8472 and bare)" in check.observed


def test_a_packet_not_seen_fails() -> None:
    check = path(VXLAN_SEEN).judge([captured(PORT_A, vxlan())], {})
    assert check.observed == "not seen at the port of node-2"


def test_each_port_may_expect_other_macs() -> None:
    routed = WirePath(
        "pod-1-1",
        "pod-2-1",
        Ping("pod-1-1", POD_B, MARK),
        {PORT_A: replace(VXLAN_SEEN, frame=(A, C)), PORT_B: replace(VXLAN_SEEN, frame=(C, B))},
    )
    check = routed.judge([captured(PORT_A, vxlan()), captured(PORT_B, vxlan())], {})
    assert f"frame {A} > {B}, not {A} > {C} at the port of node-1" in check.observed


def test_where_nothing_may_be_seen_anything_fails() -> None:
    local = WirePath("pod-1-1", "pod-1-2", Ping("pod-1-1", "10.244.0.3", MARK), {})
    assert local.judge([], {}).ok
    assert local.expected == NOTHING
    leaked = local.judge([captured(PORT_A, bare())], {})
    assert leaked.observed == "seen on the underlay at the port of node-1"


def test_a_packet_seen_at_a_third_port_fails() -> None:
    frames = [captured((switch, port), vxlan()) for switch, port in (PORT_A, PORT_B, PORT_C)]
    check = path(VXLAN_SEEN).judge(frames, {})
    assert not check.ok
    assert check.observed == "also seen at the port of node-3"


def test_ports_named_alike_are_told_apart() -> None:
    points = {("underlay-1", "router"): BARE_SEEN, ("underlay-2", "router"): BARE_SEEN}
    routed = WirePath("pod-1-1", "pod-2-1", Ping("pod-1-1", POD_B, MARK), points)
    observed = routed.judge([captured(("underlay-1", "router"), bare())], {}).observed
    assert observed == "not seen at the port of router on underlay-2"


def test_an_echo_without_a_reply_fails_though_it_arrived() -> None:
    frames = [captured(PORT_A, vxlan()), captured(PORT_B, vxlan())]
    assert path(VXLAN_SEEN).judge(frames, {}, Pong(0.001, 62)).ok
    check = path(VXLAN_SEEN).judge(frames, {}, Pong(error="no reply in 1.0 s"))
    assert check.observed == "no reply in 1.0 s"


def ask(mac: str, address: str, target: str, operation: int = 1) -> bytes:
    return bytes(Ether(src=mac) / ARP(op=operation, hwsrc=mac, psrc=address, pdst=target))


@pytest.mark.parametrize(
    ("frames", "marked", "words"),
    [
        ([ask(A, NODE_A, NODE_B)], [], None),
        ([], [], f"no ARP request for {NODE_B} at the port of node-1"),
        ([ask(C, NODE_A, NODE_B)], [], "no ARP request"),
        ([ask(A, NODE_A, NODE_B), ask(C, NODE_B, NODE_A, 2)], [], f"answered for by {C}"),
        ([ask(A, NODE_A, NODE_B)], [bare()], "seen on the underlay at the port of node-1"),
    ],
)
def test_a_barred_packet_gets_no_further_than_arp(
    frames: list[bytes], marked: list[bytes], words: str | None
) -> None:
    barred = BarredPath(
        "pod-1-1", "pod-2-1", Ping("pod-1-1", POD_B, MARK), PORT_A, (A, NODE_A), NODE_B
    )
    seen = list(arps([*(captured(PORT_A, frame) for frame in frames), captured(PORT_A, bare())]))
    check = barred.judge([captured(PORT_A, frame) for frame in marked], seen, {})
    assert check.ok is (words is None)
    assert (words or "no answer") in (check.observed + check.evidence)
    assert not barred.judge([], seen, {"underlay": "namespace underlay is gone"}).ok


def test_a_capture_that_could_not_be_opened_proves_nothing() -> None:
    lost = {"underlay": "namespace underlay is gone"}
    assert "namespace underlay is gone" in path(VXLAN_SEEN).judge([], lost).observed
    local = WirePath("pod-1-1", "pod-1-2", Ping("pod-1-1", "10.244.0.3", MARK), {})
    assert not local.judge([], lost).ok


def test_frames_are_sorted_by_their_mark_and_only_requests_count() -> None:
    other = MARK[:-1] + b"\2"
    foreign = bytes(Ether(src=A, dst=B) / IP() / TCP() / b"unmarked")
    frames = [
        captured(PORT_A, vxlan()),
        captured(PORT_B, bare()),
        captured(PORT_A, vxlan(kind=0)),
        captured(PORT_A, foreign),
        captured(PORT_A, bare().replace(MARK, other)),
    ]
    assert carrying(frames, {MARK: 0, other: 1}) == {0: frames[:2], 1: [frames[4]]}
    assert carrying(frames, {}) == {}
