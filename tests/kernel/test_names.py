"""A lab named as real clusters are: long names, dots, one pod name in several namespaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import netlab
from netlab import Cluster, Container, Node, Pod
from tests.kernel.conftest import Netlab

WORKER = "worker-1.example.com"
AWS = "ip-172-20-57-246"
LONG_NODE, LONG_POD, LONG_NAMESPACE = "n" * 253, "p" * 253, "q" * 63
SLEEPER = Container("sleeper", ("sleep", "infinity"))
CLUSTER = Cluster(
    nodes=[
        Node(AWS, pods=[Pod("web-0", namespace="prod"), Pod("web.0")]),
        Node(WORKER, pods=[Pod("web-0"), Pod("db-0", namespace="prod")]),
        Node(LONG_NODE, pods=[Pod(LONG_POD, (SLEEPER, Container("server")), LONG_NAMESPACE)]),
    ]
)


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[netlab.Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLAB_STATE", str(shared.state))
        with netlab.up(CLUSTER, name="names") as made:
            yield made


def test_it_is_whole(lab: netlab.Lab) -> None:
    report = lab.verify()
    assert report.ok
    assert {"prod/web-0", "default/web-0", "web.0", LONG_POD} <= {c.source for c in report.checks}
    assert lab.diff().ok


@pytest.mark.parametrize(
    ("target", "hostname"),
    [
        ("prod/web-0", "web-0"),
        ("default/web-0", "web-0"),
        ("db-0", "db-0"),
        ("prod/db-0", "db-0"),
        ("default/web.0", "web.0"),
        (LONG_POD, "p" * 63),
        (f"{LONG_NAMESPACE}/{LONG_POD}", "p" * 63),
        (WORKER, WORKER),
        (LONG_NODE, "n" * 63),
    ],
)
def test_a_target_is_its_name_and_has_the_host_name_that_kubelet_gives(
    lab: netlab.Lab, target: str, hostname: str
) -> None:
    assert lab.target(target).run("hostname").stdout == f"{hostname}\n"


def test_a_name_of_several_pods_is_no_target(lab: netlab.Lab) -> None:
    with pytest.raises(netlab.NetlabError, match="say which: prod/web-0, default/web-0"):
        lab.target("web-0")
    with pytest.raises(netlab.NetlabError, match="say which: prod/web-0, default/web-0"):
        lab.pod("web-0")


def test_status_has_the_names_of_kubernetes_and_the_file_of_the_namespace(
    lab: netlab.Lab,
) -> None:
    pods = {(pod.namespace, pod.name): pod.netns for pod in lab.status().pods}
    assert pods["prod", "web-0"] == "prod_web-0"
    assert pods["prod", "db-0"] == "db-0"
    for netns in pods.values():
        assert lab.attach("test", "-e", f"/run/netns/{netns}") == 0


def test_a_lost_alias_is_seen_and_put_back(lab: netlab.Lab) -> None:
    port = next(link for link in lab.plan.namespaces["underlay"].links if link.alias == AWS)
    lab.target("underlay").run("ip", "link", "set", port.name, "alias", "mine")
    [change] = lab.diff().changed
    assert change.fields == ["alias"]
    assert lab.repair().changes == 1
    assert lab.diff().ok
    shown = lab.target("underlay").run("ip", "link", "show", port.name).stdout
    assert f"alias {AWS}" in shown


def test_a_lost_pod_of_a_namespace_is_made_again(lab: netlab.Lab) -> None:
    assert lab.attach("ip", "netns", "delete", "prod_web-0") == 0
    assert not lab.diff().ok
    lab.repair()
    assert lab.diff().ok
    assert lab.verify().ok
