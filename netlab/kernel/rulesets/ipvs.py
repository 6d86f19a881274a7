"""IPVS by generic netlink (net/netfilter/ipvs/ip_vs_ctl.c): pyroute2's messages, in batches."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from netlab.kernel import generic
from netlab.kernel.netlink import Netlink, Request
from netlab.kernel.rulesets.errors import RulesetError
from netlab.plan.rulesets import IpvsTable, RealServer, VirtualServer
from netlab.plan.rulesets.ipvs import Method, SchedulerFlag

FAMILY = "IPVS"
_TITLES = 3  # lines of /proc/net/ip_vs before the first server
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
_METHODS: tuple[Method, ...] = ("masquerade", "local", "tunnel", "route", "bypass")
_METHOD_BITS = 7  # IP_VS_CONN_F_FWD_MASK
# IP_VS_SVC_F_* of linux/ip_vs.h; the kernel itself sets HASHED.
_PERSISTENT, _ONE_PACKET = 1, 4
_SCHEDULER_FLAGS: dict[SchedulerFlag, int] = {"flag-1": 8, "flag-2": 16, "flag-3": 32}
_ALL = 0xFFFFFFFF
# Persistence is of single clients: a mask for IPv4; for IPv6 a length, 128 in the host's order.
_WHOLE = {
    socket.AF_INET: "255.255.255.255",
    socket.AF_INET6: socket.inet_ntoa((128).to_bytes(4, sys.byteorder)),
}


def loaded() -> bool:
    """Whether the kernel has IPVS; asking the kernel itself would load it."""
    return os.path.isdir("/sys/module/ip_vs")


def listed() -> IpvsTable:
    """The virtual servers of the current namespace. Raises OSError.

    Before Linux 6.10 the kernel answers only to the host's root (GENL_ADMIN_PERM); that there is
    nothing to tell of, `there` says to all.
    """
    with generic.opened(FAMILY) as (netlink, family):
        found = _dump(netlink, family, "SERVICE")
        servers = [
            _server(one, [_real(r) for r in _dump(netlink, family, "DEST", _named(one))])
            for one in found
        ]
    return IpvsTable(servers=tuple(servers))


def there() -> bool:
    """Whether the current namespace has virtual servers."""
    try:
        lines = Path("/proc/thread-self/net/ip_vs").read_text().splitlines()
    except FileNotFoundError:
        return True  # a kernel without this file: ask by netlink
    return len(lines) > _TITLES


def apply(
    missing: Iterable[IpvsTable],
    changed: Iterable[tuple[IpvsTable, IpvsTable]],
    unexpected: Iterable[IpvsTable],
) -> None:
    """Make good what differs, server by server. Raises RulesetError.

    A real server that goes is removed at once, with what is open to it: kube-proxy gives it the
    weight 0 first, and removes it when nothing is open any more.
    """
    pairs = [
        *((want, IpvsTable()) for want in missing),
        *changed,
        *((IpvsTable(), have) for have in unexpected),
    ]
    if not pairs:
        return
    with generic.opened(FAMILY) as (netlink, family):
        requests = [one for want, have in pairs for one in changes(want, have, family)]
        refused = netlink.send(requests)
    if refused:
        raise RulesetError(str(refused[0]))


def changes(want: IpvsTable, have: IpvsTable, family: int) -> Iterator[Request]:
    """The requests that make one table of another; `family` is the number of IPVS's messages."""
    wanted, present = want.by_key, have.by_key
    for key, server in present.items():
        if key not in wanted:
            yield _request("DEL_SERVICE", family, server)
    for key, server in wanted.items():
        other = present.get(key)
        if other is None or other.settings != server.settings:
            yield _request("NEW_SERVICE" if other is None else "SET_SERVICE", family, server)
        yield from _real_changes(server, other.real if other else (), family)


def _real_changes(
    server: VirtualServer, have: Sequence[RealServer], family: int
) -> Iterator[Request]:
    wanted, present = ({one.key: one for one in some} for some in (server.real, have))
    for key, real in present.items():
        if key not in wanted:
            yield _request("DEL_DEST", family, server, real)
    for key, real in wanted.items():
        if key not in present:
            yield _request("NEW_DEST", family, server, real)
        elif present[key] != real:
            yield _request("SET_DEST", family, server, real)


def _request(
    command: str, family: int, server: VirtualServer, real: RealServer | None = None
) -> Request:
    """A request for a virtual server, or for a real one behind it."""
    whole = command in ("NEW_SERVICE", "SET_SERVICE")
    attributes = {"SERVICE": _identity(server) + (_settings(server) if whole else [])}
    if real:
        attributes["DEST"] = _described(real)
    subject = f"{server} real server {real.key}" if real else str(server)
    return generic.encoded(_message(command, attributes), family, subject)


def _message(command: str, attributes: dict[str, list[list[Any]]]) -> Any:
    from pyroute2.netlink.generic import ipvs

    message = ipvs.ipvsmsg()
    message["cmd"], message["version"] = getattr(ipvs, f"IPVS_CMD_{command}"), ipvs.GENL_VERSION
    message["attrs"] = [
        [f"IPVS_CMD_ATTR_{name}", {"attrs": nested}] for name, nested in attributes.items()
    ]
    return message


def _af(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _identity(server: VirtualServer) -> list[list[Any]]:
    if server.protocol == "fwmark":
        family = socket.AF_INET6 if "IPv6" in server.others else socket.AF_INET
        return [["IPVS_SVC_ATTR_AF", family], ["IPVS_SVC_ATTR_FWMARK", server.port]]
    return [
        ["IPVS_SVC_ATTR_AF", _af(server.address)],
        ["IPVS_SVC_ATTR_PROTOCOL", _NUMBERS[server.protocol]],
        ["IPVS_SVC_ATTR_ADDR", server.address],
        ["IPVS_SVC_ATTR_PORT", server.port],
    ]


def _settings(server: VirtualServer) -> list[list[Any]]:
    flags = sum(_SCHEDULER_FLAGS[name] for name in server.flags)
    flags |= _PERSISTENT if server.persistence else 0
    return [
        ["IPVS_SVC_ATTR_SCHED_NAME", server.scheduler],
        ["IPVS_SVC_ATTR_FLAGS", {"flags": flags, "mask": _ALL}],
        ["IPVS_SVC_ATTR_TIMEOUT", server.persistence],
        ["IPVS_SVC_ATTR_NETMASK", _WHOLE[_af(server.address)]],
    ]


def _described(real: RealServer) -> list[list[Any]]:
    # The family first: by it pyroute2 writes the address.
    return [
        ["IPVS_DEST_ATTR_ADDR_FAMILY", _af(real.address)],
        ["IPVS_DEST_ATTR_ADDR", real.address],
        ["IPVS_DEST_ATTR_PORT", real.port],
        ["IPVS_DEST_ATTR_FWD_METHOD", _METHODS.index(real.method)],
        ["IPVS_DEST_ATTR_WEIGHT", real.weight],
        ["IPVS_DEST_ATTR_U_THRESH", 0],
        ["IPVS_DEST_ATTR_L_THRESH", 0],
    ]


_Found = dict[str, Any]  # attributes by the ends of their names


def _dump(netlink: Netlink, family: int, what: str, of: list[list[Any]] | None = None) -> list[Any]:
    message = _message(f"GET_{what}", {"SERVICE": of} if of else {})
    return [read(body, what) for body in netlink.dump(generic.encoded(message, family))]


def read(body: bytes, what: str) -> _Found:
    """What a message of a dump says of a SERVICE or DEST."""
    from pyroute2.netlink.generic import ipvs

    answer = generic.decoded(ipvs.ipvsmsg, body).get_attr(f"IPVS_CMD_ATTR_{what}")
    return {pair[0].partition("_ATTR_")[2]: pair[1] for pair in answer["attrs"]}


def _named(found: _Found) -> list[list[Any]]:
    """By what the kernel finds a virtual server that it told of."""
    names = ("AF", "FWMARK") if found.get("FWMARK") else ("AF", "PROTOCOL", "ADDR", "PORT")
    return [[f"IPVS_SVC_ATTR_{name}", found[name]] for name in names]


def _server(found: _Found, real: Iterable[RealServer]) -> VirtualServer:
    bits = found["FLAGS"]["flags"]
    common: dict[str, Any] = {
        "scheduler": found.get("SCHED_NAME", "none"),
        "persistence": found["TIMEOUT"] if bits & _PERSISTENT else 0,
        "flags": tuple(name for name, bit in _SCHEDULER_FLAGS.items() if bits & bit),
        "real": tuple(real),
        "others": tuple(_server_others(found, bits)),
    }
    if mark := found.get("FWMARK"):
        return VirtualServer(address="", port=mark, protocol="fwmark", **common)
    number = found["PROTOCOL"]
    protocol = _PROTOCOLS.get(number, str(number))
    return VirtualServer(address=found["ADDR"], port=found["PORT"], protocol=protocol, **common)


def _server_others(found: _Found, bits: int) -> Iterator[str]:
    if found.get("FWMARK") and found["AF"] == socket.AF_INET6:
        yield "IPv6"
    if bits & _ONE_PACKET:
        yield "one packet"
    if found["NETMASK"] != _WHOLE[found["AF"]]:
        yield f"persistence mask {found['NETMASK']}"
    if engine := found.get("PE_NAME"):
        yield f"persistence engine {engine}"


def _real(found: _Found) -> RealServer:
    thresholds = (("upper", "U_THRESH"), ("lower", "L_THRESH"))
    others = [f"{word} threshold {found[name]}" for word, name in thresholds if found.get(name)]
    others += [f"tunnel type {found['TUN_TYPE']}"] if found.get("TUN_TYPE") else []
    return RealServer(
        address=found["ADDR"],
        port=found["PORT"],
        weight=found["WEIGHT"],
        method=_METHODS[found["FWD_METHOD"] & _METHOD_BITS],
        others=tuple(others),
    )
