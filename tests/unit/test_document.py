"""Plans survive JSON exactly and fast; the documents of --json have the contract's shape."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.plan.attachment import Attachment
from netlab.plan.diff import diff
from netlab.plan.document import diff_document, plan_document
from netlab.plan.links import AnyLink
from netlab.plan.processes import Daemon, Owner
from netlab.plan.routing import route
from netlab.plan.types import Namespace, Plan
from tests.unit.plans import ALL_TYPES, LINK_TYPES, full, namespaces, plan_of, space_with


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@given(namespaces(), st.lists(full(Attachment), max_size=2))
def test_any_plan_comes_back_equal(
    spaces: dict[str, Namespace], attachments: list[Attachment]
) -> None:
    plan = Plan("any", ("veth", "bridge"), spaces, attachments)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize("kind", [*ALL_TYPES, Attachment], ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_field_of_every_type_comes_back(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(full(kind))
    text = msgspec.json.encode(value)
    assert msgspec.json.decode(text, type=kind) == value
    assert hash(value) == hash(msgspec.json.decode(text, type=kind))


@pytest.mark.parametrize("kind", LINK_TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_link_s_kind_says_its_type(kind: type[Any], data: st.DataObject) -> None:
    link = data.draw(full(kind))
    document = msgspec.to_builtins(link)
    assert document["kind"] == kind.kind
    assert msgspec.convert(document, AnyLink) == link


def test_what_is_wrong_in_a_stored_plan_is_named() -> None:
    text = msgspec.json.encode(plan_of("flannel-vxlan", nodes=1))
    for wrong, right, spot in (
        (b'"vni":"1"', b'"vni":1', r"\$\.namespaces.*\.vni"),
        (b'"kind":"vxlam"', b'"kind":"vxlan"', "vxlam"),
    ):
        assert right in text
        with pytest.raises(msgspec.ValidationError, match=spot):
            msgspec.json.decode(text.replace(right, wrong), type=Plan)


def test_the_shape_is_that_of_the_contract() -> None:
    data = through_json(plan_document(plan_of("flannel-vxlan", nodes=2, pods_per_node=1)))
    assert data["topology"] == "test"
    assert data["requires"] == ["bridge", "veth", "vxlan", "nftables-masquerade"]
    assert list(data["namespaces"]) == [
        "underlay",
        "internet",
        "router",
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
        "rules",
        "ruleset",
        "daemons",
        "containers",
    }
    assert node["role"] == "node"
    assert node["sysctls"]["net/ipv4/ip_forward"] == "1"
    assert [(table["family"], table["name"]) for table in node["ruleset"]] == [
        ("ip", "flannel-ipv4")
    ]
    vxlan = next(link for link in node["links"] if link["kind"] == "vxlan")
    assert (
        vxlan
        | {
            "vni": 1,
            "port": 8472,
            "local": "192.168.0.1",
            "device": "eth0",
            "learning": False,
            "gbp": False,
        }
        == vxlan
    )
    assert node["daemons"] == []
    pod = data["namespaces"]["pod-1-1"]
    assert pod["ruleset"] == []
    assert pod["links"][0]["peer"]["namespace"] == "node-1"
    assert pod["containers"][1] == {
        "name": "container-2",
        "hostname": "pod-1-1",
        "command": None,
        "port": 8081,
        "local_port": 10001,
        "pod": "",
        "env": [],
        "ready": None,
        "addresses": ["10.244.0.2"],
        "aliases": [],
        "namespace": "default",
        "nameserver": "",
    }
    assert [(one["pod"], one["device"]) for one in data["attachments"]] == [
        ("pod-1-1", "eth0"),
        ("pod-2-1", "eth0"),
    ]


def test_a_difference_says_what_where_and_how() -> None:
    want = plan_of("flannel-vxlan", nodes=2).namespaces
    have = plan_of("flannel-vxlan", nodes=2, pods_per_node=3, underlay_mtu=1400).namespaces
    del have["pod-1-2"]
    data = through_json(diff_document(diff(want, have)))
    assert data["ok"] is False
    assert {"namespace": "pod-1-2", "kind": "namespace", "object": "the whole namespace"} in data[
        "missing"
    ]
    address = next(entry for entry in data["missing"] if entry["kind"] == "address")
    assert address == {
        "namespace": "pod-1-2",
        "kind": "address",
        "object": "address 10.244.0.3/24 dev eth0",
        "want": {
            "link": "eth0",
            "address": "10.244.0.3/24",
            "scope": "global",
            "nodad": False,
            "state": "",
            "others": "",
        },
    }
    extra = [entry for entry in data["unexpected"] if entry["namespace"] == "node-1"]
    assert [entry["kind"] for entry in extra] == ["link"]
    assert extra[0]["have"]["master"] == "cni0"
    mtu = next(e for e in data["changed"] if e["namespace"] == "pod-1-1" and e["kind"] == "link")
    assert (mtu["fields"], mtu["want"]["mtu"], mtu["have"]["mtu"]) == (["mtu"], 1450, 1350)


def test_what_daemons_own_and_owe_names_them() -> None:
    learned = route("10.9.0.0/24", "eth0", "10.0.0.2", protocol="bird")
    bird = Daemon(name="bird", command=("bird",), owns=Owner(protocols=("bird",)))
    bird = msgspec.structs.replace(bird, brings=(route("10.8.0.0/24", "eth0", "10.0.0.2"),))
    data = through_json(
        diff_document(diff({"a": space_with(bird)}, {"a": space_with(bird, learned)}))
    )
    [foreign], [missing] = data["foreign"], data["missing"]
    assert (foreign["owner"], foreign["have"]["protocol"]) == ("bird", "bird")
    assert (missing["owner"], missing["want"]["destination"]) == ("bird", "10.8.0.0/24")
    assert data["ok"] is False


def test_no_difference_is_ok_and_empty() -> None:
    spaces = plan_of("flannel-host-gw").namespaces
    assert diff_document(diff(spaces, spaces)) == {
        "ok": True,
        "missing": [],
        "unexpected": [],
        "changed": [],
        "foreign": [],
        "not_compared": [],
        "checks_failed": False,
    }


def test_a_thousand_pods_take_a_fraction_of_a_second() -> None:
    """6 ms to write and 10 ms to read are the aim; the limit leaves room for a slow machine."""
    plan = plan_of("flannel-vxlan", nodes=10, pods_per_node=100)
    start = time.process_time()
    back = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    assert time.process_time() - start < 0.5
    assert back == plan
