"""Services: what must come of asking, how much chance may change, and who is asked what."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from netlab import Cluster, Service, ServicePort, kube_proxy
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.plan.probing.actions import Request, Response
from netlab.plan.probing.chance import p_value, upper_tail
from netlab.plan.probing.check import Check
from netlab.plan.probing.expectations import Refused
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.repeated import Repeated
from netlab.plan.probing.serving import (
    DOUBTED,
    MORE,
    PER_ENDPOINT,
    UNLIKELY,
    Dropped,
    Itself,
    Kept,
    NotServed,
    Served,
)
from netlab.probe import runner
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.result import Report
from netlab.report.services import services as services_table
from netlab.topology.layout import lay_out
from tests.unit.labs import probes
from tests.unit.plans import DUAL_STACK

REQUEST = Request("pod-1-1", "10.96.0.9", 80, "tcp")
SEEN = {"a x": ("10.0.0.1",), "b x": ("10.0.0.1",), "c x": ("10.0.0.2",)}
KINDS = {"pod-service", "node-service", "external-service"}
ENDPOINTS = 6
SIX = {f"pod-{number} x": ("10.0.0.1",) for number in range(ENDPOINTS)}


def answers(*counts: tuple[str, str, int]) -> list[Response]:
    found: list[Response] = []
    for who, client, times in counts:
        found += [Response(f"{who} {client}:4000", 0.001)] * times
    return found


def judged(expectation: Any, outcome: Sequence[Response]) -> Any:
    return expectation.judge(Repeated(REQUEST, len(outcome)), outcome)


@pytest.mark.parametrize(
    ("statistic", "degrees", "chance"),
    [
        # From the tables of any textbook.
        (3.841, 1, 0.05),
        (10.828, 1, 0.001),
        (5.991, 2, 0.05),
        (11.345, 3, 0.01),
        (18.307, 10, 0.05),
        (29.588, 10, 0.001),
        (149.449, 100, 0.001),
    ],
)
def test_the_chi_square_distribution_is_that_of_the_tables(
    statistic: float, degrees: int, chance: float
) -> None:
    assert upper_tail(statistic, degrees) == pytest.approx(chance, rel=2e-3)


def test_extreme_counts_are_no_trouble() -> None:
    assert p_value([100_000] + [0] * 400) == 0.0
    assert p_value([0, 0]) == p_value([7]) == p_value([5] * 9) == 1.0


def sample(chance: random.Random, times: int, shares: Sequence[float]) -> list[Response]:
    who = Counter(chance.choices(range(ENDPOINTS), shares, k=times))
    return answers(*((f"pod-{number} x", "10.0.0.1", count) for number, count in who.items()))


def red(chance: random.Random, shares: Sequence[float]) -> tuple[bool, bool]:
    """Whether a sample is doubted, and whether a second one then fails too."""
    times = ENDPOINTS * PER_ENDPOINT
    if judged(Served(SIX, DOUBTED), sample(chance, times, shares)).ok:
        return False, False
    return True, not judged(Served(SIX, UNLIKELY), sample(chance, times * MORE, shares)).ok


def test_a_healthy_port_is_doubted_once_in_a_thousand_times_and_never_red() -> None:
    chance = random.Random(20261126)
    found = Counter(red(chance, [1] * ENDPOINTS) for _ in range(6000))
    doubted = found[True, False]
    assert 1 <= doubted <= 20, "of 6,000 about 6"
    assert found[True, True] == 0


@pytest.mark.parametrize(
    "shares", [(1, 0, 0, 0, 0, 0), (0, 1, 1, 1, 1, 1), (10, 1, 1, 1, 1, 1), (2, 2, 2, 0, 1, 1)]
)
def test_a_skewed_port_is_red(shares: tuple[int, ...]) -> None:
    chance = random.Random(1)
    assert [red(chance, shares) for _ in range(100)].count((True, True)) == 100


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            answers(("a x", "10.0.0.1", 30), ("b x", "10.0.0.1", 30)),
            "c x never answered in 60 connections",
        ),
        (
            answers(("a x", "10.0.0.1", 28), ("b x", "10.0.0.1", 1), ("c x", "10.0.0.2", 1)),
            "uneven, chance does this once in",
        ),
        (
            answers(("a x", "10.0.0.1", 9), ("b x", "10.0.0.9", 9), ("c x", "10.0.0.2", 9)),
            "b x sees 10.0.0.9, not 10.0.0.1",
        ),
        (
            [
                *answers(("a x", "10.0.0.1", 9), ("b x", "10.0.0.1", 9), ("c x", "10.0.0.2", 9)),
                Response(error="timed out after 1.0 s"),
            ],
            "1 of 28 connections: no answer, timed out after 1.0 s",
        ),
        (
            answers(("a x", "10.0.0.1", 9), ("b x", "10.0.0.1", 9), ("c y", "10.0.0.2", 9)),
            "c y answers 9 times and is no endpoint",
        ),
    ],
)
def test_what_is_wrong_with_the_answers_is_told(outcome: list[Response], words: str) -> None:
    verdict = judged(Served(SEEN, DOUBTED), outcome)
    assert not verdict.ok
    assert words in verdict.observed


def test_even_answers_are_told_with_their_counts() -> None:
    outcome = answers(("a x", "10.0.0.1", 10), ("b x", "10.0.0.1", 9), ("c x", "10.0.0.2", 11))
    verdict = judged(Served(SEEN, DOUBTED), outcome)
    assert verdict.ok
    assert verdict.expected == (
        "TCP 10.96.0.9:80: 3 endpoints answer evenly, and see 10.0.0.1 or 10.0.0.2"
    )
    assert verdict.evidence == "c x 11, a x 10, b x 9; chi-square test: p = 0.9"
    few = judged(Served(SEEN), answers(("a x", "10.0.0.1", 3)))
    assert (few.ok, few.evidence) == (True, "a x 3"), "few connections claim no evenness"


def test_a_client_is_kept_at_one_endpoint() -> None:
    assert judged(Kept(SEEN), answers(("b x", "10.0.0.1", 12))).ok
    moved = judged(Kept(SEEN), answers(("b x", "10.0.0.1", 11), ("a x", "10.0.0.1", 1)))
    assert "2 endpoints answer one client: b x 11, a x 1" in moved.observed
    assert not moved.ok


def test_a_pod_comes_to_itself_under_its_nodes_address() -> None:
    itself = Itself("a x", ("10.0.0.254",))
    outcome = answers(("a x", "10.0.0.254", 4), ("b x", "10.0.0.1", 16))
    assert judged(itself, outcome).ok
    kept = judged(itself, answers(("a x", "10.0.0.1", 4)))
    assert "sees 10.0.0.1, not 10.0.0.254" in kept.observed
    lost = [Response(error="timed out after 1.0 s"), *answers(("b x", "10.0.0.1", 19))]
    assert judged(itself, lost).observed == (
        "TCP 10.96.0.9:80: it never answered itself in 20 connections; "
        "1 of 20 connections: no answer, timed out after 1.0 s"
    )


@pytest.mark.parametrize(
    ("error", "dropped", "refused", "not_served"),
    [
        ("timed out after 0.3 s", True, False, True),
        ("connection refused", False, True, True),
        ("network unreachable", False, False, True),
        ("namespace pod-1-1 is gone", False, False, False),
        (None, False, False, False),
    ],
)
def test_refused_is_not_dropped(
    error: str | None, dropped: bool, refused: bool, not_served: bool
) -> None:
    response = Response("a x 10.0.0.1:4000", 0.001, error)
    assert Dropped("why").judge(REQUEST, response).ok is dropped
    assert Refused("why").judge(REQUEST, response).ok is refused
    assert NotServed("why").judge(REQUEST, response).ok is not_served


SERVICES = (
    Service("web", port=80, target_port=8080, node_port=30080),
    Service(
        "echo",
        ports=(
            ServicePort(7, 8080, "TCP", 30007, "echo"),
            ServicePort(7, 8081, "UDP", 30007, "echo-udp"),
        ),
    ),
    Service(
        "near",
        port=80,
        target_port=8080,
        node_port=30081,
        pods=("pod-1-1", "pod-2-1"),
        external_traffic_policy="Local",
        internal_traffic_policy="Local",
    ),
    Service("sticky", port=80, target_port=8080, affinity=10),
    Service("empty", port=80, pods=(), node_port=30082),
    Service("pods", port=8080, cluster_ip="None"),
)


def lab(
    dataplane: str = "flannel-vxlan",
    proxy: Any = None,
    services: Sequence[Service] = SERVICES,
    **fields: Any,
) -> Lab:
    chosen = make(dataplane)
    proxy = proxy or kube_proxy.Iptables()
    layout = lay_out(Cluster(services=services, proxy=proxy, **fields), chosen.ipam)
    return Lab(layout, chosen, compile_plan("test", layout, chosen, proxy), proxy=proxy)


def asked(lab: Lab, kind: str | None = None, source: str = "", port: str = "") -> list[Any]:
    return [
        probe
        for probe in probes(lab)
        if probe.target.startswith("default/") and "container" not in probe.target
        if kind in (None, probe.kind) and source in ("", probe.source) and port in probe.target
    ]


def seen(probe: Any) -> dict[str, str]:
    """The pods that are to answer, and the address that each is to see."""
    return {who.split()[0]: "|".join(ips) for who, ips in probe.expectation.seen.items()}


def at(found: list[Any], address: str) -> Any:
    (probe,) = [one for one in found if one.action.request.address == address]
    return probe


def cluster_ip(lab: Lab, name: str) -> str:
    return next(str(one.cluster_ips[0]) for one in lab.layout.services if one.name == name)


def test_a_lab_without_a_proxy_is_not_asked_for_services() -> None:
    chosen = make("flannel-vxlan")
    layout = lay_out(Cluster(), chosen.ipam)
    bare = Lab(layout, chosen, compile_plan("test", layout, chosen))
    assert [probe for probe in probes(bare) if probe.kind in KINDS] == []


def test_pods_keep_their_address_but_for_themselves() -> None:
    found = lab()
    by_pod = asked(found, source="pod-1-2", port="default/web")
    (hairpin,) = [one for one in by_pod if one.kind == "hairpin"]
    (probe,) = [one for one in by_pod if one.action is hairpin.action and one is not hairpin]
    own = {f"pod-{node}-{pod}": "10.244.0.3" for node in (1, 2, 3) for pod in (1, 2)}
    assert seen(probe) == own | {"pod-1-2": "10.244.0.1"}
    assert hairpin.expectation == Itself("pod-1-2 container-1", ("10.244.0.1",))
    assert probe.again.action.times == MORE * probe.action.times == MORE * PER_ENDPOINT * 6


@pytest.mark.parametrize(
    ("dataplane", "near", "far"),
    [
        ("flannel-vxlan", "10.244.0.1", "10.244.0.0"),
        ("flannel-host-gw", "10.244.0.1", "192.168.0.1"),
        ("calico-bgp", "192.168.0.1", "192.168.0.1"),
    ],
)
def test_nodes_and_clients_outside_get_the_address_of_the_device_on_the_way(
    dataplane: str, near: str, far: str
) -> None:
    found = lab(dataplane)
    places = {pod.name: pod.node for pod in found.layout.pods}
    wanted = {pod: near if node == "node-1" else far for pod, node in places.items()}
    node = asked(found, "node-service", "node-1", "default/web")
    for address in (cluster_ip(found, "web"), "192.168.0.1", "127.0.0.1"):
        assert seen(at(node, address)) == wanted
    outside = asked(found, "external-service", port="default/web")
    assert len(outside) == 3
    assert seen(at(outside, "192.168.0.1")) == wanted


def test_policy_local_keeps_the_clients_address_and_drops_where_there_is_no_endpoint() -> None:
    found = lab()
    near = asked(found, "external-service", port="default/near")
    assert seen(at(near, "192.168.0.1")) == {"pod-1-1": "203.0.113.10"}
    assert seen(at(near, "192.168.0.2")) == {"pod-2-1": "203.0.113.10"}
    dropped = asked(found, "negative", "external", "default/near")
    assert [one.action.address for one in dropped] == ["192.168.0.3"]
    assert not dropped[0].action.wanted, "nobody waits long for what must not come"
    inside = cluster_ip(found, "near")
    on_3 = asked(found, "negative", port="default/near")
    assert {one.source for one in on_3 if one.action.address == inside} == {"pod-3-2", "node-3"}
    # By a NodePort of its own node a pod is served everywhere, as a pod of the cluster.
    (own,) = [
        one
        for one in asked(found, "pod-service", "pod-3-2", "default/near")
        if one.action.request.address == "192.168.0.3"
    ]
    assert seen(own) == {"pod-1-1": "10.244.2.3", "pod-2-1": "10.244.2.3"}


def test_without_endpoints_everybody_is_refused_and_asked_again_where_not() -> None:
    empty = asked(lab(), "negative", port="default/empty")
    refused = [one for one in empty if isinstance(one.expectation, Refused)]
    assert {one.source[:4] for one in refused} == {"pod-", "node", "exte"}
    assert all(one.again.action is one.action for one in refused)


def test_tcp_and_udp_of_one_number_lead_to_their_own_targets() -> None:
    found = asked(lab(), port="default/echo")
    for probe in found:
        if probe.kind in KINDS:
            udp = probe.target == "default/echo:echo-udp 7/UDP"
            assert {probe.action.protocol} <= ({"udp"} if udp else {"tcp", "http"})
            container = "container-2" if udp else "container-1"
            assert {who.split()[1] for who in probe.expectation.seen} == {container}
    assert {probe.action.protocol for probe in found} >= {"tcp", "http", "udp"}


def test_affinity_is_asked_so_often_that_chance_hardly_keeps_a_client() -> None:
    for probe in asked(lab(), port="default/sticky"):
        if probe.kind in KINDS:
            assert isinstance(probe.expectation, Kept)
            assert 6.0 ** (1 - probe.action.times) < 1e-6


def test_options_of_the_proxy_change_what_is_seen() -> None:
    hidden = lab(proxy=kube_proxy.Nftables(masquerade_all=True))
    (probe, *_) = asked(hidden, "pod-service", "pod-1-2", "default/web")
    assert seen(probe)["pod-2-1"] == "10.244.0.0"
    by_device = lab(proxy=kube_proxy.Iptables(detect_local="BridgeInterface", local_device="cni0"))
    (probe, *_) = asked(by_device, "pod-service", "pod-1-2", "default/web")
    assert seen(probe)["pod-2-1"] == "10.244.0.3"


@pytest.mark.parametrize(
    ("proxy", "localhost", "other_port"),
    [
        (kube_proxy.Iptables(), Served, NotServed),
        (kube_proxy.Iptables(localhost_nodeports=False), Refused, NotServed),
        (kube_proxy.Nftables(), Refused, Refused),
    ],
)
def test_what_differs_by_mode_is_the_proxys_word(
    proxy: Any, localhost: type, other_port: type
) -> None:
    found = lab(proxy=proxy)
    to_localhost = [
        one.expectation
        for one in asked(found, source="node-1", port="default/web")
        if "127.0.0.1" in str(one.action)
    ]
    assert [type(one) for one in to_localhost] == [localhost]
    others = [one for one in asked(found, "negative") if getattr(one.action, "port", 0) == 1]
    assert {type(one.expectation) for one in others} == {other_port}


def test_of_two_families_each_is_asked_under_its_own_addresses() -> None:
    web = Service("web", port=80, target_port=8080, dual_stack=True)
    cidrs = ("10.96.0.0/16", "fd00:96::/112")
    both = lab(services=[web], service_cidr=cidrs, **DUAL_STACK)
    found = asked(both, port="default/web")
    assert {probe.action.ipv6 for probe in found if probe.kind == "pod-service"} == {False, True}
    for probe in found:
        if probe.kind == "pod-service":
            assert all((":" in ip) is probe.action.ipv6 for ip in seen(probe).values())


def test_many_services_cost_a_bounded_number_of_connections() -> None:
    many = [Service(f"s{number}", port=80, target_port=8080) for number in range(60)]
    found = asked(lab(services=many, nodes=8, pods_per_node=2))
    actions = {id(probe.action): probe.action for probe in found}.values()
    assert sum(getattr(action, "times", 1) for action in actions) < 8000
    named = {probe.target for probe in found if probe.kind == "pod-service"}
    assert len(named) == 61, "one node of every port, as there is room for that"


def run(found: Lab, wanted: list[Any], monkeypatch: pytest.MonkeyPatch, rounds: Any) -> list[Check]:
    monkeypatch.setattr(runner, "send_requests", lambda asked: next(rounds)(asked))
    machine = runner.Runner(found, Neighbours(found), {}, lambda words: None)
    return machine.run(wanted)


def test_what_fails_is_asked_again_and_the_second_verdict_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = lab()
    (probe, hairpin) = [
        one
        for one in asked(found, source="pod-1-2", port="default/web")
        if getattr(one.action, "times", 0) == 60
    ]

    def uneven(asked: Sequence[Request]) -> list[Response]:
        assert len(asked) == 60, "two probes with one action ask once"
        return [Response("pod-1-2 container-1 10.244.0.1:1", 0.001)] * 60

    def even(asked: Sequence[Request]) -> list[Response]:
        assert len(asked) == 240
        clients = probe.expectation.seen.items()
        return [Response(f"{who} {ips[0]}:1", 0.001) for who, ips in clients] * 40

    first, second = run(found, [probe, hairpin], monkeypatch, iter((uneven, even)))
    assert (first.ok, second.ok) == (True, True)
    assert "asked again, as the first time" in first.evidence
    assert "asked again" not in second.evidence
    still = iter((uneven, lambda asked: uneven(asked[:60]) * 4))
    first, _ = run(found, [probe, hairpin], monkeypatch, still)
    assert not first.ok
    assert "never answered in 240 connections" in first.observed


def test_the_table_has_a_row_for_each_port() -> None:
    def check(kind: Any, source: str, target: str, ok: bool = True) -> Check:
        return Check(kind, source, target, "", "", ok)

    report = Report(
        1.0,
        (
            check("pod-service", "pod-1", "default/web 80/TCP"),
            check("pod-service", "pod-2", "default/web 80/TCP", ok=False),
            check("hairpin", "pod-1", "default/web 80/TCP"),
            check("external-service", "external", "default/web 80/TCP"),
            check("negative", "node-1", "default/empty 80/TCP"),
            check("node-node", "node-1", "node-2"),
        ),
        {"pod-1": "node-1", "pod-2": "node-2"},
        services=("default/web 80/TCP", "default/empty 80/TCP"),
    )
    assert services_table(report, style=False).splitlines()[1:] == [
        "service               from pods  from nodes  from itself  from outside",
        "default/web 80/TCP    FAIL 1/2   .           ok           ok",
        "default/empty 80/TCP  .          no          .            .",
    ]
