"""The laws of `diff`: nothing differs from itself, and applying a difference removes it."""

import copy
from collections.abc import Mapping

import msgspec
from hypothesis import given

from netlab.plan.diff import Change, Diff, Item, diff
from netlab.plan.links import Veth
from netlab.plan.routing import DEFAULT_RULES, Address, FdbEntry, Neighbour, Route, Sysctl, route
from netlab.plan.types import FIELDS, Namespace
from tests.unit.plans import field_of, namespaces, plan_of, space_with

Spaces = dict[str, Namespace]
VIA_1 = route("10.1.0.0/24", "eth0", "10.0.0.1")
VIA_2 = route("10.1.0.0/24", "eth0", "10.0.0.2")


def contents(spaces: Mapping[str, Namespace]) -> dict[str, list[bytes]]:
    """What namespaces hold, without the order in which they hold it."""
    return {
        name: sorted(
            field.encode() + msgspec.json.encode(item, order="deterministic")
            for field in FIELDS
            for item in getattr(space, field)
        )
        for name, space in spaces.items()
    }


def applied(have: Spaces, difference: Diff) -> Spaces:
    """What `have` is after all of a difference was done to it that netlab can do."""
    spaces = copy.deepcopy(have)
    for item in difference.missing:  # first, as a new namespace has the kernel's default rules
        if item.object is None:
            spaces[item.namespace] = Namespace(item.namespace, "pod", rules=[])
    for item in difference.unexpected:
        if item.object is None:
            del spaces[item.namespace]
        else:
            field_of(spaces[item.namespace], item.object).remove(item.object)
    for item in difference.missing:
        if item.object is not None and item not in difference.awaited:
            field_of(spaces[item.namespace], item.object).append(item.object)
    for change in difference.changed:
        objects = field_of(spaces[change.namespace], change.want)
        objects[objects.index(change.have)] = change.want
    return spaces


def without(spaces: Spaces, items: list[Item]) -> Spaces:
    """Namespaces without some of what they hold."""
    spaces = copy.deepcopy(spaces)
    for item in items:
        assert item.object is not None
        field_of(spaces[item.namespace], item.object).remove(item.object)
    return spaces


@given(namespaces())
def test_nothing_differs_from_itself(spaces: Spaces) -> None:
    difference = diff(spaces, copy.deepcopy(spaces))
    assert not difference.changed + difference.unexpected + difference.foreign
    assert difference.missing == difference.awaited
    assert difference.ok == (len(difference) == 0) == (not difference.awaited)
    assert difference.repaired


@given(namespaces(), namespaces(unique=False))
def test_applying_the_difference_gives_what_is_wanted(want: Spaces, have: Spaces) -> None:
    difference = diff(want, have)
    result = applied(have, difference)
    assert contents(without(result, difference.foreign)) == contents(want)
    again = diff(want, result)
    assert again.repaired
    # Their order is that of the kernel's list, which a repair may change.
    assert sorted(map(str, again.foreign)) == sorted(map(str, difference.foreign))
    assert difference.repaired == (contents(result) == contents(have))


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
    assert len(difference.missing) == len(spaces) + objects
    assert not difference.unexpected + difference.changed + difference.foreign
    # A new namespace has the default rules, so what makes it must not add them again.
    assert contents(applied({}, difference)) == contents(spaces)
    assert all(space.rules == list(DEFAULT_RULES) for space in spaces.values())


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
    want = Veth(name="eth0", mac="02:00:00:00:00:01", mtu=1450, peer=None)
    have = msgspec.structs.replace(want, mtu=1500, up=False)
    change = Change("pod", want, have)
    assert change.fields == ["mtu", "up"]
    assert str(change) == "pod: link eth0: mtu is 1500, not 1450, up is off, not on"


def test_one_address_on_two_devices_is_two_objects() -> None:
    want = space_with(Address("eth0", "10.0.0.1/24"))
    have = space_with(Address("eth1", "10.0.0.1/24"))
    difference = diff({"a": want}, {"a": have})
    assert difference.missing == [Item("a", want.addresses[0])]
    assert difference.unexpected == [Item("a", have.addresses[0])]


def test_one_destination_by_another_gateway_is_one_object_changed() -> None:
    difference = diff({"a": space_with(VIA_1)}, {"a": space_with(VIA_2)})
    assert difference.changed == [Change("a", VIA_1, VIA_2)]


def test_one_destination_with_another_metric_is_another_route() -> None:
    """The kernel holds both, in IPv6 too, and takes the one with the smaller metric."""
    want = route("fd44:0:0:2::/64", "eth0", "fd30::2")
    have = route("fd44:0:0:2::/64", "eth0", "fd30::2", metric=100)
    difference = diff({"a": space_with(want)}, {"a": space_with(want, have)})
    assert difference.unexpected == [Item("a", have)]
    assert not difference.missing + difference.changed


def test_connected_routes_of_two_devices_are_two_objects() -> None:
    """Each device that has a link-local address has a route to fe80::/64, with one metric."""
    routes = [route("fe80::/64", link, protocol="kernel", metric=256) for link in ("eth0", "cni0")]
    assert diff({"a": space_with(*routes)}, {"a": space_with(*reversed(routes))}).ok
    difference = diff({"a": space_with(*routes)}, {"a": space_with(routes[1])})
    assert difference.missing == [Item("a", routes[0])]


def test_of_two_with_one_key_the_second_is_unexpected() -> None:
    """Two routes of one destination and metric, as `ip route append` makes them."""
    want = {"a": space_with(VIA_1)}
    for order in ([VIA_1, VIA_2], [VIA_2, VIA_1]):
        difference = diff(want, {"a": space_with(*order)})
        assert difference.unexpected == [Item("a", VIA_2)]
        assert not difference.missing + difference.changed


def test_a_route_of_several_next_hops_is_one_object() -> None:
    """`ip -6 route append` makes a second route of one destination a multipath route."""
    both = Route(destination=VIA_1.destination, next_hops=VIA_1.next_hops + VIA_2.next_hops)
    difference = diff({"a": space_with(VIA_1)}, {"a": space_with(both)})
    assert [change.fields for change in difference.changed] == [["next_hops"]]
    assert not difference.missing + difference.unexpected
