"""A lab as kubectl would print it: what is read back is the same lab."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from netlab import Cluster, Container, HostAlias, Node, Pod, Service, ServicePort, calico, flannel
from netlab.designing import design
from netlab.report.export import exported
from netlab.state import Design
from netlab.topology import kubectl
from netlab.topology.kubectl.export import to_yaml
from netlab.topology.resolved import Layout

TOPOLOGIES = sorted((Path(__file__).parents[2] / "topologies").glob("*.py"))


def back(wanted: Design, folder: Path, *, form: str = "yaml") -> tuple[Design, list[str]]:
    """What is read of what was written, and what was said not to be in it."""
    document, left_out = exported(wanted.layout, wanted.dataplane, wanted.proxy)
    path = folder / f"lab.{form}"
    path.write_text(json.dumps(document) if form == "json" else to_yaml(document))
    return design(kubectl.read([str(path)]), {}), left_out


def all_pods_named(layout: Layout) -> Layout:
    """Of a Service without a selector Kubernetes knows the endpoints alone.

    That it leads to all pods, those to come too, cannot be said: read back, it leads to these.
    """
    services = []
    for one in layout.services:
        if one.chosen is None and not one.selector:
            names = [pod.own_name for pod in layout.pods if pod.namespace == one.namespace]
            one = dataclasses.replace(one, chosen=tuple(names))
        services.append(one)
    return dataclasses.replace(layout, services=tuple(services))


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_every_shipped_topology_is_the_same_when_it_is_read_back(
    tmp_path: Path, path: Path
) -> None:
    wanted = design(path, {})
    found, left_out = back(wanted, tmp_path)
    assert left_out == []
    assert found.layout == all_pods_named(wanted.layout)
    assert found.plan.namespaces == wanted.plan.namespaces
    assert found.plan.attachments == wanted.plan.attachments
    assert (found.proxy, found.dataplane.name) == (wanted.proxy, wanted.dataplane.name)


MINE = Cluster(
    nodes=[
        Node("control", pods=0),
        Node(
            "worker.example",
            pods=[
                Pod(
                    "web",
                    [Container("server", port=80), Container("sidecar")],
                    "prod",
                    (HostAlias("10.9.9.9", ("db", "db.example")),),
                    ("app=web", "tier=front"),
                    "10.20.23.9",
                ),
                Pod("web", namespace="test", labels=("app=web",)),
                Pod("db", [Container("db", port=5432)], labels=("app=db",)),
            ],
        ),
    ],
    cluster_cidr="10.20.0.0/16",
    node_mask=20,
    service_cidr="10.30.0.0/20",
    node_port_range=(20000, 21000),
    underlay="172.16.9.0/24",
    services=[
        Service("web", 80, selector=("app=web",), namespace="prod", affinity=60, node_port=20005),
        Service("db", 5432, pods=("db",), unready=("db",), publish_not_ready=True),
        Service("leaving", 5432, selector=("app=db",), terminating=("db",)),
        Service("edge", nodes=("control",), ports=(ServicePort(443, 8443, name="https"),)),
        Service("none", 80, pods=(), external_ips=("198.51.100.7",)),
        Service("all", cluster_ip="None", selector=("app=db",), ports=(ServicePort(5432),)),
    ],
    dataplane=flannel.Vxlan(vni=9, port=4789, direct_routing=True, rules="iptables", mtu=1400),
)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_names_ports_labels_ranges_and_options_are_the_same(tmp_path: Path, form: str) -> None:
    wanted = design(MINE, {})
    found, left_out = back(wanted, tmp_path, form=form)
    assert left_out == []
    assert found.layout == wanted.layout
    assert (found.dataplane, found.proxy) == (wanted.dataplane, wanted.proxy)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"dataplane": flannel.Vxlan(tx_checksum=False)},
            "The option tx_checksum of flannel-vxlan",
        ),
        ({"dataplane": calico.Bgp(timers="calico")}, "The option timers of calico-bgp"),
        ({"underlay_mtu": 9000}, "The MTU of the underlay"),
        ({"external": False}, "That there is no client outside"),
        (
            {"nodes": [Node(pods=[Pod("p", [Container("c", ("sleep", "9"))])])]},
            "containers with a command are netlab's servers",
        ),
    ],
)
def test_what_no_object_of_kubernetes_says_is_told(
    tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    wanted = design(dataclasses.replace(Cluster(nodes=2), **fields), {})
    _, left_out = back(wanted, tmp_path)
    assert [sentence in one for one in left_out] == [True]


def test_it_is_what_kubectl_prints() -> None:
    wanted = design(MINE, {})
    text = to_yaml(exported(wanted.layout, wanted.dataplane, wanted.proxy)[0])
    assert text.startswith("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Node\n")
    assert "&id" not in text
    assert "nodePort: 20005" in text
