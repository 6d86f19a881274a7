"""Every kind of device and every type of object: made, read back, changed, taken away.

In namespaces of the test's own, by the engine and nothing else of netlab.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from netlab.kernel import devices, namespaces
from netlab.kernel.objects import neighbour
from netlab.plan.links import LOOPBACK, PORT, Bridge, Link, Peer, Veth
from netlab.plan.routing import LOCALHOST, LOCALHOST6, Address, Sysctl, connected
from netlab.plan.types import FIELDS, Namespace, Object
from tests.examples import LINKS, OBJECTS, mac
from tests.kernel.sandboxed import engine, sandboxed

NO_LINK_LOCAL = Sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
EXAMPLES = [
    pytest.param(name, marks=pytest.mark.needs(link.kind), id=name)
    for name, (link, _) in LINKS.items()
]
CHANGES = [
    pytest.param(name, field, marks=pytest.mark.needs(link.kind), id=f"{name}-{field}")
    for name, (link, variants) in LINKS.items()
    for field in variants
]
OBJECT_CHANGES = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name, (_, variants) in OBJECTS.items()
    for number in range(len(variants))
]


def spaces(*objects: Object) -> tuple[Namespace, Namespace]:
    """`a` and `b`, joined by a cable, with more objects in `a`."""
    a, b = (Namespace(name, "node", ipv6=True, sysctls=[NO_LINK_LOCAL]) for name in "ab")
    for space, other, number in ((a, b, 0), (b, a, 1)):
        bridge = Bridge(name=f"br{number}", mac=mac(0x10 + number), addr_gen_mode="none")
        cable = Veth(name="eth0", mac=mac(0x20 + number), peer=Peer(other.name, "eth0"))
        space.links += [bridge, msgspec.structs.replace(cable, addr_gen_mode="none"), LOOPBACK]
        ip = f"10.0.0.{number + 1}/24"
        space.addresses += [
            Address("eth0", ip),
            Address("eth0", f"fd30::{number + 1}/64", nodad=True),
        ]
        space.addresses += [LOCALHOST, LOCALHOST6]
    for item in objects:
        field = next(name for name, kind in FIELDS.items() if isinstance(item, kind))
        getattr(a, field).append(item)
        if isinstance(item, Veth) and item.peer:
            b.links.append(far_end(item))
    for space in (a, b):
        ways = [way for item in space.addresses if (way := connected(item))]
        space.routes += [way for way in ways if space is b or way.link in up(a)]
    return a, b


def up(space: Namespace) -> set[str]:
    return {link.name for link in space.links if link.up}


def far_end(link: Veth) -> Veth:
    assert link.peer
    end = Veth(name=link.peer.link, mac=mac(0x30), peer=Peer("a", link.name))
    return msgspec.structs.replace(end, addr_gen_mode="none")


def run(script: str) -> str:
    """Run a shell script in `a`; it must succeed."""
    command = ["ip", "netns", "exec", "a", "sh", "-ec", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def without_peer(link: Link) -> Link:
    return msgspec.structs.replace(link, peer=None) if isinstance(link, Veth) else link


def index(name: str) -> int:
    """The index of a device in `a`: that of another device if it was made again."""
    with namespaces.inside("a"):
        return socket.if_nametoindex(name)


def build(*objects: Object) -> None:
    made = engine(*spaces(*objects))
    made.build()
    difference = made.difference()
    assert difference.ok, "; ".join(map(str, difference.changed)) or difference


def become(*objects: Object) -> None:
    """Make what is there into something else; a second time there is nothing to do."""
    wanted = engine(*spaces(*objects))
    first, _ = wanted.converge()
    assert not first.ok
    assert wanted.difference().ok
    assert wanted.converge()[1] == 0


@pytest.mark.parametrize("name", EXAMPLES)
@sandboxed
def test_a_device_is_made_read_back_and_taken_away(name: str) -> None:
    link, _ = LINKS[name]
    build(link)
    unexpected = engine(*spaces()).difference().unexpected
    # Where a veth's peer is that no plan names, nothing tells.
    assert without_peer(link) in [item.object for item in unexpected]
    become()


@pytest.mark.parametrize(("name", "field"), CHANGES)
@sandboxed
def test_each_setting_changes_in_place_or_makes_the_device_again(name: str, field: str) -> None:
    """Which of the two, its file says; the kernel must agree."""
    link, variants = LINKS[name]
    build(link)
    before = index(link.name)
    fields = variants[field] if isinstance(variants[field], dict) else {field: variants[field]}
    if field == "master":
        fields["bridge_port"] = PORT
    changed = msgspec.structs.replace(link, **fields)
    become(changed)
    again = devices.of(link).must_be_made_again(changed, link, set(fields))
    assert (index(link.name) != before) == again


def example(name: str) -> tuple[list[Link], Object, tuple[Object, ...]]:
    """An object, what it can become, and the devices that it needs beside the cable."""
    item, variants = OBJECTS[name]
    names = {"flannel.1": "vxlan", "flannel-v6.1": "vxlan-ipv6", "cilium_vxlan": "vxlan-external"}
    needed = [LINKS[names[device]][0] for device in names if device in str(item)]
    return needed, item, variants


@pytest.mark.parametrize("name", OBJECTS)
@sandboxed
def test_an_object_is_made_read_back_and_taken_away(name: str) -> None:
    needed, item, _ = example(name)
    build(*needed, item)
    unexpected = engine(*spaces(*needed)).difference().unexpected
    assert item in [one.object for one in unexpected]
    become(*needed)
    become(*needed, item)


@pytest.mark.parametrize(("name", "number"), OBJECT_CHANGES)
@sandboxed
def test_an_object_becomes_another_of_the_same_key(name: str, number: int) -> None:
    needed, item, variants = example(name)
    build(*needed, item)
    become(*needed, variants[number])
    become(*needed, item)


ELSEWHERE = ("vxlan", "vxlan-external", "ipip", "wireguard", "macvlan")


@pytest.mark.parametrize("name", [case for case in EXAMPLES if case.id in ELSEWHERE])
@sandboxed
def test_a_device_may_be_made_in_another_namespace(name: str) -> None:
    """As one whose parent or socket stays there: Docker's macvlan, WireGuard's own example."""
    link = msgspec.structs.replace(LINKS[name][0], link_netns="b")
    build(link)
    _, settings = LINKS[name]
    become(msgspec.structs.replace(link, mtu=1300, **{"ttl": 5} if "ttl" in settings else {}))
    if name != "wireguard":  # which does not tell where it was made
        become(LINKS[name][0])  # the kernel moves no socket, so it is made again
        become(link)


@sandboxed
def test_a_kind_that_nobody_knows_is_named_and_removed() -> None:
    build()
    run("ip link add link eth0 name macvtap0 type macvtap")
    unexpected = engine(*spaces()).difference().unexpected
    assert [(item.object.name, item.object.type) for item in unexpected] == [  # type: ignore[union-attr]
        ("macvtap0", "macvtap")
    ]
    become()


@sandboxed
def test_settings_that_nobody_planned_are_put_back() -> None:
    """A device's IPv4 settings are compared with what it inherits, or what the plan says."""
    build(
        Sysctl("net/ipv4/conf/default/rp_filter", "2"), Sysctl("net/ipv4/conf/eth0/proxy_arp", "1")
    )
    wanted = [
        Sysctl("net/ipv4/conf/default/rp_filter", "2"),
        Sysctl("net/ipv4/conf/eth0/proxy_arp", "1"),
    ]
    with namespaces.inside("a"):
        for key, value in (
            ("eth0/rp_filter", "1"),
            ("br0/proxy_arp", "1"),
            ("lo/log_martians", "1"),
        ):
            Path(f"/proc/sys/net/ipv4/conf/{key}").write_text(value)
    found = engine(*spaces(*wanted)).difference()
    assert {str(item.object) for item in found.unexpected} == {
        "sysctl net/ipv4/conf/eth0/rp_filter=1",
        "sysctl net/ipv4/conf/br0/proxy_arp=1",
        "sysctl net/ipv4/conf/lo/log_martians=1",
    }
    become(*wanted)


@sandboxed
def test_a_queue_that_somebody_put_on_a_device_is_removed() -> None:
    build()
    run("tc qdisc add dev eth0 root pfifo limit 3")
    assert "qdisc pfifo root dev eth0" in str(engine(*spaces()).difference().unexpected[0])
    become()


@sandboxed
def test_neighbours_are_flushed_in_both_families_and_planned_ones_stay() -> None:
    """What a probe leaves behind; entries that are not there are no error."""
    build(LINKS["veth"][0])
    script = """
        ip neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 nud reachable dev eth0
        ip neigh add fd30::50 lladdr 02:00:00:00:00:50 nud reachable dev eth0
        ip neigh add 10.0.0.51 lladdr 02:00:00:00:00:51 nud reachable dev eth0
    """
    run(script)
    gone = [
        ("eth0", "10.0.0.50"),
        ("eth0", "fd30::50"),
        ("eth0", "10.0.0.99"),
        ("eth7", "10.0.0.1"),
    ]
    neighbour.flush("a", gone)
    shown = run("ip neigh show dev eth0").splitlines()
    assert [line.split()[0] for line in shown] == ["10.0.0.51"]


@sandboxed
def test_a_learned_path_mtu_and_a_link_local_address_of_the_kernel_are_no_drift() -> None:
    build()
    script = """
        ip link set eth0 addrgenmode eui64; ip link set eth0 down; ip link set eth0 up
        ip -6 address show dev eth0 | grep -q fe80
        ip link set eth0 addrgenmode none
    """
    run(script)
    difference = engine(*spaces()).difference()
    assert "fe80" not in str(difference)
    become()


@sandboxed
def test_what_a_device_without_arp_has_instead_of_neighbours_is_no_drift() -> None:
    """An entry with the device's own address, for each that it sent to; with another, it is."""
    link = msgspec.structs.replace(LINKS["veth"][0], arp=False)
    planned = (link, Address(link.name, "10.7.0.1/24"), Address(link.name, "fd07::1/64"))
    build(*planned)
    shown = run(
        f"""
        for ip in 10.7.0.2 fd07::2; do ping -c1 -W1 -w1 $ip >/dev/null || true; done
        ip neigh replace 10.7.0.3 lladdr 02:00:00:00:00:77 nud noarp dev {link.name}
        ip neigh show nud noarp dev {link.name}
        """
    )
    assert "10.7.0.2 lladdr" in shown
    assert "fd07::2 lladdr" in shown
    found = engine(*spaces(*planned)).difference()
    assert [item.object.key for item in found.unexpected] == [f"10.7.0.3 dev {link.name}"]
    become(*planned)
