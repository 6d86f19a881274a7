"""The smaller judges and the engines' pure parts: MTU, ICMP packets, neighbour batches, JSON."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

import pytest

from netlab import Cluster
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.probe import neighbours
from netlab.probe.icmp import Ping, Pong, echo
from netlab.probe.inject import Outcome, Segments
from netlab.probe.mtu import ForwardPath, MtuPath, Refusal
from netlab.probe.neighbours import Entry, Neighbours
from netlab.probe.result import Check, Report, to_json
from netlab.probe.sockets import checksum
from netlab.topology.layout import Layout, lay_out

REPLY = Pong(0.0001, 62)


@pytest.mark.parametrize(
    ("pong", "refusal", "ok", "words"),
    [
        (REPLY, Refusal(1450), True, "1450 bytes pass whole, 1451 are refused, MTU 1450"),
        (REPLY, Refusal(1400), False, "1451 are refused, MTU 1400"),
        (REPLY, Refusal(error="sent, not refused"), False, "1451 bytes: sent, not refused"),
        (Pong(error="no reply in 1.0 s"), Refusal(1450), False, "1450 bytes: no reply in 1.0 s"),
    ],
)
def test_an_mtu_path_is_judged(pong: Pong, refusal: Refusal, ok: bool, words: str) -> None:
    check = MtuPath("a", "b", Ping("a", "10.0.0.2"), 1450).judge(pong, refusal)
    assert (check.kind, check.ok) == ("mtu", ok)
    assert words in check.observed


def test_where_the_source_would_send_more_only_the_limit_is_judged() -> None:
    path = MtuPath("a", "b", Ping("a", "10.0.0.2"), 1450, refused=False)
    assert path.judge(REPLY, Refusal()).ok
    assert "refused" not in path.judge(REPLY, Refusal()).expected


FITS = Segments("a", "eth0", ("m", "n"), "10.0.0.2", "10.0.1.2", 1450)
REFUSED = Outcome(refused_by="10.0.0.1", mtu=1450)


@pytest.mark.parametrize(
    ("fits", "oversize", "ok", "words"),
    [
        (Outcome(arrived=True), REFUSED, True, "1451 refused by 10.0.0.1, MTU 1450"),
        (Outcome(arrived=True), Outcome(arrived=True), False, "1451 bytes arrived"),
        (Outcome(arrived=True), REFUSED._replace(mtu=1400), False, "MTU 1400"),
        (Outcome(arrived=True), REFUSED._replace(refused_by="10.0.0.9"), False, "by 10.0.0.9"),
        (REFUSED, REFUSED, False, "1450 bytes refused by 10.0.0.1"),
        (Outcome(error="no answer"), REFUSED, False, "1450 bytes no answer"),
    ],
)
def test_a_forwarded_packet_is_judged(
    fits: Outcome, oversize: Outcome, ok: bool, words: str
) -> None:
    path = ForwardPath("a", "b", FITS, FITS._replace(size=1451), ("10.0.0.1",))
    check = path.judge(fits, oversize)
    assert check.ok is ok
    assert words in check.observed
    assert ("type 3 code 4" in check.evidence) is ok


@pytest.mark.parametrize("payload", [b"", b"even", b"odd"])
@pytest.mark.parametrize("key", [0, 0xFFFFFFFF, 0x12345678])
def test_an_echo_request_has_a_right_checksum(key: int, payload: bytes) -> None:
    packet = echo(key, payload)
    assert checksum(packet) == 0xFFFF
    assert struct.unpack_from("!BBHI", packet)[::3] == (8, key)
    assert packet[8:] == payload


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2


def lab(nodes: int, pods: int, underlay: Sequence[str] = ("192.168.0.0/20",)) -> Neighbours:
    layout: Layout = lay_out(Cluster(nodes=nodes, pods_per_node=pods, underlay=underlay))
    return Neighbours(layout, compile_plan("test", layout, make("flannel-vxlan")))


def test_a_pair_across_nodes_leaves_six_entries() -> None:
    assert lab(2, 1).left_by("pod-1-1", "10.244.1.2") == {
        Entry("pod-1-1", "eth0", "10.244.0.1"),
        Entry("node-1", "cni0", "10.244.0.2"),
        Entry("node-1", "eth0", "192.168.0.2"),
        Entry("node-2", "eth0", "192.168.0.1"),
        Entry("node-2", "cni0", "10.244.1.2"),
        Entry("pod-2-1", "eth0", "10.244.1.1"),
    }


def test_a_pair_on_one_node_leaves_two() -> None:
    assert lab(1, 2).left_by("pod-1-1", "10.244.0.3") == {
        Entry("pod-1-1", "eth0", "10.244.0.3"),
        Entry("pod-1-2", "eth0", "10.244.0.2"),
    }


def test_between_subnets_the_entry_is_the_routers() -> None:
    routed = lab(2, 1, ("192.168.1.0/24", "192.168.2.0/24"))
    assert routed.left_by("node-1", "192.168.2.1") == {
        Entry("node-1", "eth0", "192.168.1.254"),
        Entry("node-2", "eth0", "192.168.2.254"),
    }


def test_addresses_of_nobody_and_of_oneself_leave_nothing() -> None:
    assert lab(1, 1).left_by("pod-1-1", "127.0.0.1") == set()
    assert lab(1, 1).left_by("pod-1-1", "10.244.0.2") == set()


def test_batches_keep_order_and_never_leave_more_than_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten: list[set[Entry]] = []
    monkeypatch.setattr(neighbours, "forget", lambda entries: forgotten.append(set(entries)))
    layout = lay_out(Cluster(nodes=4, pods_per_node=60))
    table = Neighbours(layout, compile_plan("test", layout, make("flannel-vxlan")))
    pairs = list(itertools.permutations(layout.pods, 2))[:3000]
    sizes = []

    def work(batch: Sequence[tuple[str, str]]) -> list[str]:
        sizes.append(len(batch))
        return [address for _, address in batch]

    items = [(source.name, str(target.address)) for source, target in pairs]
    assert table.batches(items, lambda item: item, work) == [address for _, address in items]
    assert len(sizes) > 1
    assert sum(sizes) == 3000
    assert max(map(len, forgotten)) <= neighbours.ROOM
    assert len(table.left) <= neighbours.ROOM


def test_a_small_lab_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "forget", lambda entries: pytest.fail("nothing to forget"))
    table = lab(3, 2)
    assert table.batches([("pod-1-1", "10.244.1.2")] * 100, lambda item: item, list)


def test_the_json_has_the_contracts_shape() -> None:
    good = Check("wire", "a", "b", "x", "x", True, "seen")
    bad = Check("mtu", "a", "b", "x", "y", False)
    assert to_json(Report(0.12345, (good, bad))) == {
        "ok": False,
        "seconds": 0.123,
        "summary": {"checks": 2, "passed": 1, "failed": 1},
        "checks": [
            {
                "kind": "wire",
                "from": "a",
                "to": "b",
                "expected": "x",
                "observed": "x",
                "ok": True,
                "evidence": "seen",
            },
            {
                "kind": "mtu",
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
