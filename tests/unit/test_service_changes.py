"""Services changed at run time: which endpoints there are then, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import BadInput, Cluster, Node, Pod, Service, ServicePort
from netlab.designing import design, spread_design, with_services
from netlab.hosts import share as calls
from netlab.hosts.lab import Known, SpreadLab
from netlab.inside import Applied
from netlab.plan.diff import diff
from netlab.plan.machines import Machine
from netlab.plan.rulesets import NftTable
from netlab.topology import changes
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout
from netlab.topology.services import warnings

WEB = Service("web", port=80, target_port=8080)
ECHO = Service(
    "echo", ports=(ServicePort(7, 8080, name="a"), ServicePort(7, 8081, "UDP", name="b"))
)


def layout(*services: Service, **fields: Any) -> Layout:
    return lay_out(Cluster(services=services or (WEB, ECHO), proxy="nftables", **fields))


def endpoints(layout: Layout, name: str = "web") -> list[str]:
    """The pods behind each port, which are the same."""
    service = changes.named(layout.services, name)
    first, *others = ([one.target for one in port.endpoints] for port in service.ports)
    assert all(other == first for other in others)
    return first


def test_so_many_pods_are_endpoints_and_evenly_on_the_nodes() -> None:
    all_six = layout()
    three = changes.scaled(all_six, "web", 3)
    assert endpoints(three) == ["pod-1-1", "pod-2-1", "pod-3-1"]
    assert endpoints(three, "echo") == endpoints(all_six, "echo")
    assert endpoints(changes.scaled(three, "web", 4)) == [
        "pod-1-1",
        "pod-1-2",
        "pod-2-1",
        "pod-3-1",
    ]
    none = changes.scaled(three, "default/web", 0)
    assert endpoints(none) == []
    assert changes.scaled(none, "web", 3) == three
    assert changes.scaled(three, "web", 6) == all_six, "the same as before, in the same order"
    assert changes.scaled(all_six, "web", 6) == all_six


def test_those_that_are_there_stay() -> None:
    found = layout()
    for pod in ("pod-1-1", "pod-2-1", "pod-3-1", "pod-3-2"):
        found = changes.without_endpoint(found, "web", pod)
    assert endpoints(found) == ["pod-1-2", "pod-2-2"]
    assert endpoints(changes.scaled(found, "web", 3)) == ["pod-1-2", "pod-2-2", "pod-3-1"]
    assert endpoints(changes.scaled(found, "web", 1)) == ["pod-1-2"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_scaling_keeps_what_it_can_and_nodes_even(counts: list[int]) -> None:
    found = layout(WEB, pods_per_node=3)
    for count in counts:
        before = set(endpoints(found))
        found = changes.scaled(found, "web", count)
        now = set(endpoints(found))
        assert len(now) == count
        assert now <= before or before <= now
        loads = [sum(pod.startswith(f"pod-{node}-") for pod in now) for node in (1, 2, 3)]
        assert max(loads) - min(loads) <= 1


def test_every_port_and_family_has_the_endpoints() -> None:
    dual = layout(
        Service("both", port=80, target_port=8080, dual_stack=True),
        WEB,
        cluster_cidr=("10.244.0.0/16", "fd44::/56"),
        service_cidr=("10.96.0.0/12", "fd96::/112"),
    )
    for name, wanted in (("both", "10.244.0.2:8080 [fd44::2]:8080"), ("web", "10.244.0.2:8080")):
        found = changes.with_endpoint(changes.scaled(dual, name, 0), name, "pod-1-1")
        (port,) = changes.named(found.services, name).ports
        assert " ".join(map(str, port.endpoints)) == wanted
    found = changes.without_endpoint(layout(), "echo", "default/pod-1-2")
    ports = changes.named(found.services, "echo").ports
    assert [{one.port for one in port.endpoints} for port in ports] == [{8080}, {8081}]


def test_an_endpoint_keeps_its_conditions_and_a_new_one_is_ready() -> None:
    unready = layout(Service("web", port=80, target_port=8080, unready=("pod-1-1",)))
    found = changes.scaled(unready, "web", 1)
    assert [one.ready for one in found.services[1].ports[0].endpoints] == [False]
    found = changes.scaled(changes.scaled(unready, "web", 0), "web", 1)
    assert [one.ready for one in found.services[1].ports[0].endpoints] == [True]


def test_a_selector_and_names_decide_and_what_was_added_counts() -> None:
    labelled = [Pod(name, labels=("app=web",)) for name in ("a", "b")]
    nodes = [Node(pods=[*labelled, Pod("c"), Pod("d", namespace="prod")])]
    found = layout(
        Service("web", port=80, target_port=8080, selector=("app=web",)),
        Service("few", port=80, target_port=8080, pods=("c",)),
        nodes=nodes,
    )
    with pytest.raises(BadInput, match="can have 2 endpoints, not 3: so many pods are selected by"):
        changes.scaled(found, "web", 3)
    found = changes.with_endpoint(found, "web", "c")
    assert endpoints(found) == ["a", "b", "c"]
    assert endpoints(changes.scaled(found, "web", 3)) == ["a", "b", "c"]
    with pytest.raises(BadInput, match="named by it; `netlab endpoint add default/few POD` adds"):
        changes.scaled(found, "few", 2)


def test_a_service_has_what_it_would_have_in_the_topology() -> None:
    more = Service("more", port=53, target_port=8081, protocol="UDP", type="NodePort")
    assert changes.with_service(layout(WEB), more) == layout(WEB, more)
    assert changes.without_service(layout(WEB, more), "more") == layout(WEB)
    headless = Service("pods", port=8080, cluster_ip="None")
    assert changes.with_service(layout(headless, WEB), ECHO) == layout(headless, WEB, ECHO)


def test_an_address_or_node_port_is_given_once() -> None:
    found = layout(Service("web", port=80, target_port=8080, node_port=30080))
    taken = str(found.services[1].cluster_ips[0])
    for fields in ({"node_port": 30080}, {"cluster_ip": taken}):
        with pytest.raises(BadInput, match="is that of default/web"):
            changes.with_service(found, Service("more", port=80, target_port=8080, **fields))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda all_: changes.scaled(all_, "wep", 1), "no Service 'wep'; did you mean web"),
        (lambda all_: changes.scaled(all_, "x/web", 1), "no Service 'x/web'; did you mean default"),
        (lambda all_: changes.scaled(all_, "web", -1), "cannot have -1 endpoints"),
        (
            lambda all_: changes.scaled(all_, "web", 7),
            "can have 6 endpoints, not 7: .*; `netlab up TOPOLOGY --pods-per-node N` makes more",
        ),
        (lambda all_: changes.scaled(all_, "kubernetes", 1), "API server, .* cannot be changed"),
        (lambda all_: changes.without_service(all_, "kubernetes"), "cannot be changed"),
        (lambda all_: changes.with_endpoint(all_, "web", "pod-1-3"), "did you mean .*pod-1-2"),
        (lambda all_: changes.with_endpoint(all_, "web", "pod-1-2"), "endpoint of .* already"),
        (
            lambda all_: changes.without_endpoint(all_, "few", "pod-2-1"),
            "is no endpoint of the Service default/few; its endpoints are: pod-1-1",
        ),
        (lambda all_: changes.with_endpoint(all_, "80", "pod-1-1"), "listens on 8080, 8081"),
        (lambda all_: changes.scaled(all_, "nothing", 1), "has no port, and so no endpoints"),
        (lambda all_: changes.with_service(all_, WEB), "is a Service default/web already"),
        (lambda all_: changes.with_service(all_, Service("a_b", port=1)), "not a DNS label"),
        (lambda all_: changes.with_service(all_, Service("new")), "has no port"),
        (lambda all_: changes.scaled(all_, "twice", 1), "say which: a/twice, b/twice"),
    ],
)
def test_what_cannot_be_is_one_sentence(change: Callable[[Layout], Layout], sentence: str) -> None:
    found = layout(
        WEB,
        Service("few", port=80, target_port=8080, pods=("pod-1-1",)),
        Service("80", port=80, pods=()),
        Service("nothing", cluster_ip="None", pods=()),
        Service("twice", port=80, pods=(), namespace="a"),
        Service("twice", port=80, pods=(), namespace="b"),
    )
    with pytest.raises(BadInput, match=sentence):
        change(found)


def test_only_a_service_that_selects_nothing_is_warned_about() -> None:
    lost = Service("lost", port=80, selector=("app=x",))
    found = layout(WEB, lost, Service("none", port=80, pods=()))
    assert list(warnings(found)) == [
        "The Service default/lost has no endpoints: its selector app=x matches no pods."
    ]
    assert list(warnings(changes.scaled(layout(WEB), "web", 0))) == []


def test_nothing_but_the_nodes_rules_differs_and_what_was_forced_stays_so() -> None:
    """host-gw refuses two subnets, unless it is forced to be built there."""
    cluster = Cluster(
        services=[WEB],
        proxy="nftables",
        dataplane="flannel-host-gw",
        underlay=("192.168.0.0/24", "192.168.1.0/24"),
    )
    before = design(cluster, {}, force=True)
    after = with_services(before, changes.scaled(before.layout, "web", 1).services)
    found = diff(after.plan.namespaces, before.plan.namespaces)
    assert (found.missing, found.unexpected) == ([], [])
    assert [one.namespace for one in found.changed] == ["node-1", "node-2", "node-3"]
    assert all(isinstance(one.want, NftTable) for one in found.changed)
    again = with_services(after, before.layout.services)
    assert again == before


def test_each_machine_has_its_part_of_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(nodes=2, services=[WEB], proxy="nftables", dataplane="flannel-host-gw")
    machines = (Machine(name="vm-1", device="eth1"), Machine(name="vm-2", device="eth1"))
    before, how = spread_design(cluster, {}, machines, shares_segment=True, lab="mine")
    lab = SpreadLab.__new__(SpreadLab)
    staged: list[Any] = []
    folder = SimpleNamespace(name="mine", staged=lambda files: nullcontext(staged.append(files)))
    monkeypatch.setattr(lab, "folder", folder, raising=False)
    monkeypatch.setattr(lab, "known", Known("hosts", None, how), raising=False)
    monkeypatch.setattr(lab, "all_machines", lambda progress: dict.fromkeys(("vm-1", "vm-2")))
    built: dict[str, calls.Build] = {}

    def ask(asked: Any, call: Any, given: Any, progress: Any) -> dict[str, Applied]:
        assert call is calls.change
        built.update((name, given(name)) for name in asked)
        return {name: Applied(1, 1, 0.5) for name in asked}

    monkeypatch.setattr("netlab.hosts.lab.ask", ask)
    scaled = changes.scaled(before.layout, "web", 1)
    wanted = lab._as_spread(with_services(before, scaled.services))
    assert lab.remake(None, wanted) == Applied(2, 2, 0.5)
    found = diff(wanted.plan.namespaces, before.plan.namespaces)
    assert [one.namespace for one in found.changed] == ["node-1", "node-2"]
    assert len(found) == 2, "uplinks are still those on the machines"
    assert [files["plan.json"] for files in staged] == [wanted.plan]
    for name, one in built.items():
        assert (one.share.machine, one.share.spread, one.share.whole) == (name, how, wanted.plan)
        assert one.file.layout == wanted.layout
