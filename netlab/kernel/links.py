"""Network devices as the kernel dumps them, and which of their many settings are altered.

A plan names what the real systems set. Everything else of a device is to be as the kernel made it,
so a setting that somebody changed is told in words and can be put back.
"""

from __future__ import annotations

import functools
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from netlab.kernel import messages as m
from netlab.kernel.netlink import Netlink, Request, attribute, attributes, nest, u32
from netlab.plan.types import Link, Vxlan

# What tunnel modules, once loaded, put into every new namespace by themselves.
FALLBACK_DEVICES = frozenset(
    ["tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6_vti0"]
)
_DUMP = m.link_header() + u32(29, 1 << 3)  # IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS
_IFF_NOARP = 0x80
_IFLA_QDISC = 6
_RTM_DELQDISC, _TC_ROOT = 37, 0xFFFFFFFF


class Setting(NamedTuple):
    """One attribute of a kind of device: its number, size in bytes, and the kernel's default."""

    name: str
    number: int
    size: int
    default: int


_BRIDGE = (
    Setting("ageing_time", 4, 4, 30000),
    Setting("stp_state", 5, 4, 0),
    Setting("priority", 6, 2, 32768),
    Setting("vlan_filtering", 7, 1, 0),
    Setting("group_fwd_mask", 9, 2, 0),
)
_PORT = (
    Setting("state", 1, 1, 3),  # forwarding; judged only while the port is operational
    Setting("guard", 5, 1, 0),
    Setting("root_block", 6, 1, 0),
    Setting("learning", 8, 1, 1),
    Setting("flood", 9, 1, 1),
    Setting("proxy_arp", 10, 1, 0),
    Setting("mcast_flood", 27, 1, 1),
    Setting("bcast_flood", 30, 1, 1),
    Setting("group_fwd_mask", 31, 2, 0),
    Setting("neigh_suppress", 32, 1, 0),
    Setting("isolated", 33, 1, 0),
)
_VXLAN = (
    Setting("ttl", 5, 1, 0),
    Setting("tos", 6, 1, 0),
    Setting("ageing", 8, 4, 300),
    Setting("proxy", 11, 1, 0),
    Setting("udpcsum", 18, 1, 1),
    Setting("df", 29, 1, 0),
)
_OF_KIND = {"bridge": _BRIDGE, "vxlan": _VXLAN}


@dataclass(slots=True)
class RawLink:
    """A link as dumped, before names are known for the indexes it refers to.

    `settings` are its IPv4 settings under /proc/sys/net/ipv4/conf by their name.
    """

    link: Link
    index: int
    other: int  # index of the veth's peer, or of the device below
    master: int
    settings: dict[str, int]
    operational: bool
    altered: list[str]


def links(netlink: Netlink) -> dict[int, RawLink]:
    """The namespace's devices by index, without tunnels' fallback devices."""
    result = {}
    for body in netlink.dump(m.RTM_GETLINK, _DUMP):
        raw = _decode(body)
        if raw is not None:
            result[raw.index] = raw
    return result


def _decode(body: bytes) -> RawLink | None:
    _family, _type, index, flags, _change = struct.unpack_from("=BxHiII", body)
    attrs = attributes(body, 16)
    name = attrs[m.IFLA_IFNAME].rstrip(b"\0").decode()
    if name in FALLBACK_DEVICES:
        return None
    info = attributes(attrs.get(m.IFLA_LINKINFO, b""))
    kind = info.get(m.IFLA_INFO_KIND, b"").rstrip(b"\0").decode() or "device"
    if index == m.LOOPBACK:
        kind = "loopback"
    data = attributes(info.get(m.IFLA_INFO_DATA, b""))
    port = attributes(info.get(m.IFLA_INFO_SLAVE_DATA, b""))
    link = Link(
        name=name,
        kind=kind,  # type: ignore[arg-type]  # a kind no plan has still shows as what it is
        mac=attrs.get(m.IFLA_ADDRESS, b"").hex(":"),
        mtu=_number(attrs.get(m.IFLA_MTU)),
        up=bool(flags & m.IFF_UP),
        hairpin=bool(_number(port.get(m.IFLA_BRPORT_MODE))),
        txqlen=_number(attrs.get(m.IFLA_TXQLEN)),
        vxlan=_vxlan(data) if kind == "vxlan" else None,
    )
    operational = _number(attrs.get(m.IFLA_OPERSTATE)) == m.OPERSTATE_UP
    other = _number(data.get(m.IFLA_VXLAN_LINK) if link.vxlan else attrs.get(m.IFLA_LINK))
    altered = [*_flags(flags, attrs), *_changed(_OF_KIND.get(kind, ()), data)]
    if port:
        judged = _PORT if operational else _PORT[1:]
        altered += _changed(judged, port)
    master = _number(attrs.get(m.IFLA_MASTER))
    return RawLink(link, index, other, master, _settings(attrs), operational, altered)


def _vxlan(data: Mapping[int, bytes]) -> Vxlan:
    return Vxlan(
        vni=_number(data.get(m.IFLA_VXLAN_ID)),
        port=int.from_bytes(data.get(m.IFLA_VXLAN_PORT, b""), "big"),
        local=socket.inet_ntoa(data.get(m.IFLA_VXLAN_LOCAL, bytes(4))),
        device="",
        learning=bool(_number(data.get(m.IFLA_VXLAN_LEARNING))),
        gbp=m.IFLA_VXLAN_GBP in data,
    )


def _flags(flags: int, attrs: Mapping[int, bytes]) -> Iterator[str]:
    if flags & _IFF_NOARP:
        yield "arp off"
    qdisc = attrs.get(_IFLA_QDISC, b"").rstrip(b"\0").decode()
    if flags & m.IFF_UP and qdisc not in ("noqueue", "noop"):
        yield f"qdisc {qdisc}"


def _changed(settings: tuple[Setting, ...], data: Mapping[int, bytes]) -> Iterator[str]:
    for setting in settings:
        value = data.get(setting.number)
        if value is not None and _number(value) != setting.default:
            yield f"{setting.name} {_number(value)}"


def _settings(attrs: Mapping[int, bytes]) -> dict[str, int]:
    spec = attributes(attrs.get(m.IFLA_AF_SPEC, b""))
    values = attributes(spec.get(socket.AF_INET, b"")).get(m.IFLA_INET_CONF, b"")
    # The kernel dumps an array of all settings; number n is at place n-1.
    known = struct.unpack(f"={len(values) // 4}I", values)
    return {key: known[n - 1] for key, n in m.DEVCONF.items() if n <= len(known)}


@functools.cache
def inherited() -> Mapping[str, int]:
    """The IPv4 settings that a new device gets here: those of the sandbox's own loopback."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
        return links(Netlink(sock))[m.LOOPBACK].settings


def reset(raw: RawLink, wanted: Mapping[str, int]) -> list[Request]:
    """The requests that put everything which is altered back; `wanted` are the IPv4 settings."""
    about = f"settings of {raw.link}"
    requests = [Request(m.RTM_NEWLINK, 0, m.link_header(raw.index, 0, _IFF_NOARP), about)]
    if raw.link.kind == "bridge":
        data = nest(m.IFLA_INFO_DATA, *_defaults(_BRIDGE))
        info = nest(m.IFLA_LINKINFO, attribute(m.IFLA_INFO_KIND, b"bridge\0"), data)
        requests.append(Request(m.RTM_NEWLINK, 0, m.link_header(raw.index) + info, about))
    if raw.master:
        data = nest(m.IFLA_INFO_SLAVE_DATA, *_defaults(_PORT))
        info = nest(m.IFLA_LINKINFO, attribute(m.IFLA_INFO_SLAVE_KIND, b"bridge\0"), data)
        requests.append(Request(m.RTM_NEWLINK, 0, m.link_header(raw.index) + info, about))
    requests += [
        m.device_setting(raw.index, key, str(value))
        for key, value in wanted.items()
        if raw.settings.get(key) != value
    ]
    if any(words.startswith("qdisc") for words in raw.altered):
        body = struct.pack("=BxxxiIII", 0, raw.index, 0, _TC_ROOT, 0)
        requests.append(Request(_RTM_DELQDISC, 0, body, about))
    return requests


def _defaults(settings: tuple[Setting, ...]) -> Iterator[bytes]:
    for setting in settings:
        yield attribute(setting.number, setting.default.to_bytes(setting.size, sys.byteorder))


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"", sys.byteorder)
