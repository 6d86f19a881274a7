"""WireGuard devices (drivers/net/wireguard): keys and peers go by a generic netlink family."""

from __future__ import annotations

import os
from ipaddress import ip_interface
from typing import Any, ClassVar

import msgspec

from netlab.kernel import generic
from netlab.kernel.devices.base import Device, Names, Raw
from netlab.kernel.netlink import Request
from netlab.plan.links import Wireguard, WireguardPeer

_NO_KEY = "A" * 43 + "="  # the zeros by which the kernel means none, in base64
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
        """All in one message, which replaces the peers there were."""
        with generic.opened("wireguard") as (netlink, family):
            refused = netlink.send([described(link, family)])
        if refused:
            raise OSError(refused[0].code, refused[0].words or os.strerror(refused[0].code))

    def look(self, raw: Raw) -> None:
        from pyroute2.netlink.generic import wireguard as wg

        question = wg.wgmsg()
        question["cmd"], question["version"] = wg.WG_CMD_GET_DEVICE, wg.WG_GENL_VERSION
        question["attrs"] = [["WGDEVICE_A_IFNAME", raw.name]]
        found: dict[str, Any] = {}
        peers: dict[str, WireguardPeer] = {}
        with generic.opened(wg.WG_GENL_NAME) as (netlink, family):
            for body in netlink.dump(generic.encoded(question, family)):
                answer = generic.decoded(wg.wgmsg, body)  # many peers come in parts
                for field, word in _WORDS.items():
                    found.setdefault(field, answer.get_attr(f"WGDEVICE_A_{word}"))
                for one in answer.get_attr("WGDEVICE_A_PEERS") or ():
                    peer = _peer(one)
                    known = peers.get(peer.public_key)
                    peers[peer.public_key] = _joined(known, peer) if known else peer
        key = _key(found.pop("private_key", None))
        raw.values["wireguard"] = {
            **{field: value or 0 for field, value in found.items()},
            "private_key": "" if key == _NO_KEY else key,
            "peers": tuple(peers.values()),
        }

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


def described(link: Wireguard, family: int) -> Request:
    """The request that gives a device its keys and peers; `family` is WireGuard's number."""
    from pyroute2.netlink.generic import wireguard as wg

    message = wg.wgmsg()
    message["cmd"], message["version"] = wg.WG_CMD_SET_DEVICE, wg.WG_GENL_VERSION
    message["attrs"] = [
        ["WGDEVICE_A_IFNAME", link.name],
        ["WGDEVICE_A_FLAGS", wg.WGDEVICE_F_REPLACE_PEERS],
        ["WGDEVICE_A_PRIVATE_KEY", link.private_key or _NO_KEY],
        ["WGDEVICE_A_LISTEN_PORT", link.listen_port],
        ["WGDEVICE_A_FWMARK", link.fwmark],
        ["WGDEVICE_A_PEERS", [{"attrs": _described(peer)} for peer in link.peers]],
    ]
    return generic.encoded(message, family, link)


def _described(peer: WireguardPeer) -> list[list[Any]]:
    from pyroute2.netlink.generic import wireguard as wg

    allowed = [ip_interface(text) for text in peer.allowed_ips]
    attributes: list[list[Any]] = [
        ["WGPEER_A_PUBLIC_KEY", peer.public_key],
        ["WGPEER_A_FLAGS", wg.WGPEER_F_REPLACE_ALLOWEDIPS],
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
    )


def _joined(first: WireguardPeer, more: WireguardPeer) -> WireguardPeer:
    """A peer whose allowed addresses fill more than one message."""
    return msgspec.structs.replace(first, allowed_ips=first.allowed_ips + more.allowed_ips)


def _key(value: Any) -> str:
    value = value["value"] if isinstance(value, dict) else value
    return value.decode() if isinstance(value, bytes) else str(value or "")
