"""Plan objects as route netlink requests. Device names become the indexes of one namespace."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping

from netlab.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    ipv4,
    mac,
    nest,
    text,
    u8,
    u16be,
    u32,
)
from netlab.plan.types import Address, FdbEntry, Link, Neighbour, Object, Route, Rule

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE = 16
IFLA_TXQLEN, IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 13, 18, 26, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 3, 4, 7
IFLA_VXLAN_PORT, IFLA_VXLAN_GBP = 15, 23
IFLA_BRPORT_MODE = 4  # hairpin
VETH_INFO_PEER = 1
IFLA_INET_CONF = 1
IFLA_INET6_ADDR_GEN_MODE = 8
IN6_ADDR_GEN_MODE_NONE = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
RTA_PREFSRC, RTA_METRICS, RTA_TABLE = 7, 8, 15
FRA_DST, FRA_SRC, FRA_PRIORITY, FRA_TABLE = 1, 2, 6, 15
NDA_DST, NDA_LLADDR, NDA_PORT, NDA_VNI = 1, 2, 6, 7
IFF_UP = 1
RTNH_F_ONLINK = 4
RTPROT_KERNEL, RTPROT_BOOT, RTN_UNICAST = 2, 3, 1
RULE_ACTIONS = {"lookup": 1, "nop": 3, "blackhole": 6, "unreachable": 7, "prohibit": 8}
ROUTE_KINDS = {"unicast": RTN_UNICAST, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9}
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
NUD_PERMANENT, NTF_SELF = 0x80, 0x02
AF_BRIDGE = 7
LOOPBACK = 1
OPERSTATE_UP = 6
IPV6_MTU = 1280  # bytes; a device with a smaller MTU has no IPv6 at all

# Settings of /proc/sys/net/ipv4/conf/DEVICE that netlink sets too (linux/ip.h, IPV4_DEVCONF_*):
# a write under /proc gets slower with every namespace there is, netlink does not.
DEVCONF = {
    "forwarding": 1,
    "proxy_arp": 3,
    "accept_redirects": 4,
    "secure_redirects": 5,
    "send_redirects": 6,
    "shared_media": 7,
    "rp_filter": 8,
    "accept_source_route": 9,
    "arp_filter": 13,
    "arp_announce": 18,
    "arp_ignore": 19,
    "arp_accept": 21,
    "arp_notify": 22,
    "accept_local": 23,
    "src_valid_mark": 24,
    "proxy_arp_pvlan": 25,
    "route_localnet": 26,
}

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
Indexes = Mapping[str, int]


def link_header(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return _LINK.pack(family, 0, index, flags, change)


def create_veth(
    link: Link, index: int, indexes: Indexes, peer: Link, peer_index: int, peer_namespace: int
) -> Request:
    """Both ends at once, where they stay: this one enslaved and up, the peer in its namespace.

    The peer cannot be brought up from here (the kernel refuses the whole request), and its index
    is honoured only when this end has one too.
    """
    master = u32(IFLA_MASTER, indexes[link.master]) if link.master else b""
    other = nest(
        VETH_INFO_PEER,
        link_header(peer_index),
        text(IFLA_IFNAME, peer.name),
        mac(IFLA_ADDRESS, peer.mac),
        u32(IFLA_MTU, peer.mtu),
        u32(IFLA_TXQLEN, peer.txqlen),
        u32(IFLA_NET_NS_FD, peer_namespace),
    )
    data = nest(IFLA_INFO_DATA, other)
    return _create(link, index, data, master)


def create_bridge(link: Link, index: int) -> Request:
    return _create(link, index, b"", b"")


def create_vxlan(link: Link, index: int, indexes: Indexes) -> Request:
    assert link.vxlan is not None
    vxlan = link.vxlan
    data = nest(
        IFLA_INFO_DATA,
        u32(IFLA_VXLAN_ID, vxlan.vni),
        u32(IFLA_VXLAN_LINK, indexes[vxlan.device]),
        ipv4(IFLA_VXLAN_LOCAL, vxlan.local),
        u8(IFLA_VXLAN_LEARNING, vxlan.learning),
        u16be(IFLA_VXLAN_PORT, vxlan.port),
        attribute(IFLA_VXLAN_GBP, b"") if vxlan.gbp else b"",
    )
    return _create(link, index, data, b"")


def _create(link: Link, index: int, data: bytes, more: bytes) -> Request:
    body = (
        link_header(index, IFF_UP if link.up else 0, IFF_UP)
        + text(IFLA_IFNAME, link.name)
        + mac(IFLA_ADDRESS, link.mac)
        + u32(IFLA_MTU, link.mtu)
        + u32(IFLA_TXQLEN, link.txqlen)
        + more
        + nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, link.kind), data)
    )
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"{link}")


def hairpin(link: Link, index: int) -> Request:
    """Set a bridge port's hairpin mode, which cannot be given when it is made."""
    port = nest(
        IFLA_LINKINFO,
        text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nest(IFLA_INFO_SLAVE_DATA, u8(IFLA_BRPORT_MODE, link.hairpin)),
    )
    return Request(RTM_NEWLINK, 0, link_header(index) + port, f"hairpin of {link}")


def set_link(link: Link, index: int, fields: Iterable[str], indexes: Indexes) -> list[Request]:
    """Set what may change while a device lives: MAC, MTU, queue length, master, hairpin, up."""
    wanted = set(fields)
    requests = []
    body = b""
    if "mac" in wanted:
        body += mac(IFLA_ADDRESS, link.mac)
    if "mtu" in wanted:
        body += u32(IFLA_MTU, link.mtu)
    if "txqlen" in wanted:
        body += u32(IFLA_TXQLEN, link.txqlen)
    if "master" in wanted:
        body += u32(IFLA_MASTER, indexes[link.master] if link.master else 0)
    header = link_header(index)
    if "up" in wanted:
        header = link_header(index, IFF_UP if link.up else 0, IFF_UP)
    if body or "up" in wanted:
        requests.append(Request(RTM_NEWLINK, 0, header + body, f"{link}"))
    if link.master and wanted & {"hairpin", "master"}:
        requests.append(hairpin(link, index))
    return requests


def without_ipv6(index: int) -> Request:
    """No link-local address on this device when it comes up, so no duplicate address detection."""
    spec = nest(
        IFLA_AF_SPEC, nest(socket.AF_INET6, u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE))
    )
    return Request(RTM_NEWLINK, 0, link_header(index) + spec, "IPv6 off")


def device_setting(index: int, key: str, value: str) -> Request:
    """A setting of /proc/sys/net/ipv4/conf/DEVICE in DEVCONF."""
    spec = nest(
        IFLA_AF_SPEC, nest(socket.AF_INET, nest(IFLA_INET_CONF, u32(DEVCONF[key], int(value))))
    )
    return Request(RTM_NEWLINK, 0, link_header(index) + spec, f"{key}={value}")


def bring_up(index: int, about: str) -> Request:
    return Request(RTM_NEWLINK, 0, link_header(index, IFF_UP, IFF_UP), about)


def add(item: Object, indexes: Indexes, *, replace: bool = False) -> Request:
    """The request that makes an address, route, neighbour or FDB entry on a device there is."""
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    if isinstance(item, Address):
        return Request(RTM_NEWADDR, flags, _address(item, indexes, new=True), f"{item}")
    if isinstance(item, Route):
        return Request(RTM_NEWROUTE, flags, _route(item, indexes, new=True), f"{item}")
    if isinstance(item, Rule):
        return Request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _rule(item), f"{item}")
    # Neighbours are always replaced: the kernel may have learned one where a permanent one lacks.
    return Request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, _neighbour(item, indexes), f"{item}")


def remove(item: Object, indexes: Indexes) -> Request:
    """The request that removes a link, address, route, neighbour or FDB entry."""
    if isinstance(item, Link):
        return Request(RTM_DELLINK, 0, link_header(indexes[item.name]), f"{item}")
    if isinstance(item, Address):
        return Request(RTM_DELADDR, 0, _address(item, indexes, new=False), f"{item}")
    if isinstance(item, Route):
        return Request(RTM_DELROUTE, 0, _route(item, indexes, new=False), f"{item}")
    if isinstance(item, Rule):
        return Request(RTM_DELRULE, 0, _rule(item), f"{item}")
    return Request(RTM_DELNEIGH, 0, _neighbour(item, indexes), f"{item}")


def _address(item: Address, indexes: Indexes, *, new: bool) -> bytes:
    ip, _, length_text = item.address.partition("/")
    length = int(length_text)
    packed = socket.inet_aton(ip)
    scope = RT_SCOPE_UNIVERSE
    body = _ADDRESS.pack(socket.AF_INET, length, 0, scope, indexes[item.link])
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if new and length < 31:
        broadcast = int.from_bytes(packed, "big") | (1 << (32 - length)) - 1
        body += attribute(IFA_BROADCAST, broadcast.to_bytes(4, "big"))
    return body


def _route(item: Route, indexes: Indexes, *, new: bool) -> bytes:
    network, _, length_text = item.destination.partition("/")
    length = int(length_text)
    flags = RTNH_F_ONLINK if item.onlink else 0
    scope = RT_SCOPE_LINK if item.link and not item.gateway else RT_SCOPE_UNIVERSE
    protocol = RTPROT_KERNEL if item.connected else RTPROT_BOOT
    # To be removed is a route of any origin and scope.
    origin = (protocol, scope) if new else (0, RT_SCOPE_NOWHERE)
    head = (length, 0, item.tos, item.table & 0xFF, *origin, ROUTE_KINDS[item.kind], flags)
    body = _ROUTE.pack(socket.AF_INET, *head) + u32(RTA_TABLE, item.table)
    if length:
        body += ipv4(RTA_DST, network)
    if item.gateway:
        body += ipv4(RTA_GATEWAY, item.gateway)
    if item.metric:
        body += u32(RTA_PRIORITY, item.metric)
    if item.source:
        body += ipv4(RTA_PREFSRC, item.source)
    return body + (u32(RTA_OIF, indexes[item.link]) if item.link else b"")


def _rule(item: Rule) -> bytes:
    """By priority, table and action; what else a rule may have is not needed to tell it apart."""
    head = (0, 0, 0, 0, 0, 0, RULE_ACTIONS.get(item.action, 0), 0)
    body = _ROUTE.pack(socket.AF_INET, *head) + u32(FRA_PRIORITY, item.priority)
    return body + (u32(FRA_TABLE, item.table) if item.table else b"")


def _neighbour(item: Object, indexes: Indexes) -> bytes:
    if isinstance(item, FdbEntry):
        head = _NEIGHBOUR.pack(AF_BRIDGE, indexes[item.link], NUD_PERMANENT, NTF_SELF, 0)
        return head + ipv4(NDA_DST, item.destination) + mac(NDA_LLADDR, item.mac)
    assert isinstance(item, Neighbour)
    head = _NEIGHBOUR.pack(socket.AF_INET, indexes[item.link], NUD_PERMANENT, 0, RTN_UNICAST)
    return head + ipv4(NDA_DST, item.address) + mac(NDA_LLADDR, item.mac)
