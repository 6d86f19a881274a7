"""Plans and layouts survive JSON exactly, in the contract's shape, and fast."""

import json
import time
from typing import Any

from hypothesis import given

from netlab import Cluster, Container, Node, Pod
from netlab.plan.diff import diff
from netlab.plan.jsonify import diff_to_json, plan_from_json, plan_to_json
from netlab.plan.types import Namespace, Plan
from netlab.topology.layout import lay_out
from netlab.topology.layout_json import layout_from_json, layout_to_json
from tests.unit.plans import namespaces, plan_of
from tests.unit.test_layout import clusters


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@given(namespaces())
def test_any_plan_comes_back_equal(spaces: dict[str, Namespace]) -> None:
    plan = Plan("any", ("veth", "bridge"), spaces)
    assert plan_from_json(through_json(plan_to_json(plan))) == plan


@given(clusters())
def test_any_layout_comes_back_equal(cluster: Cluster) -> None:
    layout = lay_out(cluster)
    assert layout_from_json(through_json(layout_to_json(layout))) == layout


def test_a_layout_keeps_commands_and_order() -> None:
    pods = [Pod("web", (Container("a", ("sleep", "9")), Container("b")))]
    layout = lay_out(Cluster(nodes=[Node("z", pods), Node("a")], external=False))
    back = layout_from_json(through_json(layout_to_json(layout)))
    assert back == layout
    assert [node.name for node in back.nodes] == ["z", "a"]
    assert back.pods[0].containers[0].command == ("sleep", "9")
    assert back.external is None


def test_the_shape_is_that_of_the_contract() -> None:
    data = plan_to_json(plan_of("flannel-vxlan", nodes=2, pods_per_node=1))
    assert data["topology"] == "test"
    assert data["requires"] == ["veth", "bridge", "vxlan", "nftables-masquerade"]
    assert list(data["namespaces"]) == [
        "underlay",
        "external",
        "node-1",
        "pod-1-1",
        "node-2",
        "pod-2-1",
    ]
    node = data["namespaces"]["node-1"]
    assert node.keys() >= {
        "role",
        "links",
        "addresses",
        "routes",
        "neighbours",
        "fdb",
        "sysctls",
        "ruleset",
        "daemons",
    }
    assert node["role"] == "node"
    assert node["sysctls"]["net/ipv4/ip_forward"] == "1"
    assert node["ruleset"].startswith("table ip flannel-ipv4 {\n")
    vxlan = next(link for link in node["links"] if link["kind"] == "vxlan")
    assert vxlan["vxlan"] == {
        "vni": 1,
        "port": 8472,
        "local": "192.168.0.1",
        "device": "eth0",
        "learning": False,
        "gbp": False,
    }
    pod = data["namespaces"]["pod-1-1"]
    assert pod["ruleset"] is None
    assert pod["links"][0]["peer"]["namespace"] == "node-1"
    assert pod["daemons"][1] == {
        "name": "container-2",
        "hostname": "pod-1-1",
        "command": None,
        "port": 8081,
        "local_port": 10001,
    }


def test_a_difference_says_what_where_and_how() -> None:
    want = plan_of("flannel-vxlan", nodes=2).namespaces
    have = plan_of("flannel-vxlan", nodes=2, pods_per_node=3, underlay_mtu=1400).namespaces
    del have["pod-1-2"]
    data = through_json(diff_to_json(diff(want, have)))
    assert data["ok"] is False
    assert {"namespace": "pod-1-2", "kind": "namespace", "object": "the whole namespace"} in data[
        "missing"
    ]
    address = next(entry for entry in data["missing"] if entry["kind"] == "address")
    assert address == {
        "namespace": "pod-1-2",
        "kind": "address",
        "object": "address 10.244.0.3/24 dev eth0",
        "want": {"link": "eth0", "address": "10.244.0.3/24"},
    }
    extra = [entry for entry in data["unexpected"] if entry["namespace"] == "node-1"]
    assert [entry["kind"] for entry in extra] == ["link"]
    assert extra[0]["have"]["master"] == "cni0"
    mtu = next(e for e in data["changed"] if e["namespace"] == "pod-1-1" and e["kind"] == "link")
    assert (mtu["fields"], mtu["want"]["mtu"], mtu["have"]["mtu"]) == (["mtu"], 1450, 1350)


def test_no_difference_is_ok_and_empty() -> None:
    spaces = plan_of("flannel-host-gw").namespaces
    assert diff_to_json(diff(spaces, spaces)) == {
        "ok": True,
        "missing": [],
        "unexpected": [],
        "changed": [],
    }


def test_a_thousand_pods_take_well_under_a_second() -> None:
    """60 ms each way is the aim; the limit leaves room for a slow machine."""
    plan = plan_of("flannel-vxlan", nodes=10, pods_per_node=100)
    start = time.process_time()
    data = plan_to_json(plan)
    back = plan_from_json(data)
    assert time.process_time() - start < 0.6
    assert back == plan
