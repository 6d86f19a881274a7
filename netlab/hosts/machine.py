"""What the controller asks of a machine before it builds there: its links, labs, what it lacks."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from netlab.hosts.protocol import Tell

_RUNNING = 0x40  # IFF_RUNNING: not there of one that is down, or without a carrier
_ETHERNET, _LOOPBACK = 1, 0x8  # ARPHRD_ETHER, IFF_LOOPBACK


class LinkFacts(msgspec.Struct, frozen=True):
    """A device of the machine's own namespace. `kind` is "" for real and virtual hardware."""

    name: str
    mtu: int
    carrier: bool  # and it is up
    kind: str
    ethernet: bool
    addresses: tuple[str, ...]  # IPv4, ADDRESS/LENGTH
    default_route: bool


class Needs(msgspec.Struct, frozen=True):
    """What is to be tried: features as `netlab doctor` names them."""

    features: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """`lacking` has the features that are not there, each with its remedy.

    `reached_at` is the address at which ssh came in, "" where none did.
    """

    links: tuple[LinkFacts, ...]
    labs: tuple[str, ...]
    lacking: dict[str, str]
    reached_at: str

    def carries(self, device: str) -> bool:
        """Whether a device is up and has a carrier."""
        return any(link.name == device and link.carrier for link in self.links)


def look(needs: Needs, tell: Tell) -> Facts:
    """The machine as it is, and which of the features it lacks. Raises Unmet for a limit."""
    from netlab.kernel import capabilities
    from netlab.kernel import lab as folders

    return Facts(
        links=tuple(_links()),
        labs=tuple(folder.name for folder in folders.labs()),
        lacking=capabilities.missing(needs.features),
        reached_at=_reached_at(),
    )


def _links() -> Iterator[LinkFacts]:
    from netlab.kernel.netlink import open_netlink, request
    from netlab.kernel.pyroute import ifaddrmsg, linkmsg, rtmsg, rtnl
    from netlab.kernel.readers import Reader

    names = {"IFLA_IFNAME", "IFLA_MTU", "IFLA_LINKINFO", "IFLA_INFO_KIND"}
    read_link = Reader(linkmsg, names)
    read_address = Reader(ifaddrmsg, {"IFA_ADDRESS", "IFA_LOCAL"})
    read_route = Reader(rtmsg, {"RTA_OIF", "RTA_MULTIPATH"})
    ipv4 = {"family": socket.AF_INET}
    with contextlib.closing(open_netlink()) as netlink:
        links = netlink.dump(request(linkmsg, rtnl.RTM_GETLINK, 0, {}))
        addresses = netlink.dump(request(ifaddrmsg, rtnl.RTM_GETADDR, 0, ipv4))
        routes = netlink.dump(request(rtmsg, rtnl.RTM_GETROUTE, 0, ipv4))
    held: dict[int, list[str]] = {}
    for fields, values in map(read_address, addresses):
        found = dict(zip(read_address.fields, fields, strict=True))
        address = values.get("IFA_LOCAL") or values["IFA_ADDRESS"]
        held.setdefault(found["index"], []).append(f"{address}/{found['prefixlen']}")
    default = set()
    for fields, values in map(read_route, routes):
        if dict(zip(read_route.fields, fields, strict=True))["dst_len"] == 0:
            default.add(values.get("RTA_OIF"))
    for fields, values in map(read_link, links):
        found = dict(zip(read_link.fields, fields, strict=True))
        index, flags = found["index"], found["flags"]
        yield LinkFacts(
            name=values["IFLA_IFNAME"],
            mtu=values["IFLA_MTU"],
            carrier=bool(flags & _RUNNING),
            kind=values.get("IFLA_INFO_KIND", ""),
            ethernet=found["ifi_type"] == _ETHERNET and not flags & _LOOPBACK,
            addresses=tuple(held.get(index, ())),
            default_route=index in default,
        )


def _reached_at() -> str:
    """From $SSH_CONNECTION, which sudo drops: then from that of the process that started it."""
    pid = "self"
    while pid != "0":
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        for variable in variables:
            if variable.startswith(b"SSH_CONNECTION="):
                return variable.split(b"=")[1].split()[2].decode()
        pid = stat.rpartition(")")[2].split()[1]
    return ""
