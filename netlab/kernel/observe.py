"""The kernel's state as the plan's own values, so that comparing the two is `==`.

What the kernel makes by itself is left out: tunnels' fallback devices, the local routing table,
learned neighbours and FDB entries, IPv6 addresses.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from netlab.kernel import messages as m
from netlab.kernel import namespaces, nft
from netlab.kernel.containers import Containers
from netlab.kernel.links import RawLink, inherited, links
from netlab.kernel.netlink import Netlink, attributes
from netlab.plan.types import (
    Address,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Peer,
    Plan,
    Route,
    Rule,
    Sysctl,
    Table,
)

_NUD_NOARP, _NTF_EXT_LEARNED = 0x40, 0x10
_RT_TABLE_LOCAL, _RTM_F_CLONED = 255, 0x200
_ROUTE_KINDS = {number: kind for kind, number in m.ROUTE_KINDS.items()}
_METRICS = {1: "lock", 2: "mtu", 3: "window", 4: "rtt", 8: "advmss", 10: "hoplimit"}
_ACTIONS = {number: action for action, number in m.RULE_ACTIONS.items()}
_SELECTORS = {3: "iif", 10: "fwmark", 16: "fwmask", 17: "oif", 20: "uidrange", 22: "ipproto"}
_NETLINK_NETFILTER, _NFT_GETTABLE = 12, 10 << 8 | 1


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
        space = found[name] = Namespace(name, wanted.role, rules=[])
        with namespaces.inside(name):
            netlink, netfilter = _open(0), _open(_NETLINK_NETFILTER)
            try:
                raw[name] = links(netlink)
                _fill(space, netlink, raw[name])
                # Listing rules costs most of all, and most namespaces have none.
                if has_tables(netfilter):
                    space.ruleset = [_planned(table, wanted, bodies) for table in nft.tables()]
            finally:
                netlink.close()
                netfilter.close()
            space.sysctls = _sysctls(wanted.sysctls, raw[name])
        space.daemons = containers.running(name)
        _tell_altered(raw[name], wanted.sysctls, space.sysctls)
    for name, space in found.items():
        wanted_space = plan.namespaces.get(name)
        space.links = [_named(item, wanted_space, raw, name) for item in raw[name].values()]
    return found


def _open(protocol: int) -> Netlink:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    return Netlink(socket.socket(socket.AF_NETLINK, kind, protocol))


def has_tables(netfilter: Netlink) -> bool:
    """Whether the namespace of a netfilter netlink socket has any nftables table."""
    try:
        return bool(netfilter.dump(_NFT_GETTABLE, bytes(4)))
    except OSError:  # a kernel without nftables
        return False


def wanted_settings(
    sysctls: Iterable[Sysctl], observed: Iterable[Sysctl], device: str
) -> dict[str, int]:
    """The IPv4 settings that a device is to have: what it inherits, and what the plan says."""
    result = dict(inherited())
    for item in observed:
        if item.path == "net/ipv4/ip_forward":  # sets that of every device
            result["forwarding"] = int(item.value)
    for item in sysctls:
        name, key = device_setting(item.path)
        if name == device:
            result.pop(key)  # compared as the setting itself
    return result


def _tell_altered(
    raw: Mapping[int, RawLink], planned: list[Sysctl], observed: list[Sysctl]
) -> None:
    for item in raw.values():
        wanted = wanted_settings(planned, observed, item.link.name)
        item.altered += [
            f"{key} {item.settings[key]}"
            for key, value in wanted.items()
            if item.settings.get(key, value) != value
        ]


def _planned(table: Table, wanted: Namespace, bodies: Mapping[Table, str]) -> Table:
    for planned in wanted.ruleset:
        if planned.key == table.key and bodies[planned] == table.body:
            return planned
    return table


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
    link = replace(raw.link, altered=", ".join(raw.altered) or None)
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
    space.rules = list(_rules(netlink))
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
    """All but the local table, which follows from the addresses."""
    for body in netlink.dump(m.RTM_GETROUTE, struct.pack("=B11x", socket.AF_INET)):
        _family, length, _, tos, table, _, _, kind, flags = struct.unpack_from("=BBBBBBBBI", body)
        if table == _RT_TABLE_LOCAL or kind not in _ROUTE_KINDS or flags & _RTM_F_CLONED:
            continue  # a clone is a path MTU that was learned
        attrs = attributes(body, 12)
        gateway, source = attrs.get(m.RTA_GATEWAY), attrs.get(m.RTA_PREFSRC)
        yield Route(
            destination=f"{_ip(attrs.get(m.RTA_DST))}/{length}",
            link=names.get(_u32(attrs.get(m.RTA_OIF)), ""),
            gateway=_ip(gateway) if gateway else None,
            onlink=bool(flags & m.RTNH_F_ONLINK),
            metric=_u32(attrs.get(m.RTA_PRIORITY)),
            kind=_ROUTE_KINDS[kind],
            source=_ip(source) if source else None,
            tos=tos,
            table=_u32(attrs.get(m.RTA_TABLE)) or table,
            metrics=_metrics(attrs.get(m.RTA_METRICS, b"")),
        )


def _metrics(data: bytes) -> str:
    return " ".join(
        f"{_METRICS.get(number, f'metric-{number}')} {_u32(value)}"
        for number, value in attributes(data).items()
        if len(value) == 4
    )


def _rules(netlink: Netlink) -> Iterable[Rule]:
    for body in netlink.dump(m.RTM_GETRULE, struct.pack("=B11x", socket.AF_INET)):
        _, to_length, from_length, tos, table, _, _, action, _ = struct.unpack_from(
            "=BBBBBBBBI", body
        )
        attrs = attributes(body, 12)
        words = [f"from {_ip(attrs[m.FRA_SRC])}/{from_length}"] if from_length else []
        words += [f"to {_ip(attrs[m.FRA_DST])}/{to_length}"] if to_length else []
        words += [f"tos {tos:#x}"] if tos else []
        words += [
            f"{name} {attrs[number].hex()}"
            for number, name in _SELECTORS.items()
            if number in attrs
        ]
        yield Rule(
            priority=_u32(attrs.get(m.FRA_PRIORITY)),
            table=_u32(attrs.get(m.FRA_TABLE)) or table,
            action=_ACTIONS.get(action, f"action {action}"),
            selector=" ".join(words),
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
            port = int.from_bytes(attrs.get(m.NDA_PORT, b""), "big")
            yield FdbEntry(
                names[index],
                attrs[m.NDA_LLADDR].hex(":"),
                _ip(attrs[m.NDA_DST]),
                port,
                _u32(attrs.get(m.NDA_VNI)),
            )


def _neighbour_dump(
    netlink: Netlink, family: int
) -> Iterable[tuple[int, int, int, dict[int, bytes]]]:
    for body in netlink.dump(m.RTM_GETNEIGH, struct.pack("=B11x", family)):
        _family, index, state, flags, _kind = struct.unpack_from("=BxxxiHBB", body)
        yield index, state, flags, attributes(body, 12)


def _sysctls(wanted: list[Sysctl], raw: Mapping[int, RawLink]) -> list[Sysctl]:
    """The wanted settings as the current namespace has them."""
    by_name = {item.link.name: item for item in raw.values()}
    result = []
    for item in wanted:
        device, key = device_setting(item.path)
        if device is None:
            found = read_sysctl(item)
            result += [found] if found else []
        elif device in by_name and key in by_name[device].settings:
            result.append(replace(item, value=str(by_name[device].settings[key])))
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
