"""What a lab's folder holds comes back equal, and is refused when it is anything else."""

import json
import time
from typing import Any

import pytest
from hypothesis import given

from netlab import BadInput, Cluster, Container, Node, Pod
from netlab.dataplane import make, reference, resolve
from netlab.plan.processes import Daemon, File, Owner, Ready
from netlab.plan.routing import route
from netlab.plan.types import Namespace, Plan, Reference
from netlab.state import LayoutFile, as_stored, decode, encode
from netlab.topology.layout import lay_out
from tests.unit.plans import namespaces, plan_of
from tests.unit.test_layout import clusters

ANY = Reference(name="any", options={}, file=None, **{"class": "Any"})


@given(namespaces())
def test_any_plan_comes_back_equal(spaces: dict[str, Namespace]) -> None:
    plan = Plan("any", ("veth", "bridge"), spaces)
    assert decode(encode(plan), Plan) == plan


@given(clusters())
def test_any_layout_comes_back_equal(cluster: Cluster) -> None:
    stored = LayoutFile(lay_out(cluster), ANY)
    assert decode(encode(stored), LayoutFile) == stored


def test_a_layout_keeps_commands_and_order() -> None:
    pods = [Pod("web", (Container("a", ("sleep", "9")), Container("b")))]
    layout = lay_out(Cluster(nodes=[Node("z", pods), Node("a")], external=False))
    back = decode(encode(LayoutFile(layout, ANY)), LayoutFile).layout
    assert back == layout
    assert [node.name for node in back.nodes] == ["z", "a"]
    assert back.pods[0] is back.nodes[0].pods[0]
    assert back.pods[0].containers[0].command == ("sleep", "9")
    assert back.external is None


def test_a_daemon_comes_back_whole() -> None:
    daemon = Daemon(
        name="bird",
        command=("bird", "-c", "{folder}/bird.conf"),
        files=(File("bird.conf", "router id 1.1.1.1;\n", 0o600),),
        ready=Ready(tcp=179, command=("birdc", "show"), seconds=3.5),
        owns=Owner(protocols=("bird",), tables=(100,), devices=("tunl0",), sets=("ip t s",)),
        brings=(route("10.244.1.0/24", "eth0", "192.168.0.2", protocol="bird"),),
        needs=(("bird", "install bird2"),),
    )
    assert decode(encode({"node-1": {"bird": daemon}}), dict[str, dict[str, Daemon]]) == {
        "node-1": {"bird": daemon}
    }


def test_a_dataplane_is_found_again_with_its_options() -> None:
    dataplane = make("flannel-vxlan", {"vni": 7})
    assert resolve(as_stored(reference(dataplane))) == dataplane


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", "\udcff", '{"layout": 1}'])
def test_anything_else_is_a_value_error(text: str) -> None:
    for kind in (Plan, LayoutFile):
        with pytest.raises(ValueError, match=r".+"):
            decode(text.encode(errors="surrogateescape"), kind)


@pytest.mark.parametrize(
    "damage", [{}, {"name": 5}, {"options": []}, {"file": 1}, {"class": None}, {"name": None}]
)
def test_a_dataplane_of_the_wrong_type_is_a_value_error(damage: dict[str, Any]) -> None:
    document: dict[str, Any] = json.loads(encode(LayoutFile(lay_out(Cluster(nodes=1)), ANY)))
    document["dataplane"] = document["dataplane"] | damage if damage else {}
    with pytest.raises(ValueError, match=r"dataplane"):
        decode(encode(document), LayoutFile)


def test_a_dataplanes_option_of_the_wrong_type_is_one_sentence() -> None:
    told = as_stored(reference(make("flannel-vxlan"))) | {"options": {"vni": "a"}}
    with pytest.raises(BadInput, match=r"flannel.Vxlan.vni is 'a', not a whole number"):
        resolve(told)


def test_an_address_that_is_none_is_named_with_its_spot() -> None:
    document: dict[str, Any] = json.loads(encode(LayoutFile(lay_out(Cluster(nodes=1)), ANY)))
    document["layout"]["nodes"][0]["addresses"] = ["192.168.0.999"]
    with pytest.raises(ValueError, match=r"192\.168\.0\.999.*nodes\[0\]\.addresses|addresses"):
        decode(encode(document), LayoutFile)


def test_a_thousand_pods_take_well_under_a_second() -> None:
    """20 ms each way were measured; the limit leaves room for a slow machine."""
    plan = plan_of("flannel-vxlan", nodes=10, pods_per_node=100)
    start = time.process_time()
    back = decode(encode(plan), Plan)
    assert time.process_time() - start < 0.5
    assert back == plan
