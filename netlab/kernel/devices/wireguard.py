"""WireGuard devices (drivers/net/wireguard): keys and peers go by a generic netlink family."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_interface
from typing import Any, ClassVar

import msgspec

from netlab.kernel import generic
from netlab.kernel.devices.base import Device, Names, Raw
from netlab.kernel.netlink import Netlink, Request
from netlab.plan.links import Wireguard, WireguardPeer

_NO_KEY = "A" * 43 + "="  # the zeros by which the kernel means none, in base64
_PEERS = 200  # of a message, as an attribute holds 64 KiB
_WORDS = {"private_key": "PRIVATE_KEY", "listen_port": "LISTEN_PORT", "fwmark": "FWMARK"}


class WireguardDevice(Device):
    """All its settings change in place.

    The device does not tell where it was made (it has no get_link_net), which is where its socket
    stays; so its `link_netns` is taken to be the plan's.
    """

    kind: ClassVar[str] = "wireguard"
    link = Wireguard
    configures: ClassVar[bool] = True

    def configure(self, link: Wireguard) -> None:
        """Peers that are as they should be are left alone: with one its session would go, and the
        other end would go on sending what nobody can decrypt, for 15 seconds or more."""
        with generic.opened("wireguard") as (netlink, family):
            present = _told(netlink, family, link.name)["peers"]
            refused = netlink.send(list(described(link, family, present)))
        if refused:
            raise OSError(refused[0].code, refused[0].words or os.strerror(refused[0].code))

    def look(self, raw: Raw) -> None:
        with generic.opened("wireguard") as (netlink, family):
            raw.values["wireguard"] = _told(netlink, family, raw.name)

    def common(self, raw: Raw, names: Names) -> dict[str, Any]:
        fields = super().common(raw, names)
        if names.wanted:
            fields["link_netns"] = names.wanted.link_netns
        return fields

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        """Peers in the order of the plan: the kernel's own order is that in which they came."""
        found = dict(raw.values.get("wireguard", {}))
        planned = [peer.public_key for peer in getattr(names.wanted, "peers", ())]
        place = {key: index for index, key in enumerate(planned)}
        peers = sorted(found["peers"], key=lambda peer: place.get(peer.public_key, len(place)))
        return found | {"peers": tuple(peers)}


def _told(netlink: Netlink, family: int, name: str) -> dict[str, Any]:
    """A device's keys, port, mark and peers."""
    from pyroute2.netlink.generic import wireguard as wg

    question = wg.wgmsg()
    question["cmd"], question["version"] = wg.WG_CMD_GET_DEVICE, wg.WG_GENL_VERSION
    question["attrs"] = [["WGDEVICE_A_IFNAME", name]]
    found: dict[str, Any] = {}
    peers: dict[str, WireguardPeer] = {}
    for body in netlink.dump(generic.encoded(question, family)):
        answer = generic.decoded(wg.wgmsg, body)  # many peers come in parts
        for field, word in _WORDS.items():
            found.setdefault(field, answer.get_attr(f"WGDEVICE_A_{word}"))
        for one in answer.get_attr("WGDEVICE_A_PEERS") or ():
            peer = _peer(one)
            known = peers.get(peer.public_key)
            peers[peer.public_key] = _joined(known, peer) if known else peer
    key = _key(found.pop("private_key", None))
    return {
        **{field: value or 0 for field, value in found.items()},
        "private_key": key,
        "peers": tuple(peers.values()),
    }


def described(
    link: Wireguard, family: int, present: Collection[WireguardPeer] = ()
) -> Iterator[Request]:
    """The requests that give a device its keys and peers, of which some may be `present`.

    `family` is the number of WireGuard's family.
    """
    from pyroute2.netlink.generic import wireguard as wg

    settings: list[list[Any]] = [
        ["WGDEVICE_A_PRIVATE_KEY", link.private_key or _NO_KEY],
        ["WGDEVICE_A_LISTEN_PORT", link.listen_port],
        ["WGDEVICE_A_FWMARK", link.fwmark],
    ]
    peers = [{"attrs": attributes} for attributes in _changes(link.peers, present)]
    for start in range(0, max(len(peers), 1), _PEERS):
        message = wg.wgmsg()
        message["cmd"], message["version"] = wg.WG_CMD_SET_DEVICE, wg.WG_GENL_VERSION
        message["attrs"] = [["WGDEVICE_A_IFNAME", link.name], *settings]
        if some := peers[start : start + _PEERS]:
            message["attrs"].append(["WGDEVICE_A_PEERS", some])
        yield generic.encoded(message, family, link)
        settings = []


def _changes(
    want: Sequence[WireguardPeer], have: Collection[WireguardPeer]
) -> Iterator[list[list[Any]]]:
    """Peers to be taken away, then those to be set, as attributes.

    One that is to have no endpoint is made anew: there is no other way to have it forgotten.
    """
    from pyroute2.netlink.generic import wireguard as wg

    wanted = {peer.public_key: peer for peer in want}
    for peer in have:
        planned = wanted.get(peer.public_key)
        if planned is None or (peer.endpoint and not planned.endpoint):
            yield [
                ["WGPEER_A_PUBLIC_KEY", peer.public_key],
                ["WGPEER_A_FLAGS", wg.WGPEER_F_REMOVE_ME],
            ]
    for peer in want:
        if peer not in have:
            yield _described(peer)


def _described(peer: WireguardPeer) -> list[list[Any]]:
    from pyroute2.netlink.generic import wireguard as wg

    allowed = [ip_interface(text) for text in peer.allowed_ips]
    attributes: list[list[Any]] = [
        ["WGPEER_A_PUBLIC_KEY", peer.public_key],
        ["WGPEER_A_FLAGS", wg.WGPEER_F_REPLACE_ALLOWEDIPS],
        ["WGPEER_A_PRESHARED_KEY", peer.preshared_key or _NO_KEY],
        ["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", peer.keepalive],
        [
            "WGPEER_A_ALLOWEDIPS",
            [
                {
                    "attrs": [
                        ["WGALLOWEDIP_A_FAMILY", 10 if net.version == 6 else 2],
                        ["WGALLOWEDIP_A_IPADDR", net.ip.packed],
                        ["WGALLOWEDIP_A_CIDR_MASK", net.network.prefixlen],
                    ]
                }
                for net in allowed
            ],
        ],
    ]
    if peer.endpoint:
        address, _, port = peer.endpoint.rpartition(":")
        endpoint = {"addr": address.strip("[]"), "port": int(port)}
        attributes.append(["WGPEER_A_ENDPOINT", endpoint])
    return attributes


def _peer(found: Any) -> WireguardPeer:
    endpoint = found.get_attr("WGPEER_A_ENDPOINT")
    allowed = found.get_attr("WGPEER_A_ALLOWEDIPS") or ()
    text = None
    if endpoint:
        address = endpoint["addr"]
        text = (
            f"[{address}]:{endpoint['port']}" if ":" in address else f"{address}:{endpoint['port']}"
        )
    return WireguardPeer(
        public_key=_key(found.get_attr("WGPEER_A_PUBLIC_KEY")),
        endpoint=text,
        allowed_ips=tuple(one["addr"] for one in allowed),
        keepalive=found.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0,
        preshared_key=_key(found.get_attr("WGPEER_A_PRESHARED_KEY")),
    )


def _joined(first: WireguardPeer, more: WireguardPeer) -> WireguardPeer:
    """A peer whose allowed addresses fill more than one message."""
    return msgspec.structs.replace(first, allowed_ips=first.allowed_ips + more.allowed_ips)


def _key(value: Any) -> str:
    """A key as text; that of zeros, which means none, is empty."""
    value = value["value"] if isinstance(value, dict) else value
    text = value.decode() if isinstance(value, bytes) else str(value or "")
    return "" if text == _NO_KEY else text
