"""What daemons of a lab own is shown and left alone; what they must bring is awaited."""

import copy

import msgspec
import pytest
from hypothesis import given

from netlab.plan.diff import Diff, Item, diff
from netlab.plan.links import Dummy, Ipip
from netlab.plan.ownership import owner_of
from netlab.plan.processes import Daemon, Owner
from netlab.plan.routing import Address, FdbEntry, Neighbour, Route, Rule, Sysctl, route
from netlab.plan.types import Namespace, Object
from tests.unit.plans import namespaces, plan_of, space_with

BIRD = Daemon(
    name="bird",
    command=("bird", "-f"),
    owns=Owner(protocols=("bird",), tables=(100,), devices=("tunl0",)),
)
LEARNED = route("10.244.1.0/24", "eth0", "192.168.0.2", protocol="bird")
OWNED: list[Object] = [
    LEARNED,
    route("10.9.0.0/16", "eth0", "192.168.0.2", table=100),
    route("10.244.2.0/24", "tunl0", "192.168.0.3", onlink=True),
    Route(destination="10.244.3.0/26", type="blackhole", protocol="bird"),
    Rule(priority=50, table=100),
    Ipip(name="tunl0", mtu=1480),
    Address("tunl0", "10.244.0.1/32"),
    Neighbour("tunl0", "10.244.0.9", "02:00:00:00:00:01"),
    FdbEntry("tunl0", "02:00:00:00:00:01", "192.168.0.2"),
]
OTHERS: list[Object] = [
    route("10.244.1.0/24", "eth0", "192.168.0.2"),
    route("10.9.0.0/16", "eth0", "192.168.0.2", table=101),
    Rule(priority=50, table=101),
    Dummy(name="tunl1"),
    Address("eth0", "10.244.0.1/32"),
    Sysctl("net/ipv4/ip_forward", "1"),
    Daemon(name="stray", command=("bird",)),
]


def against(want: list[Object], have: list[Object]) -> Diff:
    return diff({"a": space_with(*want)}, {"a": space_with(*have)})


@pytest.mark.parametrize("item", OWNED, ids=str)
def test_what_a_daemon_owns_is_foreign_and_no_fault(item: Object) -> None:
    difference = against([BIRD], [BIRD, item])
    assert difference.foreign == [Item("a", item, "bird")]
    assert str(difference.foreign[0]) == f"a: {item} (of bird)"
    assert difference.ok
    assert difference.repaired
    assert len(difference) == 0


@pytest.mark.parametrize("item", OTHERS, ids=str)
def test_all_else_is_unexpected(item: Object) -> None:
    difference = against([BIRD], [BIRD, item])
    assert difference.unexpected == [Item("a", item)]
    assert not difference.foreign
    assert not difference.repaired


@pytest.mark.parametrize("item", OWNED, ids=str)
def test_without_the_daemon_nothing_is_owned(item: Object) -> None:
    assert against([], [item]).unexpected == [Item("a", item)]
    other = {"b": space_with(BIRD, name="b"), "a": space_with()}
    have = {"b": space_with(BIRD, name="b"), "a": space_with(item)}
    assert diff(other, have).unexpected == [Item("a", item)]


def test_what_the_plan_names_is_compared_though_a_daemon_owns_its_like() -> None:
    planned = route("10.5.0.0/16", "eth0", "192.168.0.9", table=100)
    assert against([BIRD, planned], [BIRD]).missing == [Item("a", planned)]
    changed = route("10.5.0.0/16", "eth0", "192.168.0.8", table=100)
    [change] = against([BIRD, planned], [BIRD, changed]).changed
    assert (change.want, change.have) == (planned, changed)


@given(namespaces(), namespaces(unique=False))
def test_foreign_and_unexpected_are_sorted_by_owner(
    want: dict[str, Namespace], have: dict[str, Namespace]
) -> None:
    difference = diff(want, have)
    for item in difference.foreign:
        assert item.object is not None
        assert item.owner == owner_of(item.object, want[item.namespace].daemons) is not None
    for item in difference.unexpected:
        assert item.owner is None
        if item.object is not None:
            assert owner_of(item.object, want[item.namespace].daemons) is None


def bringing(*routes: Route) -> Daemon:
    return msgspec.structs.replace(BIRD, brings=routes)


def test_what_a_daemon_must_bring_is_awaited() -> None:
    daemon = bringing(LEARNED)
    difference = against([daemon], [daemon])
    assert difference.missing == difference.awaited == [Item("a", LEARNED, "bird")]
    assert not difference.ok
    assert difference.repaired, "netlab itself can do nothing about it"
    assert str(difference.missing[0]) == (
        "a: route 10.244.1.0/24 via 192.168.0.2 dev eth0 proto bird (of bird)"
    )


def test_what_it_brought_is_foreign() -> None:
    daemon = bringing(LEARNED)
    difference = against([daemon], [daemon, LEARNED])
    assert difference.ok
    assert difference.foreign == [Item("a", LEARNED, "bird")]


def test_what_it_brought_is_its_own_without_being_said_twice() -> None:
    """Else `up` would delete it as unexpected, and wait for it to come again."""
    daemon = Daemon(name="bird", command=("bird",), brings=(LEARNED,))
    difference = against([daemon], [daemon, LEARNED])
    assert difference.ok
    assert difference.foreign == [Item("a", LEARNED, "bird")]


def test_of_a_route_that_must_come_only_the_way_counts() -> None:
    """Its metric and protocol are the daemon's own affair."""
    daemon = bringing(route("10.244.1.0/24", "eth0", "192.168.0.2"))
    assert against([daemon], [daemon, msgspec.structs.replace(LEARNED, metric=32)]).ok
    elsewhere = route("10.244.1.0/24", "eth0", "192.168.0.3", protocol="bird")
    difference = against([daemon], [daemon, elsewhere])
    assert [item.owner for item in difference.awaited] == ["bird"]
    assert [item.owner for item in difference.foreign] == ["bird"]


def test_awaited_beside_another_fault_is_not_repaired() -> None:
    daemon = bringing(LEARNED)
    difference = against([daemon, Sysctl("net/ipv4/ip_forward", "1")], [daemon])
    assert len(difference.missing) == 2
    assert len(difference.awaited) == 1
    assert not difference.repaired


def test_a_missing_namespace_lacks_what_its_daemons_must_bring_too() -> None:
    spaces = plan_of("flannel-host-gw", nodes=1).namespaces
    have = copy.deepcopy(spaces)
    del have["node-1"]
    spaces["node-1"].daemons.append(bringing(LEARNED))
    assert diff(spaces, have).awaited == [Item("node-1", LEARNED, "bird")]
