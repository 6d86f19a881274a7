"""A change in words: what differs, as commands name it, with nothing of Python's own spelling."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.plan.diff import Change, diff
from netlab.plan.links import (
    Dummy,
    Other,
    Peer,
    Port,
    Tun,
    Veth,
    Wireguard,
    WireguardPeer,
)
from netlab.plan.processes import Container, Daemon, File, Owner, Ready
from netlab.plan.routing import Encap, Neighbour, NextHop, Route, route
from netlab.plan.types import Object
from tests.unit import plans

LEG = NextHop(link="eth0", gateway="10.0.0.1")
OTHER_LEG = NextHop(link="eth1", gateway="10.0.1.1", weight=2)
WAY = route("10.1.0.0/16", "eth0", "10.0.0.1")
VETH = Veth(name="veth1", peer=Peer("pod-1-1", "eth0"), master="cni0", bridge_port=Port())
DAEMON = Daemon(name="bird", command=("bird", "-f"))


# Rulesets tell their differences themselves, and quote a rule's text, which may hold anything.
PLAIN_TYPES = [kind for kind in plans.ALL_TYPES if kind not in plans.RULESET_TYPES]


def words(want: Object, **changes: object) -> str:
    """What a change says after naming the object."""
    have = msgspec.structs.replace(want, **changes)
    text = str(Change("a", want, have))
    assert text.startswith(f"a: {want}: ")
    return text.removeprefix(f"a: {want}: ")


@pytest.mark.parametrize(
    ("want", "changes", "said"),
    [
        (VETH, {"mtu": 9000}, "mtu is 9000, not 1500"),
        (VETH, {"arp": False}, "arp is off, not on"),
        (VETH, {"master": None}, "master is none, not cni0"),
        (VETH, {"peer": None}, "peer is none, not namespace pod-1-1 link eth0"),
        (VETH, {"peer": Peer("pod-1-1", "eth1")}, "peer link is eth1, not eth0"),
        (VETH, {"bridge_port": Port(hairpin=True)}, "bridge port hairpin is on, not off"),
        (
            VETH,
            {"bridge_port": Port(hairpin=True, state=1)},
            "bridge port hairpin is on, not off, bridge port state is 1, not 3",
        ),
        (VETH, {"addr_gen_mode": None}, "addr gen mode is none, not eui64"),
        (
            Route(destination="10.1.0.0/16", next_hops=(LEG, OTHER_LEG)),
            {"next_hops": (LEG,)},
            "next hops is via 10.0.0.1 dev eth0, not via 10.0.0.1 dev eth0 and via 10.0.1.1 "
            "dev eth1 weight 2",
        ),
        (WAY, {"next_hops": ()}, "next hops is none, not via 10.0.0.1 dev eth0"),
        (WAY, {"type": "blackhole"}, "type is blackhole, not unicast"),
        (WAY, {"mtu": 1400, "source": "10.0.0.9"}, "source is 10.0.0.9, not none, mtu is 1400,"),
        (
            WAY,
            {"next_hops": (NextHop(link="vxlan0", encap=Encap(id=7, destination="10.0.0.2")),)},
            "next hops is encap ip id 7 dst 10.0.0.2 dev vxlan0, not via 10.0.0.1 dev eth0",
        ),
        (Neighbour("eth0", "10.0.0.1", "02:00:00:00:00:01"), {"state": "noarp"}, "state is noarp"),
        (
            Wireguard(name="wg0", peers=(WireguardPeer(public_key="K"),)),
            {"peers": ()},
            "peers is none, not public key K",
        ),
        (
            Wireguard(name="wg0", peers=(WireguardPeer(public_key="K", allowed_ips=("a", "b")),)),
            {"peers": (WireguardPeer(public_key="K", endpoint="10.0.0.1:51820"),)},
            "peers is public key K endpoint 10.0.0.1:51820, not public key K allowed ips a b",
        ),
        (DAEMON, {"command": ("bird",)}, "command is bird, not bird -f"),
        (DAEMON, {"ready": Ready(tcp=179)}, "ready is tcp 179, not none"),
        (DAEMON, {"owns": Owner(protocols=("bird",))}, "owns protocols is bird, not none"),
        (DAEMON, {"files": (File("f", "a\nb"),)}, "files is path f content a b, not none"),
        (Container("c", "p", ("sleep", "1")), {"command": None}, "command is none, not sleep 1"),
    ],
)
def test_what_differs_is_said_as_commands_say_it(
    want: Object, changes: dict[str, object], said: str
) -> None:
    assert words(want, **changes).startswith(said)


def test_another_kind_of_device_is_said_in_one_word() -> None:
    tun = Tun(name="flannel0", mtu=1472)
    for have, kind in (
        (Dummy(name="flannel0"), "dummy"),
        (Other(name="flannel0", type="gre"), "gre"),
    ):
        [change] = diff({"a": plans.space_with(tun)}, {"a": plans.space_with(have)}).changed
        assert str(change) == f"a: link flannel0: kind is {kind}, not tun"
        assert change.fields[0] == "kind"
        assert {"mode", "mtu"} <= set(change.fields)


def test_long_text_is_cut() -> None:
    said = words(DAEMON, files=(File("bird.conf", "x" * 10_000),))
    assert len(said) < 200


# Of a value's text there are no such characters, so what is found is the spelling of a type.
PYTHON = re.compile(r"\b(None|True|False)\b|\w+\(|[\[\]{}'\"\n]")
PLAIN_TEXT = st.text("abc.:/ ", max_size=8)


@pytest.mark.parametrize("kind", PLAIN_TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_no_change_shows_python_s_own_spelling(kind: type[Object], data: st.DataObject) -> None:
    want, have = (data.draw(plans.full(kind, PLAIN_TEXT)) for _ in range(2))
    assert not PYTHON.search(str(Change("a", want, have)))


@pytest.mark.parametrize("kind", PLAIN_TYPES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_change_of_a_field_is_said(kind: type[Object], data: st.DataObject) -> None:
    want, have = data.draw(plans.full(kind)), data.draw(plans.full(kind))
    change = Change("a", want, have)
    assert bool(change.fields) == (want != have)
    assert bool(str(change).removeprefix(f"a: {want}: ")) == (want != have)
