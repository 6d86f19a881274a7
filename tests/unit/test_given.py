"""What a topology gives of addresses, ports and endpoints; and labs that a host cannot hold."""

from __future__ import annotations

import re
from typing import Any

import pytest

from netlab import BadInput, Cluster, Container, Node, Pod, Service, designing, flannel
from netlab.designing import design
from netlab.errors import Unmet
from netlab.kernel.room import Room, refuse_too_large, refuse_too_many
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout


def cluster(*pods: Pod, **fields: Any) -> Cluster:
    return Cluster(nodes=[Node("n1", pods=pods), Node("n2", pods=0)], **fields)


def test_a_server_is_on_the_port_that_it_was_given() -> None:
    pod = Pod("web", [Container("a", port=10000), Container("b"), Container("c", port=80)])
    [found] = lay_out(cluster(pod)).pods
    assert [one.port for one in found.containers] == [10000, 8081, 80]
    assert len({one.local_port for one in found.containers} | {10000, 8081, 80}) == 6


@pytest.mark.parametrize(
    ("containers", "sentence"),
    [
        ([Container("a", port=81), Container("b", port=81)], "a and b of web would both listen"),
        ([Container("a"), Container("b", port=8080)], "a and b of web would both listen on port"),
        ([Container("a", port=70000)], "cannot have port 70000"),
        ([Container("a", port=-1)], "cannot have port -1"),
        ([Container("a", ("sleep", "9"), port=80)], "its `port` has no effect; leave one"),
    ],
)
def test_ports_that_cannot_be(containers: list[Container], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        lay_out(cluster(Pod("web", containers)))


@pytest.mark.parametrize(
    ("pods", "sentence"),
    [
        ([Pod(address="10.244.0.1")], "10.244.0.1, which is the node's own (the gateway)"),
        ([Pod(address="10.244.9.1")], "which is not in its pod CIDR 10.244.0.0/24"),
        ([Pod(address="10.244.0.255")], "the last of 10.244.0.0/24, which is nobody's"),
        ([Pod(address="10.244.0.5")] * 2, "which another pod has"),
        ([Pod(address="web")], "The address of the pod 1 'web' is not an IPv4 address"),
        ([Pod("p", address="fd44::5")], "address of the pod p, fd44::5, is of a family"),
        ([Pod("a/b")], "'a/b' is not a DNS subdomain"),
    ],
)
def test_pods_that_cannot_be(pods: list[Pod], sentence: str) -> None:
    with pytest.raises(BadInput, match=re.escape(sentence)):
        lay_out(cluster(*pods))


def test_a_service_leads_to_nodes_on_which_something_answers() -> None:
    services = [
        Service("edge", 80, 8443, nodes=("n2",)),
        Service("kubernetes", 443, 6443, nodes=("n1", "n2"), pods=()),
    ]
    layout = lay_out(cluster(services=services))
    assert [one.full_name for one in layout.services] == ["default/kubernetes", "default/edge"]
    assert str(layout.services[0].cluster_ips[0]) == "10.96.0.1"
    assert [e.target for e in layout.services[0].ports[0].endpoints] == ["n1", "n2"]
    servers = [[(c.name, c.port) for c in node.containers] for node in layout.nodes]
    assert servers == [
        [("kube-apiserver", 6443)],
        [("kube-apiserver", 6443), ("edge-8443", 8443)],
    ]
    with pytest.raises(BadInput, match="no node for the Service default/edge 'n3'"):
        lay_out(cluster(services=[Service("edge", 80, nodes=("n3",))]))


@pytest.mark.parametrize(
    ("room", "reason"),
    [
        (Room(1 << 20, 1000, 1000), "0.0 GiB are free"),
        (Room(1 << 40, 10, 1000), "user.max_net_namespaces is 10"),
        (Room(1 << 40, 1000, 10), "there can be 10 processes (RLIMIT_NPROC, kernel.pid_max)"),
        (
            Room(1 << 40, 1000, 1000, 40),
            "a process can have 40 files open, one a namespace (ulimit -Hn)",
        ),
        (Room(1 << 40, 1000, 1000), ""),
    ],
)
def test_a_lab_without_room_is_refused_with_what_it_would_take(room: Room, reason: str) -> None:
    plan = design(Cluster(nodes=3, pods_per_node=4, dataplane=flannel.Vxlan()), {}).plan
    if not reason:
        refuse_too_large(plan, room)
        return
    wanted = "its 12 pods on 3 nodes take at least 19 namespaces, 25 processes and 0.0 GiB"
    with pytest.raises(Unmet, match=f"{wanted} of memory, and {re.escape(reason)}; .*leave pods"):
        refuse_too_large(plan, room)


def test_a_cluster_without_room_is_refused_before_its_plan_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The plan of one that is far too large takes minutes."""
    monkeypatch.setattr(designing, "compile_plan", lambda *_, **__: pytest.fail("a plan is made"))

    def fits(topology: str, layout: Layout) -> None:
        refuse_too_many(topology, layout, Room(1 << 40, 14, 1000))

    wanted = (
        "its 12 pods on 3 nodes take at least 15 namespaces, .* is 14; raise that limit, leave pods"
    )
    with pytest.raises(Unmet, match=wanted):
        design(Cluster(nodes=3, pods_per_node=4, dataplane=flannel.Vxlan()), {}, fits=fits)
