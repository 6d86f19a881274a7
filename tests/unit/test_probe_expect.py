"""Whom the expectations cover, and how each one judges what was seen."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from netlab import Cluster, Container, Node, Pod
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.probe.expect import Echo, Expectations, Siblings, Talk, barriers, expect
from netlab.probe.icmp import Ping, Pong
from netlab.probe.l4 import Answer, Request
from netlab.probe.pairs import Volume, pod_pairs
from netlab.topology.layout import Layout, lay_out

SUBNETS = ["192.168.1.0/24", "192.168.2.0/24"]


def expectations(
    dataplane: str = "flannel-vxlan", volume: Volume | None = None, **fields: Any
) -> tuple[Layout, Expectations]:
    layout = lay_out(Cluster(**fields))
    chosen = make(dataplane)
    plan = compile_plan("test", layout, chosen, force=True)
    volume = volume or Volume()
    barrier = barriers(layout, chosen)
    return layout, expect(layout, plan, volume, pod_pairs(layout, volume), barrier)


def test_every_ordered_pair_of_a_small_lab_is_probed_by_every_protocol() -> None:
    layout, found = expectations()
    pairs = set(itertools.permutations([pod.name for pod in layout.pods], 2))
    kinds = ("pod-same-node", "pod-cross-node")
    assert {(e.source, e.target) for e in found.echoes if e.kind in kinds} == pairs
    for protocol in ("tcp", "http", "udp"):
        talks = [talk for talk in found.talks if talk.kind in kinds]
        asked = {(t.source, t.target) for t in talks if t.request.protocol == protocol}
        assert asked == pairs


def test_the_kind_says_whether_the_pods_share_a_node() -> None:
    layout, found = expectations()
    places = {pod.name: pod.node for pod in layout.pods}
    for echo in found.echoes:
        if echo.source in places and echo.target in places:
            same = places[echo.source] == places[echo.target]
            assert echo.kind == ("pod-same-node" if same else "pod-cross-node")


def test_a_pods_own_address_must_be_seen_in_the_cluster_and_its_nodes_outside() -> None:
    layout, found = expectations()
    addresses = {pod.name: str(pod.address) for pod in layout.pods}
    nodes = {pod.name: str(layout.node(pod.node).address) for pod in layout.pods}
    for talk in found.talks:
        if talk.kind in ("pod-same-node", "pod-cross-node"):
            assert talk.clients == (addresses[talk.source],)
        if talk.kind == "pod-external":
            assert talk.clients == (nodes[talk.source],)
    assert {talk.source for talk in found.talks if talk.kind == "pod-external"} == set(addresses)


def test_every_node_reaches_pods_of_its_own_and_of_others() -> None:
    layout, found = expectations()
    places = {pod.name: pod.node for pod in layout.pods}
    for node in layout.nodes:
        targets = {places[e.target] for e in found.echoes if e.source == node.name}
        assert targets == {other.name for other in layout.nodes}


@pytest.mark.parametrize(
    ("dataplane", "remote"), [("flannel-vxlan", "10.244.0.0"), ("flannel-host-gw", "192.168.0.1")]
)
def test_a_pod_must_see_the_address_by_which_a_node_sends(dataplane: str, remote: str) -> None:
    _, found = expectations(dataplane)
    seen = {t.target: t.clients for t in found.talks if t.source == "node-1"}
    assert seen == {"pod-1-1": ("10.244.0.1",), "pod-2-1": (remote,), "pod-3-1": (remote,)}


def test_what_must_not_work_is_expected_not_to() -> None:
    _, found = expectations()
    outside = [echo for echo in found.echoes if echo.source == "external"]
    assert {echo.target for echo in outside} == {"pod-1-1", "pod-2-1", "pod-3-1"}
    assert all(echo.kind == "negative" and not echo.ping.wanted for echo in outside)
    local = [talk for talk in found.talks if talk.kind == "negative"]
    assert {talk.source for talk in local} == {f"pod-{n}-{p}" for n in (1, 2, 3) for p in (1, 2)}
    assert all(talk.request.address == "127.0.0.1" and not talk.speaker for talk in local)
    assert all(not talk.target.startswith(f"{talk.source}/") for talk in local)


def test_pairs_that_the_dataplane_calls_unreachable_are_negative_and_not_asked() -> None:
    layout, found = expectations("flannel-host-gw", underlay=SUBNETS)
    subnets = {pod.name: layout.node(pod.node).subnet for pod in layout.pods}
    for echo in found.echoes:
        if echo.source in subnets and echo.target in subnets:
            apart = subnets[echo.source] != subnets[echo.target]
            assert (echo.kind == "negative") is apart
            assert (echo.barrier is not None) is apart
    nodes = {(e.source, e.target): e for e in found.echoes if e.source == "node-1" and e.barrier}
    assert set(nodes) == {("node-1", "pod-2-1"), ("node-1", "pod-2-2")}
    assert all(echo.kind == "negative" and not echo.ping.wanted for echo in nodes.values())
    for talk in found.talks:
        if talk.source in subnets and talk.target in subnets:
            assert subnets[talk.source] == subnets[talk.target]


def test_a_router_between_is_asked_once_only() -> None:
    _, found = expectations(underlay=SUBNETS)
    assert sum(echo.source == "external" for echo in found.echoes) == 1


def test_a_lab_may_lack_almost_everything() -> None:
    _, empty = expectations(nodes=1, pods_per_node=0, external=False)
    assert empty == Expectations()
    _, lonely = expectations(nodes=1, pods_per_node=1, containers=0)
    assert [(echo.kind, echo.source) for echo in lonely.echoes] == [
        ("node-pod", "node-1"),
        ("pod-external", "pod-1-1"),
        ("negative", "external"),
    ]
    assert [talk.kind for talk in lonely.talks] == ["pod-external"]


def test_a_container_with_a_command_is_not_asked_but_its_namespaces_are_compared() -> None:
    containers = (Container("server"), Container("own", command=("sleep", "9")))
    _, found = expectations(nodes=[Node(pods=[Pod("web", containers=containers)])], external=False)
    to_own, to_server = found.siblings
    assert (to_own.other, to_own.request) == ("own", None)
    assert to_server.request is not None
    assert {talk.speaker for talk in found.talks} == {"web server"}


def test_a_large_lab_is_not_asked_for_everything() -> None:
    layout, found = expectations(nodes=8, pods_per_node=20)
    assert len(layout.pods) == 160
    everything = len(found.echoes) + len(found.talks) + len(found.siblings)
    assert everything < 2000
    kinds = ("pod-same-node", "pod-cross-node")
    pairs = [echo for echo in found.echoes if echo.kind in kinds]
    assert {echo.source for echo in pairs} == {pod.name for pod in layout.pods}
    assert {echo.target for echo in pairs} == {pod.name for pod in layout.pods}


PING = Ping("pod-1-1", "10.244.1.2")


@pytest.mark.parametrize(
    ("barrier", "pong", "ok", "observed"),
    [
        (None, Pong(0.00008, 62), True, "echo reply"),
        (None, Pong(error="no reply in 1.0 s"), False, "no reply in 1.0 s"),
        ("no route", Pong(error="network unreachable"), True, "network unreachable"),
        ("no route", Pong(0.00008, 62), False, "echo reply"),
        ("no route", Pong(error="namespace pod-1-1 is gone"), False, "namespace pod-1-1 is gone"),
    ],
)
def test_an_echo_is_judged(barrier: str | None, pong: Pong, ok: bool, observed: str) -> None:
    check = Echo("pod-cross-node", "pod-1-1", "pod-2-1", PING, barrier).judge(pong)
    assert (check.ok, check.observed) == (ok, observed)
    assert ("ttl 62" in check.evidence) is (pong.error is None)


REQUEST = Request("pod-1-1", "10.244.1.2", 8080, "tcp")


@pytest.mark.parametrize(
    ("answer", "ok", "observed"),
    [
        (Answer("pod-2-1 c1 10.244.0.2:4711"), True, "pod-2-1 c1 answers 10.244.0.2"),
        (Answer("pod-2-2 c1 10.244.0.2:4711"), False, "pod-2-2 c1 answers 10.244.0.2"),
        (Answer("pod-2-1 c1 192.168.0.1:4711"), False, "pod-2-1 c1 answers 192.168.0.1"),
        (Answer("garbage"), False, "TCP 8080"),
        (Answer(error="connection refused"), False, "connection refused"),
    ],
)
def test_an_answer_is_judged_by_who_speaks_and_whom_it_saw(
    answer: Answer, ok: bool, observed: str
) -> None:
    talk = Talk("pod-cross-node", "pod-1-1", "pod-2-1", REQUEST, "pod-2-1 c1", ("10.244.0.2",))
    check = talk.judge(answer)
    assert check.ok is ok
    assert observed in check.observed


def test_only_a_refusal_is_a_refusal() -> None:
    talk = Talk("negative", "pod-1-1", "pod-2-1/c1", REQUEST, None)
    assert talk.judge(Answer(error="connection refused")).ok
    assert not talk.judge(Answer(error="timed out after 1.0 s")).ok
    assert not talk.judge(Answer("pod-2-1 c1 127.0.0.1:1")).ok


MINE = {"net": 1, "pid": 10, "mnt": 20, "uts": 30}
OTHERS = {"net": 1, "pid": 11, "mnt": 21, "uts": 31}
GOOD = Answer("web two 127.0.0.1:5000")


@pytest.mark.parametrize(
    ("answer", "others", "inode", "words"),
    [
        (GOOD, OTHERS, 1, None),
        (GOOD, OTHERS, None, None),
        (GOOD, OTHERS, 2, "not the pod's"),
        (GOOD, OTHERS | {"net": 3}, 1, "network namespaces differ"),
        (GOOD, OTHERS | {"pid": 10, "uts": 30}, 1, "share the pid and uts namespace"),
        (GOOD, None, 1, "two is not running"),
        (Answer(error="connection refused"), OTHERS, 1, "connection refused"),
        (Answer("db one 127.0.0.1:5000"), OTHERS, 1, "db one 127.0.0.1:5000 answers"),
    ],
)
def test_containers_of_a_pod_are_judged(
    answer: Answer, others: dict[str, int] | None, inode: int | None, words: str | None
) -> None:
    siblings = Siblings("web", "one", "two", Request("web", "127.0.0.1", 10001, "tcp"))
    known = {("web", "one"): MINE} | ({("web", "two"): others} if others else {})
    check = siblings.judge(answer, known, inode)
    assert check.ok is (words is None)
    assert (check.source, check.target) == ("web/one", "web/two")
    assert words is None or words in check.observed
