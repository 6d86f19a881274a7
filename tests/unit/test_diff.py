"""The laws of `diff`: nothing differs from itself, and applying a difference removes it."""

import copy
from collections.abc import Mapping

from hypothesis import given

from netlab.plan.diff import Change, Diff, Item, diff
from netlab.plan.types import (
    DEFAULT_RULES,
    FIELDS,
    Address,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Object,
    Route,
    Sysctl,
)
from tests.unit.plans import namespaces, plan_of

Spaces = dict[str, Namespace]
ATTRIBUTES = {kind: attribute for attribute, kind in FIELDS.items()}


def contents(spaces: Mapping[str, Namespace]) -> dict[str, dict[tuple[str, str], Object]]:
    """What namespaces hold, without the order in which they hold it."""
    return {
        name: {
            (attribute, item.key): item
            for attribute in FIELDS
            for item in getattr(space, attribute)
        }
        for name, space in spaces.items()
    }


def applied(have: Spaces, difference: Diff) -> Spaces:
    """What `have` is after all of a difference was done to it."""
    spaces = copy.deepcopy(have)
    for item in difference.missing:  # first, as a new namespace has the kernel's default rules
        if item.object is None:
            spaces[item.namespace] = Namespace(item.namespace, "pod")
    for item in difference.unexpected:
        if item.object is None:
            del spaces[item.namespace]
        else:
            getattr(spaces[item.namespace], ATTRIBUTES[type(item.object)]).remove(item.object)
    for item in difference.missing:
        if item.object is not None:
            getattr(spaces[item.namespace], ATTRIBUTES[type(item.object)]).append(item.object)
    for change in difference.changed:
        objects = getattr(spaces[change.namespace], ATTRIBUTES[type(change.want)])
        objects[objects.index(change.have)] = change.want
    return spaces


@given(namespaces())
def test_nothing_differs_from_itself(spaces: Spaces) -> None:
    difference = diff(spaces, copy.deepcopy(spaces))
    assert difference.ok
    assert len(difference) == 0


@given(namespaces(), namespaces())
def test_applying_the_difference_gives_what_is_wanted(want: Spaces, have: Spaces) -> None:
    difference = diff(want, have)
    assert contents(applied(have, difference)) == contents(want)
    assert difference.ok == (contents(want) == contents(have))


@given(namespaces(), namespaces())
def test_the_other_way_round_is_the_mirror_image(want: Spaces, have: Spaces) -> None:
    there, back = diff(want, have), diff(have, want)
    assert len(there.changed) == len(back.changed)
    # Of a namespace that is unexpected only it is listed, of one that lacks all it should hold.
    assert {i.namespace for i in there.missing if i.object is None} == {
        i.namespace for i in back.unexpected if i.object is None
    }


def test_a_real_plan_against_nothing_is_all_of_it() -> None:
    spaces = plan_of("flannel-vxlan", nodes=2).namespaces
    objects = sum(len(held) for held in contents(spaces).values())
    difference = diff(spaces, {})
    of_the_kernel = len(DEFAULT_RULES) * len(spaces)
    assert len(difference.missing) == len(spaces) + objects - of_the_kernel
    assert not difference.unexpected + difference.changed


def test_each_fault_is_found_and_named() -> None:
    want = plan_of("flannel-vxlan", nodes=2).namespaces
    have = copy.deepcopy(want)
    node = have["node-1"]
    node.routes.clear()
    node.neighbours[0] = Neighbour("flannel.1", node.neighbours[0].address, "02:00:00:00:00:01")
    node.fdb.append(FdbEntry("flannel.1", "02:00:00:00:00:02", "192.168.0.9"))
    node.sysctls = [
        Sysctl(s.path, "0") if s.path == "net/ipv4/ip_forward" else s for s in node.sysctls
    ]
    del have["pod-2-1"]
    have["stray"] = Namespace("stray", "pod")
    difference = diff(want, have)
    assert {str(item) for item in difference.missing} >= {
        "node-1: route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
        "pod-2-1: the whole namespace",
        "pod-2-1: link eth0",
        "pod-2-1: address 10.244.1.2/24 dev eth0",
    }
    assert [str(item) for item in difference.unexpected] == [
        "node-1: fdb 02:00:00:00:00:02 dev flannel.1 dst 192.168.0.9",
        "stray: the whole namespace",
    ]
    assert [(change.namespace, change.fields) for change in difference.changed] == [
        ("node-1", ["mac"]),
        ("node-1", ["value"]),
    ]
    assert "sysctl net/ipv4/ip_forward=1: value is 0, not 1" in str(difference.changed[1])


def test_a_change_names_only_the_fields_that_differ() -> None:
    want = Link("eth0", "veth", "02:00:00:00:00:01", 1450)
    have = Link("eth0", "veth", "02:00:00:00:00:01", 1500, up=False)
    change = Change("pod", want, have)
    assert change.fields == ["mtu", "up"]
    assert str(change) == "pod: link eth0: mtu is 1500, not 1450, up is False, not True"


def test_one_address_on_two_devices_is_two_objects() -> None:
    want = Namespace("a", "node", addresses=[Address("eth0", "10.0.0.1/24")])
    have = Namespace("a", "node", addresses=[Address("eth1", "10.0.0.1/24")])
    difference = diff({"a": want}, {"a": have})
    assert difference.missing == [Item("a", want.addresses[0])]
    assert difference.unexpected == [Item("a", have.addresses[0])]


def test_one_destination_by_another_gateway_is_one_object_changed() -> None:
    want = Namespace("a", "node", routes=[Route("10.1.0.0/24", "eth0", "10.0.0.1")])
    have = Namespace("a", "node", routes=[Route("10.1.0.0/24", "eth0", "10.0.0.2")])
    assert diff({"a": want}, {"a": have}).changed == [Change("a", want.routes[0], have.routes[0])]


def test_of_two_with_one_key_the_second_is_unexpected() -> None:
    """Two routes of one destination and metric, as `ip route append` makes them."""
    route, other = (
        Route("10.1.0.0/16", "eth0", "10.0.0.1"),
        Route("10.1.0.0/16", "eth0", "10.0.0.2"),
    )
    want = {"a": Namespace("a", "node", routes=[route])}
    for order in ([route, other], [other, route]):
        difference = diff(want, {"a": Namespace("a", "node", routes=order)})
        assert difference.unexpected == [Item("a", other)]
        assert not difference.missing + difference.changed
