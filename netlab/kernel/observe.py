"""The kernel's state as the plan's own values, so that comparing the two is `==`.

What the kernel makes by itself is left out: tunnels' fallback devices, connected routes, learned
neighbours and FDB entries, IPv6 addresses.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from netlab.kernel import messages as m
from netlab.kernel import namespaces, nft
from netlab.kernel.containers import Containers
from netlab.kernel.netlink import Netlink, attributes, u32
from netlab.plan.types import (
    Address,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Peer,
    Plan,
    Route,
    Sysctl,
    Table,
    Vxlan,
)

_SKIP_STATISTICS = u32(29, 1 << 3)  # IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS
_LINK_DUMP = m.link_header() + _SKIP_STATISTICS
# What tunnel modules, once loaded, put into every new namespace by themselves.
FALLBACK_DEVICES = frozenset(
    ["tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6_vti0"]
)
_NUD_NOARP, _NTF_EXT_LEARNED = 0x40, 0x10
_ROUTE_KINDS = {number: kind for kind, number in m.ROUTE_KINDS.items()}
_RTPROT_KERNEL, _RTM_F_CLONED = 2, 0x200


@dataclass(slots=True)
class RawLink:
    """A link as dumped, before names are known for the indexes it refers to."""

    link: Link
    index: int
    other: int  # index of the veth's peer, or of the device below
    master: int
    settings: dict[str, int]
    operational: bool


def observe(plan: Plan, containers: Containers) -> dict[str, Namespace]:
    """Every namespace of the sandbox, with what it holds."""
    present = set(namespaces.existing())
    names = [name for name in plan.namespaces if name in present]
    names += sorted(present - set(plan.namespaces))
    raw: dict[str, dict[int, RawLink]] = {}
    found: dict[str, Namespace] = {}
    bodies = nft.printed(t for space in plan.namespaces.values() for t in space.ruleset)
    for name in names:
        wanted = plan.namespaces.get(name) or Namespace(name, "pod")
        space = found[name] = Namespace(name, wanted.role)
        sock = namespaces.open_socket(name, socket.AF_NETLINK, socket.SOCK_RAW)
        netlink = Netlink(sock)
        try:
            raw[name] = links(netlink)
            _fill(space, netlink, raw[name])
        finally:
            netlink.close()
        space.sysctls = _sysctls(wanted.sysctls, raw[name], name)
        # A pod's ruleset is not looked at unless it should have one: that would cost most of all.
        if wanted.ruleset or wanted.role != "pod":
            with namespaces.inside(name):
                space.ruleset = [_planned(table, wanted, bodies) for table in nft.tables()]
        space.daemons = containers.running(name)
    for name, space in found.items():
        wanted_space = plan.namespaces.get(name)
        space.links = [_named(item, wanted_space, raw, name) for item in raw[name].values()]
    return found


def _planned(table: Table, wanted: Namespace, bodies: Mapping[Table, str]) -> Table:
    for planned in wanted.ruleset:
        if planned.key == table.key and bodies[planned] == table.body:
            return planned
    return table


def links(netlink: Netlink) -> dict[int, RawLink]:
    """The namespace's devices by index, without tunnels' fallback devices."""
    result = {}
    for body in netlink.dump(m.RTM_GETLINK, _LINK_DUMP):
        raw = _decode_link(body)
        if raw is not None:
            result[raw.index] = raw
    return result


def _decode_link(body: bytes) -> RawLink | None:
    _family, _type, index, flags, _change = struct.unpack_from("=BxHiII", body)
    attrs = attributes(body, 16)
    info = attributes(attrs.get(m.IFLA_LINKINFO, b""))
    kind = info.get(m.IFLA_INFO_KIND, b"").rstrip(b"\0").decode() or "device"
    if index == m.LOOPBACK:
        kind = "loopback"
    name = attrs[m.IFLA_IFNAME].rstrip(b"\0").decode()
    if name in FALLBACK_DEVICES:
        return None
    data = attributes(info.get(m.IFLA_INFO_DATA, b""))
    port = attributes(info.get(m.IFLA_INFO_SLAVE_DATA, b""))
    vxlan = None
    other = _u32(attrs.get(m.IFLA_LINK))
    if kind == "vxlan":
        other = _u32(data.get(m.IFLA_VXLAN_LINK))
        vxlan = Vxlan(
            vni=_u32(data.get(m.IFLA_VXLAN_ID)),
            port=int.from_bytes(data.get(m.IFLA_VXLAN_PORT, b""), "big"),
            local=_ip(data.get(m.IFLA_VXLAN_LOCAL)),
            device="",
            learning=bool(data.get(m.IFLA_VXLAN_LEARNING, b"\0")[0]),
            gbp=m.IFLA_VXLAN_GBP in data,
        )
    link = Link(
        name=name,
        kind=kind,  # type: ignore[arg-type]  # a kind no plan has still shows as what it is
        mac=attrs.get(m.IFLA_ADDRESS, b"").hex(":"),
        mtu=_u32(attrs.get(m.IFLA_MTU)),
        up=bool(flags & m.IFF_UP),
        hairpin=bool(port.get(m.IFLA_BRPORT_MODE, b"\0")[0]),
        txqlen=_u32(attrs.get(m.IFLA_TXQLEN)),
        vxlan=vxlan,
    )
    master = _u32(attrs.get(m.IFLA_MASTER))
    operational = attrs.get(m.IFLA_OPERSTATE) == bytes((m.OPERSTATE_UP,))
    return RawLink(link, index, other, master, _settings(attrs), operational)


def _settings(attrs: Mapping[int, bytes]) -> dict[str, int]:
    spec = attributes(attrs.get(m.IFLA_AF_SPEC, b""))
    values = attributes(spec.get(socket.AF_INET, b"")).get(m.IFLA_INET_CONF, b"")
    # The kernel dumps an array of all settings; number n is at place n-1.
    return {
        key: struct.unpack_from("=I", values, 4 * (number - 1))[0]
        for key, number in m.DEVCONF.items()
        if len(values) >= 4 * number
    }


def _named(
    raw: RawLink,
    wanted: Namespace | None,
    all_links: Mapping[str, Mapping[int, RawLink]],
    space: str,
) -> Link:
    """Replace indexes by names. A veth's peer is looked for where the plan has it.

    The kernel gives the peer's index in its own namespace; it is that peer if the device there
    has this one's index as its own peer in turn.
    """
    link = raw.link
    here = all_links[space]
    if raw.master:
        master = here.get(raw.master)
        link = replace(link, master=master.link.name if master else f"index {raw.master}")
    if link.vxlan:
        below = here.get(raw.other)
        link = replace(link, vxlan=replace(link.vxlan, device=below.link.name if below else ""))
    if link.kind == "veth" and wanted:
        planned = next((item for item in wanted.links if item.name == link.name), None)
        if planned and planned.peer:
            peer = all_links.get(planned.peer.namespace, {}).get(raw.other)
            if peer and peer.other == raw.index and peer.link.kind == "veth":
                link = replace(link, peer=Peer(planned.peer.namespace, peer.link.name))
    return link


def _fill(space: Namespace, netlink: Netlink, raw: Mapping[int, RawLink]) -> None:
    names = {index: item.link.name for index, item in raw.items()}
    space.addresses = list(_addresses(netlink, names))
    space.routes = list(_routes(netlink, names))
    space.neighbours = list(_neighbours(netlink, names))
    if any(item.link.kind == "vxlan" for item in raw.values()):
        space.fdb = list(_fdb(netlink, names))


def _addresses(netlink: Netlink, names: Mapping[int, str]) -> Iterable[Address]:
    for body in netlink.dump(m.RTM_GETADDR, bytes((socket.AF_INET, 0, 0, 0, 0, 0, 0, 0))):
        _family, length, _flags, _scope, index = struct.unpack_from("=BBBBI", body)
        if index in names:
            attrs = attributes(body, 8)
            ip = _ip(attrs.get(m.IFA_LOCAL) or attrs[m.IFA_ADDRESS])
            yield Address(names[index], f"{ip}/{length}")


def _routes(netlink: Netlink, names: Mapping[int, str]) -> Iterable[Route]:
    for body in netlink.dump(m.RTM_GETROUTE, struct.pack("=B11x", socket.AF_INET)):
        head = struct.unpack_from("=BBBBBBBBI", body)
        length, table, protocol, kind, flags = head[1], head[4], head[5], head[7], head[8]
        if table != m.RT_TABLE_MAIN or kind not in _ROUTE_KINDS:
            continue
        if protocol == _RTPROT_KERNEL or flags & _RTM_F_CLONED:  # a path MTU it has learned
            continue
        attrs = attributes(body, 12)
        gateway = attrs.get(m.RTA_GATEWAY)
        yield Route(
            destination=f"{_ip(attrs.get(m.RTA_DST))}/{length}",
            link=names.get(_u32(attrs.get(m.RTA_OIF)), ""),
            gateway=_ip(gateway) if gateway else None,
            onlink=bool(flags & m.RTNH_F_ONLINK),
            metric=_u32(attrs.get(m.RTA_PRIORITY)),
            kind=_ROUTE_KINDS[kind],
        )


def _neighbours(netlink: Netlink, names: Mapping[int, str]) -> Iterable[Neighbour]:
    for index, state, _flags, attrs in _neighbour_dump(netlink, socket.AF_INET):
        if state & m.NUD_PERMANENT and index in names:
            yield Neighbour(
                names[index], _ip(attrs[m.NDA_DST]), attrs.get(m.NDA_LLADDR, b"").hex(":")
            )


def _fdb(netlink: Netlink, names: Mapping[int, str]) -> Iterable[FdbEntry]:
    """Only entries with a destination: those are of VXLAN devices, and the kernel makes none."""
    for index, state, flags, attrs in _neighbour_dump(netlink, m.AF_BRIDGE):
        fixed = state & (m.NUD_PERMANENT | _NUD_NOARP) or flags & _NTF_EXT_LEARNED
        if fixed and m.NDA_DST in attrs and index in names:
            mac = attrs[m.NDA_LLADDR].hex(":")
            yield FdbEntry(names[index], mac, _ip(attrs[m.NDA_DST]))


def _neighbour_dump(
    netlink: Netlink, family: int
) -> Iterable[tuple[int, int, int, dict[int, bytes]]]:
    for body in netlink.dump(m.RTM_GETNEIGH, struct.pack("=B11x", family)):
        _family, index, state, flags, _kind = struct.unpack_from("=BxxxiHBB", body)
        yield index, state, flags, attributes(body, 12)


def _sysctls(wanted: list[Sysctl], raw: Mapping[int, RawLink], name: str) -> list[Sysctl]:
    by_name = {item.link.name: item for item in raw.values()}
    result = []
    files = []
    for item in wanted:
        device, key = device_setting(item.path)
        if device in by_name and key in by_name[device].settings:
            result.append(replace(item, value=str(by_name[device].settings[key])))
        elif device is None:
            files.append(item)
    if files:
        with namespaces.inside(name):
            result += [found for item in files if (found := read_sysctl(item))]
    return result


def device_setting(path: str) -> tuple[str | None, str]:
    """The device and key of a path that netlink can set and read, else (None, "")."""
    parts = path.split("/")
    if len(parts) == 5 and parts[:3] == ["net", "ipv4", "conf"] and parts[4] in m.DEVCONF:
        return (parts[3], parts[4]) if parts[3] not in ("all", "default") else (None, "")
    return None, ""


def read_sysctl(item: Sysctl) -> Sysctl | None:
    """The setting as the current namespace has it.

    One of IPv6 is as wanted where there is none: in the kernel, or on a device with an MTU below
    1280. The real agents do not mind its absence either.
    """
    try:
        return replace(item, value=Path("/proc/sys", item.path).read_text().strip())
    except FileNotFoundError:
        return item if item.path.startswith("net/ipv6/") else None


def _u32(data: bytes | None) -> int:
    return int(struct.unpack("=I", data)[0]) if data else 0


def _ip(data: bytes | None) -> str:
    return socket.inet_ntoa(data) if data else "0.0.0.0"
