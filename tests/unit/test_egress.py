"""The way and the source address that the kernel would choose."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netlab.plan.egress import Egress, egress, source_address
from netlab.plan.links import Dummy
from netlab.plan.processes import Daemon
from netlab.plan.routing import Address, Route, route
from netlab.plan.types import Namespace, Object
from tests.unit.plans import space_with

DEVICES = (
    Dummy(name="eth0"),
    Dummy(name="cni0", mtu=1450),
    Dummy(name="cali1"),
    Dummy(name="tun0", mtu=1472),
)


def node(*objects: Object) -> Namespace:
    return space_with(*DEVICES, *objects)


def way(space: Namespace, target: str) -> Egress | None:
    return egress(space, ip_address(target))


def source(space: Namespace, target: str) -> str | None:
    return source_address(space, ip_address(target))


BASE: tuple[Object, ...] = (
    Address("eth0", "192.168.0.1/24"),
    Address("cni0", "10.244.0.1/24"),
    Address("lo", "127.0.0.1/8", scope="host"),
    route("192.168.0.0/24", "eth0", protocol="kernel", source="192.168.0.1"),
    route("10.244.0.0/24", "cni0", protocol="kernel", source="10.244.0.1"),
    route("0.0.0.0/0", "eth0", "192.168.0.254"),
    route("10.244.1.0/24", "eth0", "192.168.0.2"),
)


@pytest.mark.parametrize(
    ("target", "device", "gateway", "mtu", "own"),
    [
        ("192.168.0.9", "eth0", None, 1500, "192.168.0.1"),
        ("10.244.0.7", "cni0", None, 1450, "10.244.0.1"),
        ("10.244.1.7", "eth0", "192.168.0.2", 1500, "192.168.0.1"),
        ("9.9.9.9", "eth0", "192.168.0.254", 1500, "192.168.0.1"),
    ],
)
def test_the_most_specific_route_is_taken(
    target: str, device: str, gateway: str | None, mtu: int, own: str
) -> None:
    space = node(*BASE)
    found = way(space, target)
    assert found is not None
    assert (found.device, found.gateway, found.mtu) == (device, gateway, mtu)
    assert source(space, target) == own


def test_without_a_route_there_is_no_way() -> None:
    assert way(node(*BASE[:2]), "9.9.9.9") is None
    assert source(node(), "9.9.9.9") is None
    assert way(node(*BASE[:2]), "192.168.0.9") == Egress("eth0", 1500), "of the address's network"


def test_of_equal_routes_the_lower_metric_counts() -> None:
    space = node(
        *BASE, route("10.244.1.0/24", "tun0", metric=5), route("10.7.0.0/16", "tun0", metric=9)
    )
    assert way(space, "10.244.1.7") == Egress("eth0", 1500, "192.168.0.2")
    better = node(*space.routes, route("10.7.0.0/16", "eth0", metric=2))
    assert way(better, "10.7.0.1") == Egress("eth0", 1500)


def test_a_blackhole_is_no_way_but_what_is_more_specific_is() -> None:
    block = Route(destination="10.244.3.0/26", type="blackhole")
    space = node(*BASE, block, route("10.244.3.5/32", "cali1"))
    assert way(space, "10.244.3.9") is None
    assert way(space, "10.244.3.5") == Egress("cali1", 1500)


def test_other_tables_are_for_who_has_rules() -> None:
    assert way(node(*BASE[:2], route("9.9.9.0/24", "tun0", table=100)), "9.9.9.9") is None


def test_what_a_daemon_brings_counts() -> None:
    bird = Daemon(
        name="bird",
        command=("bird",),
        brings=(route("10.244.9.0/24", "eth0", "192.168.0.9", protocol="bird"),),
    )
    assert way(node(*BASE, bird), "10.244.9.1") == Egress("eth0", 1500, "192.168.0.9")


def test_a_routes_own_words_come_first() -> None:
    space = node(
        *BASE, route("10.244.2.0/24", "eth0", "192.168.0.3", source="10.244.0.1", mtu=1400)
    )
    assert way(space, "10.244.2.2") == Egress("eth0", 1400, "192.168.0.3", "10.244.0.1")
    assert source(space, "10.244.2.2") == "10.244.0.1"


def test_a_device_without_an_address_borrows_one() -> None:
    space = node(*BASE, route("10.244.0.66/32", "cali1"))
    assert source(space, "10.244.0.66") == "192.168.0.1", "the first of the others, and not lo's"


def test_a_devices_own_address_is_taken_before_others() -> None:
    space = node(*BASE, Address("tun0", "10.244.0.0/32"), route("10.244.5.0/24", "tun0"))
    assert source(space, "10.244.5.1") == "10.244.0.0"


BASE6: tuple[Object, ...] = (
    Address("eth0", "fe80::1/64", scope="link", nodad=True),
    Address("eth0", "fd30::1/64", nodad=True),
    Address("cni0", "fd44::1/64", nodad=True),
    route("fd30::/64", "eth0", protocol="kernel", metric=256),
    route("fd44::/64", "cni0", protocol="kernel", metric=256),
    route("fd44:0:0:1::/64", "eth0", "fd30::2"),
    route("::/0", "eth0", "fd30::ff"),
)


def test_families_are_kept_apart() -> None:
    space = node(*BASE, *BASE6)
    assert way(space, "fd44::5") == Egress("cni0", 1450)
    assert way(space, "fd44:0:0:1::5") == Egress("eth0", 1500, "fd30::2")
    assert way(space, "2001:db8::1") == Egress("eth0", 1500, "fd30::ff")
    assert source(space, "fd44:0:0:1::5") == "fd30::1", "never the link-local address"
    assert source(space, "fd44::5") == "fd44::1"
    assert source(node(*BASE6), "10.0.0.1") is None
    assert source(node(*BASE6, route("fd44::77/128", "cali1")), "fd44::77") == "fd30::1"
