"""Names as real clusters have them: DNS subdomains, in a kernel with short names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netlab
from netlab import Cluster, Container, Node, Pod, flannel
from netlab.plan.compile import compile_plan
from netlab.plan.links import Veth
from netlab.plan.names import DEVICE_NAME_MAX, host_name, netns, switch_port
from netlab.plan.shell import render
from netlab.plan.types import Namespace, Plan
from netlab.topology.layout import lay_out

LONG = "gke-prod-default-pool-3d4c5d6e-abcd"


def plan_of(*nodes: Node) -> Plan:
    return compile_plan("x", lay_out(Cluster(nodes=nodes)), flannel.Vxlan())


def port_of(plan: Plan, node: str) -> tuple[str, str]:
    """The name and alias of a node's port on the switch, as its own end has them."""
    uplink = plan.namespaces[node].link("eth0")
    assert isinstance(uplink, Veth)
    assert uplink.peer is not None
    port = plan.namespaces[uplink.peer.namespace].link(uplink.peer.link)
    return port.name, port.alias


@pytest.mark.parametrize(
    "name",
    ["ip-172-20-57-246", "worker-1.example.com", LONG, "n" * 253, "br0", "lo", "all", "default"],
)
def test_a_name_that_no_device_can_have_is_the_alias_of_its_port(name: str) -> None:
    plan = plan_of(Node(name, pods=1))
    port, alias = port_of(plan, name)
    assert alias == name
    assert port.startswith("port-")
    assert len(port) == DEVICE_NAME_MAX


def test_a_short_name_is_that_of_its_port() -> None:
    assert port_of(plan_of(Node("worker-1.local")), "worker-1.local") == ("worker-1.local", "")


@given(st.text("abc-.", min_size=16, max_size=253), st.text("abc-.", min_size=16, max_size=253))
def test_ports_of_two_machines_have_two_names(one: str, other: str) -> None:
    assert (switch_port(one) == switch_port(other)) == (one == other)


def test_pods_of_one_name_are_told_apart_by_their_namespaces() -> None:
    layout = lay_out(
        Cluster(
            nodes=[
                Node(pods=[Pod("web-0", namespace="prod"), Pod("db-0", namespace="prod")]),
                Node(pods=[Pod("web-0"), Pod("web.0")]),
            ]
        )
    )
    assert [pod.name for pod in layout.pods] == ["prod/web-0", "db-0", "default/web-0", "web.0"]
    assert [pod.own_name for pod in layout.pods] == ["web-0", "db-0", "web-0", "web.0"]
    assert [pod.namespace for pod in layout.pods] == ["prod", "prod", "default", "default"]


def test_two_pods_of_one_name_in_one_namespace_are_refused() -> None:
    pods = [Pod("web-0", namespace="prod"), Pod("web-0")]
    with pytest.raises(netlab.NetlabError, match="would be named 'prod/web-0'; names must be uni"):
        lay_out(Cluster(nodes=[Node(pods=pods), Node(pods=pods[:1])]))


def test_a_container_has_a_host_name_and_answers_under_its_pod_s() -> None:
    pods = [Pod("web-0", (Container("c"),), namespace=name) for name in ("prod", "dev")]
    plan = plan_of(Node(pods=pods))
    item = plan.namespaces["prod/web-0"].containers[0]
    assert (item.hostname, item.pod) == ("web-0", "prod/web-0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prod/web-0", "web-0"),
        ("a" * 63, "a" * 63),
        ("a" * 64, "a" * 63),
        (f"{'a' * 62}.b", "a" * 62),  # kubelet leaves no dot or hyphen at the end
        (f"{'a' * 60}-..b", "a" * 60),
    ],
)
def test_a_host_name_is_cut_as_kubelet_cuts_it(name: str, expected: str) -> None:
    assert host_name(name) == expected


@given(st.lists(st.text("ab-./", min_size=1, max_size=317), unique=True, max_size=4))
def test_files_of_namespaces_are_short_and_tell_names_apart(names: list[str]) -> None:
    files = {netns(name) for name in names}
    assert len(files) == len(names)
    # Its processes' logs are named after it: NAME.CONTAINER.log, of 255 bytes at most.
    assert all("/" not in file and len(f"{file}.{'c' * 63}.log") <= 255 for file in files)


def test_a_script_names_namespaces_by_their_files() -> None:
    pods = [Pod("web-0", namespace=name) for name in ("prod", "dev")]
    script = render(plan_of(Node(LONG, pods=pods)), "")
    assert "netns add prod_web-0" in script
    assert f"alias {LONG}" in script
    assert "prod/web-0 netns" not in script
    assert "netns prod/web-0" not in script


def test_a_namespace_keeps_its_name_in_the_plan() -> None:
    plan = plan_of(Node("n" * 253, pods=0))
    space: Namespace = plan.namespaces["n" * 253]
    assert len(netns(space.name)) == 180
