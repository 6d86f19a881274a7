"""How each expectation judges an outcome, and the engines' pure parts."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from netlab.plan.probing.actions import (
    Delivery,
    Echo,
    EchoReply,
    GsoPacket,
    HairpinFrame,
    Inspection,
    LongEcho,
    Namespaces,
    Oversize,
    Refusal,
    Request,
    Response,
    Together,
)
from netlab.plan.probing.check import Check, Verdict
from netlab.plan.probing.expectations import (
    Answer,
    Forwarded,
    NoReply,
    OneNetwork,
    PathMtu,
    Reflected,
    Refused,
    Reply,
)
from netlab.plan.probing.scenario import Probe
from netlab.probe.engines import icmp4, icmp6, ip, neighbours
from netlab.probe.engines.flush import Entry
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import checksum
from netlab.probe.engines.wire import ends
from netlab.probe.result import Report, to_json
from tests.unit.labs import HostRoutes, lab_of
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS

ECHO = Echo("pod-1-1", "10.244.1.2")
REPLY = EchoReply(0.00008, 62)


@pytest.mark.parametrize(
    ("expectation", "reply", "ok", "observed"),
    [
        (Reply(), REPLY, True, "echo reply"),
        (Reply(), EchoReply(error="no reply in 1.0 s"), False, "no reply in 1.0 s"),
        (NoReply("why"), EchoReply(error="network unreachable"), True, "network unreachable"),
        (NoReply("why"), REPLY, False, "echo reply"),
        (NoReply("why"), EchoReply(error="namespace a is gone"), False, "namespace a is gone"),
    ],
)
def test_an_echo_is_judged(expectation: Any, reply: EchoReply, ok: bool, observed: str) -> None:
    verdict = expectation.judge(ECHO, reply)
    assert (verdict.ok, verdict.observed) == (ok, observed)
    assert ("reply from 10.244.1.2, ttl 62" in verdict.evidence) is (reply.error is None)


REQUEST = Request("pod-1-1", "10.244.1.2", 8080, "tcp")


@pytest.mark.parametrize(
    ("response", "client", "ok", "observed"),
    [
        (Response("p c1 10.244.0.2:4711"), "10.244.0.2", True, "p c1 answers 10.244.0.2"),
        (Response("p c2 10.244.0.2:4711"), "10.244.0.2", False, "p c2 answers 10.244.0.2"),
        (Response("p c1 10.9.0.1:4711"), "10.244.0.2", False, "p c1 answers 10.9.0.1"),
        (Response("p c1 [fd44::2]:4711"), "fd44::2", True, "p c1 answers fd44::2"),
        (Response("p c1 ::ffff:10.244.0.2:4711"), "10.244.0.2", True, "answers 10.244.0.2"),
        (Response("garbage"), "10.244.0.2", False, "TCP 8080"),
        (Response(error="connection refused"), "10.244.0.2", False, "connection refused"),
        (Response(error="timed out after 1.0 s"), "10.244.0.2", False, "no answer, timed out"),
    ],
)
def test_an_answer_is_judged_by_who_responds_and_whom_it_saw(
    response: Response, client: str, ok: bool, observed: str
) -> None:
    verdict = Answer("p c1", (client,)).judge(REQUEST, response)
    assert verdict.ok is ok
    assert observed in verdict.observed
    assert verdict.expected == f"TCP 8080: p c1 answers {client}"


def test_only_a_refusal_is_a_refusal() -> None:
    assert Refused().judge(REQUEST, Response(error="connection refused")).ok
    assert not Refused().judge(REQUEST, Response(error="timed out after 1.0 s")).ok
    assert not Refused().judge(REQUEST, Response("pod-2-1 c1 127.0.0.1:1")).ok


MINE = {"net": 1, "pid": 10, "mnt": 20, "uts": 30}
OTHERS = {"net": 1, "pid": 11, "mnt": 21, "uts": 31}
GOOD = Response("web two 127.0.0.1:5000")


@pytest.mark.parametrize(
    ("response", "others", "inode", "words"),
    [
        (GOOD, OTHERS, 1, None),
        (GOOD, OTHERS, None, None),
        (None, OTHERS, 1, None),
        (GOOD, OTHERS, 2, "not the pod's"),
        (GOOD, OTHERS | {"net": 3}, 1, "network namespaces differ"),
        (GOOD, OTHERS | {"pid": 10, "uts": 30}, 1, "share the pid and uts namespace"),
        (GOOD, None, 1, "two is not running"),
        (Response(error="connection refused"), OTHERS, 1, "connection refused"),
        (Response("db one 127.0.0.1:5000"), OTHERS, 1, "db one 127.0.0.1:5000 answers"),
    ],
)
def test_containers_of_a_pod_are_judged(
    response: Response | None, others: dict[str, int] | None, inode: int | None, words: str | None
) -> None:
    asked = [Request("web", "127.0.0.1", 10001, "tcp")] if response else []
    action = Together((Inspection("web", "one", "two"), *asked))
    outcome = (Namespaces(MINE, others, inode), *([response] if response else []))
    verdict = OneNetwork("web two").judge(action, outcome)
    assert verdict.ok is (words is None)
    assert words is None or words in verdict.observed
    assert ("two answers on 127.0.0.1:10001" in verdict.expected) is bool(asked)


def test_a_socket_of_ipv6_is_written_with_brackets() -> None:
    action = Together((Inspection("web", "one", "two"), Request("web", "::1", 10001, "tcp")))
    verdict = OneNetwork("web two").judge(action, (Namespaces(MINE, OTHERS, 1), GOOD))
    assert verdict.expected.startswith("two answers on [::1]:10001;")
    assert action.ipv6


MTU = Together((Echo("a", "10.0.0.2", bytes(1422)), Oversize("a", "10.0.0.2", 1451)))


@pytest.mark.parametrize(
    ("reply", "refusal", "ok", "words"),
    [
        (REPLY, Refusal(1450), True, "1450 bytes pass whole, 1451 are refused, MTU 1450"),
        (REPLY, Refusal(1400), False, "1451 are refused, MTU 1400"),
        (REPLY, Refusal(error="sent, not refused"), False, "1451 bytes: sent, not refused"),
        (EchoReply(error="no reply in 1.0 s"), Refusal(1450), False, "1450 bytes: no reply in"),
    ],
)
def test_an_mtu_is_judged(reply: EchoReply, refusal: Refusal, ok: bool, words: str) -> None:
    verdict = PathMtu(1450).judge(MTU, (reply, refusal))
    assert verdict.ok is ok
    assert words in verdict.observed


@pytest.mark.parametrize(
    ("error", "ok", "words"),
    [
        ("fragmentation needed, MTU 1450 (ICMP from 10.0.0.1)", True, "1500 are refused, MTU 1450"),
        ("packet too big, MTU 1450 (ICMPv6 from fd44::1)", True, "1500 are refused, MTU 1450"),
        ("fragmentation needed, MTU 1400 (ICMP from 10.0.0.1)", False, "refused, MTU 1400"),
        ("no reply in 2.0 s", False, "1500 bytes: no reply in 2.0 s"),
        (None, False, "1500 bytes: pass whole too"),
    ],
)
def test_what_the_source_sends_whole_must_be_refused_on_the_way(
    error: str | None, ok: bool, words: str
) -> None:
    action = Together((MTU.parts[0], LongEcho("a", "10.244.1.2", 1500)))
    verdict = PathMtu(1450).judge(action, (REPLY, EchoReply(error=error)))
    assert verdict.expected == "1450 bytes pass whole, 1500 are refused, MTU 1450"
    assert verdict.ok is ok
    assert words in verdict.observed


def test_where_the_way_is_not_known_only_the_limit_is_judged() -> None:
    verdict = PathMtu(1450).judge(Together(MTU.parts[:1]), (REPLY,))
    assert verdict.ok
    assert "refused" not in verdict.expected


FITS = GsoPacket("a", "eth0", ("m", "n"), "10.0.0.2", "10.0.1.2", 1450)
FITS6 = FITS._replace(source="fd44::2", target="fd44:0:0:1::2")
TOLD = Delivery(refused_by="10.0.0.1", mtu=1450)


@pytest.mark.parametrize(
    ("fits", "oversize", "ok", "words"),
    [
        (Delivery(arrived=True), TOLD, True, "1451 refused by 10.0.0.1, MTU 1450"),
        (Delivery(arrived=True), Delivery(arrived=True), False, "1451 bytes arrived"),
        (Delivery(arrived=True), TOLD._replace(mtu=1400), False, "MTU 1400"),
        (Delivery(arrived=True), TOLD._replace(refused_by="10.0.0.9"), False, "by 10.0.0.9"),
        (TOLD, TOLD, False, "1450 bytes refused by 10.0.0.1"),
        (Delivery(error="no answer"), TOLD, False, "1450 bytes no answer"),
    ],
)
@pytest.mark.parametrize(
    ("packet", "message"), [(FITS, "ICMP type 3 code 4"), (FITS6, "ICMPv6 type 2 code 0")]
)
def test_a_forwarded_packet_is_judged(
    packet: GsoPacket, message: str, fits: Delivery, oversize: Delivery, ok: bool, words: str
) -> None:
    action = Together((packet, packet._replace(size=1451)))
    verdict = Forwarded(1450, ("10.0.0.1",)).judge(action, (fits, oversize))
    assert verdict.ok is ok
    assert words in verdict.observed
    assert (message in verdict.evidence) is ok


def test_a_hairpin_frame_is_judged() -> None:
    frame = HairpinFrame("a", "eth0", "m")
    assert Reflected().judge(frame, None).ok
    verdict = Reflected().judge(frame, "nothing came back in 1.0 s")
    assert (verdict.ok, verdict.observed) == (False, "nothing came back in 1.0 s")


@pytest.mark.parametrize(
    ("action", "family", "protocol"),
    [
        (ECHO, 4, "icmp"),
        (ECHO._replace(target="fd44::2"), 6, "icmp"),
        (Request("a", "fd44::2", 1, "udp"), 6, "udp"),
        (MTU, 4, "icmp"),
        (Together((FITS6,)), 6, "tcp"),
        (HairpinFrame("a", "b", "c"), 4, "ethernet"),
    ],
)
def test_a_check_tells_family_and_protocol(action: Any, family: int, protocol: str) -> None:
    class Anything:
        def judge(self, action: Any, outcome: Any) -> Verdict:
            return Verdict("x", "y", True)

    check = Probe("wire", "a", "b", action, Anything()).check(None)
    assert (check.family, check.protocol) == (family, protocol)
    assert (check.expected, check.observed, check.ok, check.evidence) == ("x", "y", True, "")


@pytest.mark.parametrize("payload", [b"", b"even", b"odd"])
@pytest.mark.parametrize("key", [0, 0xFFFFFFFF, 0x12345678])
def test_an_echo_request_has_a_right_checksum(key: int, payload: bytes) -> None:
    packet = icmp4.request(key, payload)
    assert checksum(packet) == 0xFFFF
    assert struct.unpack_from("!BBHI", packet)[::3] == (8, key)
    assert packet[8:] == payload
    assert icmp6.request(key, payload) == struct.pack("!BBHI", 128, 0, 0, key) + payload


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


@pytest.mark.parametrize(
    ("ipv6", "source", "target"),
    [(False, "10.0.0.1", "10.0.0.2"), (True, "fd44::1", "fd44::2")],
)
def test_packets_are_as_scapy_makes_them(ipv6: bool, source: str, target: str) -> None:
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6

    family = ip.family(ipv6)
    made = family.packet(source, target, 20)
    layer = IPv6 if ipv6 else IP
    crafted = (
        layer(src=source, dst=target, nh=6, plen=20)
        if ipv6
        else IP(src=source, dst=target, id=1, flags="DF", len=40, proto=6)
    )
    assert made == bytes(crafted)
    assert family.payload(made) == (family.header, socket.IPPROTO_TCP)
    assert len(family.pseudo_header(source, target, 20)) == (40 if ipv6 else 12)


def table(nodes: int, pods: int, dataplane: Any = "flannel-vxlan", **fields: Any) -> Neighbours:
    underlay = fields.pop("underlay", ["192.168.0.0/20"])
    lab = lab_of(dataplane, nodes=nodes, pods_per_node=pods, underlay=underlay, **fields)
    return Neighbours(lab)


def test_a_pair_across_nodes_leaves_six_entries() -> None:
    assert table(2, 1).left_by("pod-1-1", "10.244.1.2") == {
        Entry("pod-1-1", "eth0", "10.244.0.1"),
        Entry("node-1", "cni0", "10.244.0.2"),
        Entry("node-1", "eth0", "192.168.0.2"),
        Entry("node-2", "eth0", "192.168.0.1"),
        Entry("node-2", "cni0", "10.244.1.2"),
        Entry("pod-2-1", "eth0", "10.244.1.1"),
    }


def test_in_ipv6_who_is_asked_learns_the_askers_link_local_address_too() -> None:
    lab = table(2, 1, **DUAL_STACK)
    left = lab.left_by("pod-1-1", "fd44:0:0:1::2")
    assert {entry for entry in left if not entry.address.startswith("fe80::")} == {
        Entry("pod-1-1", "eth0", "fd44::1"),
        Entry("node-1", "cni0", "fd44::2"),
        Entry("node-1", "eth0", "fd30::2"),
        Entry("node-2", "eth0", "fd30::1"),
        Entry("node-2", "cni0", "fd44:0:0:1::2"),
        Entry("pod-2-1", "eth0", "fd44:0:0:1::1"),
    }
    told = {(entry.namespace, entry.device) for entry in left if entry.address.startswith("fe80::")}
    assert told == {(name, "eth0") for name in ("pod-1-1", "pod-2-1", "node-1", "node-2")}


def test_a_pair_on_one_node_leaves_two() -> None:
    assert table(1, 2).left_by("pod-1-1", "10.244.0.3") == {
        Entry("pod-1-1", "eth0", "10.244.0.3"),
        Entry("pod-1-2", "eth0", "10.244.0.2"),
    }


def test_pods_without_a_bridge_know_their_gateway_only() -> None:
    left = table(1, 2, HostRoutes()).left_by("pod-1-1", "10.244.0.3")
    assert left == {
        Entry("pod-1-1", "eth0", "169.254.1.1"),
        Entry("pod-1-2", "eth0", "169.254.1.1"),
    }, "the node's entries are in the plan"


def test_between_subnets_the_entry_is_the_routers() -> None:
    routed = table(2, 1, underlay=TWO_SUBNETS)
    assert routed.left_by("node-1", "192.168.2.1") == {
        Entry("node-1", "eth0", "192.168.1.254"),
        Entry("node-2", "eth0", "192.168.2.254"),
        Entry("router", "eth0", "192.168.1.1"),
        Entry("router", "eth1", "192.168.2.1"),
    }


def test_addresses_of_nobody_and_of_oneself_leave_nothing() -> None:
    assert table(1, 1).left_by("pod-1-1", "127.0.0.1") == set()
    assert table(1, 1).left_by("pod-1-1", "10.244.0.2") == set()


def test_batches_keep_order_and_never_leave_more_than_the_room_in_either_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flushed: list[set[Entry]] = []
    monkeypatch.setattr(neighbours, "flush", lambda entries: flushed.append(set(entries)))
    known = Neighbours(lab_of(nodes=4, pods_per_node=60, **DUAL_STACK))
    pods = lab_of(nodes=4, pods_per_node=60, **DUAL_STACK).layout.pods
    pairs = list(itertools.permutations(pods, 2))[:3000]
    sizes = []

    def work(batch: Sequence[tuple[str, str]]) -> list[str]:
        sizes.append(len(batch))
        return [address for _, address in batch]

    items = [
        (source.name, str(target.addresses[index % 2]))
        for index, (source, target) in enumerate(pairs)
    ]
    assert known.batches(items, lambda item: item, work) == [address for _, address in items]
    assert len(sizes) > 1
    assert sum(sizes) == 3000
    assert max(map(len, flushed)) <= neighbours.ROOM
    assert all(len(left) <= neighbours.ROOM for left in known.left.values())
    assert {ipv6 for ipv6, left in known.left.items() if left} == {False, True}


def test_a_small_lab_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "flush", lambda entries: pytest.fail("nothing to flush"))
    known = table(3, 2)
    assert known.batches([("pod-1-1", "10.244.1.2")] * 100, lambda item: item, list)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the tables will have been full, each time that somebody asks; at last never again.

    And no pauses, and nothing that is flushed.
    """
    counts = [0]
    told = itertools.accumulate(iter(lambda: counts.pop(0) if counts else 0, None))
    monkeypatch.setattr(neighbours.neighbour_tables, "refusals", lambda: next(told))
    monkeypatch.setattr(neighbours, "flush", lambda entries: list(entries))
    monkeypatch.setattr(neighbours, "_PAUSES", (0.0, 0.0))
    return counts


def echo_to(address: str) -> Echo:
    return Echo("pod-1-1", address)


def test_what_failed_while_a_table_was_full_is_asked_again(full: list[int]) -> None:
    """Only that, in smaller batches, and it is said."""
    said: list[str] = []
    known = Neighbours(lab_of(nodes=2, pods_per_node=2), said.append)
    full += [3]
    asked: list[list[str]] = []

    def work(batch: Sequence[Echo]) -> list[EchoReply]:
        asked.append([echo.target for echo in batch])
        lost = len(asked) == 1
        return [
            EchoReply(error="no reply" if lost and echo.target != "10.244.0.3" else None)
            for echo in batch
        ]

    targets = ["10.244.0.3", "10.244.1.2", "10.244.1.3"]
    replies = known.batches([echo_to(one) for one in targets], ends, work)
    assert [reply.error for reply in replies] == [None] * 3
    assert asked == [targets, ["10.244.1.2", "10.244.1.3"]]
    assert said == ["2 probes again: the kernel's neighbour table had no room for them"]
    assert known.room < neighbours.ROOM


def test_what_fails_while_no_table_is_full_is_not_asked_again(full: list[int]) -> None:
    known = Neighbours(lab_of(nodes=2, pods_per_node=2), lambda words: pytest.fail(words))
    replies = known.batches([echo_to("10.244.1.2")], ends, lambda batch: [EchoReply(error="lost")])
    assert [reply.error for reply in replies] == ["lost"]


def test_a_table_that_stays_full_is_in_the_error(full: list[int]) -> None:
    known = Neighbours(lab_of(nodes=2, pods_per_node=2))
    full += [1, 1, 1]
    replies = known.batches([echo_to("10.244.1.2")], ends, lambda batch: [EchoReply(error="lost")])
    assert [reply.error for reply in replies] == [
        "lost, while the kernel's neighbour table was full"
    ]


def test_the_json_has_the_contracts_shape() -> None:
    good = Check("wire", "a", "b", "x", "x", True, "seen", 6, "icmp")
    bad = Check("mtu", "a", "b", "x", "y", False)
    assert to_json(Report(0.12345, (good, bad), {}, (("hairpin", "why not"),))) == {
        "ok": False,
        "seconds": 0.123,
        "summary": {"checks": 2, "passed": 1, "failed": 1},
        "skipped": [{"kind": "hairpin", "reason": "why not"}],
        "not_compared": [],
        "checks": [
            {
                "kind": "wire",
                "family": 6,
                "protocol": "icmp",
                "from": "a",
                "to": "b",
                "expected": "x",
                "observed": "x",
                "ok": True,
                "evidence": "seen",
            },
            {
                "kind": "mtu",
                "family": 4,
                "protocol": "",
                "from": "a",
                "to": "b",
                "expected": "x",
                "observed": "y",
                "ok": False,
                "evidence": "",
            },
        ],
    }
    assert to_json(Report(0.1, (good,)))["ok"] is True
