"""What WireGuard's family is told of peers: those that are as they should be are left alone."""

from __future__ import annotations

from typing import Any

from pyroute2.netlink.generic.wireguard import WGPEER_F_REMOVE_ME, wgmsg

from netlab.kernel import generic
from netlab.kernel.devices.wireguard import described
from netlab.plan.links import Wireguard, WireguardPeer
from netlab.plan.wireguard import private_key

FAMILY = 33
ONE, TWO, THREE = (
    WireguardPeer(
        public_key=private_key(name),  # as good as any
        endpoint="10.0.0.2:51820",
        allowed_ips=(f"10.{number}.0.0/16",),
    )
    for number, name in enumerate("abc")
)


def told(want: tuple[WireguardPeer, ...], *present: WireguardPeer) -> list[tuple[str, bool]]:
    """Peers in the order of the messages: whose key, and whether it is to be removed."""
    return [
        (_key(peer), peer.get_attr("WGPEER_A_FLAGS") == WGPEER_F_REMOVE_ME)
        for message in _messages(want, *present)
        for peer in message.get_attr("WGDEVICE_A_PEERS") or ()
    ]


def _messages(want: tuple[WireguardPeer, ...], *present: WireguardPeer) -> list[Any]:
    link = Wireguard(name="wg0", private_key=private_key("x"), listen_port=7, peers=want)
    made = list(described(link, FAMILY, present))
    assert all(len(one.body) < 2**16 for one in made)
    return [generic.decoded(wgmsg, one.body) for one in made]


def _key(peer: Any) -> str:
    value = peer.get_attr("WGPEER_A_PUBLIC_KEY")
    value = value["value"] if isinstance(value, dict) else value
    return value.decode() if isinstance(value, bytes) else str(value)


def changed(peer: WireguardPeer, **fields: Any) -> WireguardPeer:
    return WireguardPeer(**{**{f: getattr(peer, f) for f in peer.__struct_fields__}, **fields})


def test_what_is_as_it_should_be_is_not_told_again() -> None:
    assert told((ONE, TWO), ONE, TWO) == []
    assert told((ONE, TWO), TWO) == [(ONE.public_key, False)]


def test_what_is_not_wanted_goes_before_what_is() -> None:
    assert told((ONE, THREE), ONE, TWO) == [(TWO.public_key, True), (THREE.public_key, False)]


def test_any_change_is_told() -> None:
    for fields in (
        {"endpoint": "10.0.0.9:51820"},
        {"allowed_ips": ("10.9.0.0/16",)},
        {"keepalive": 5},
        {"preshared_key": private_key("psk")},
    ):
        assert told((ONE,), changed(ONE, **fields)) == [(ONE.public_key, False)]


def test_an_endpoint_is_forgotten_with_its_peer_only() -> None:
    without = changed(ONE, endpoint=None)
    assert told((without,), ONE) == [(ONE.public_key, True), (ONE.public_key, False)]


def test_many_peers_go_in_several_messages() -> None:
    many = tuple(
        WireguardPeer(
            public_key=private_key(str(n)), allowed_ips=(f"10.{n // 256}.{n % 256}.0/24",)
        )
        for n in range(1000)
    )
    assert [key for key, _ in told(many)] == [peer.public_key for peer in many]
    messages = _messages(many)
    assert len(messages) == 5
    ports = [message.get_attr("WGDEVICE_A_LISTEN_PORT") for message in messages]
    assert ports == [7, None, None, None, None], "the device's own once"
