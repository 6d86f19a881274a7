"""Settings of single devices, by netlink: those of IPv4 and IPv6 from the dump of links, those of
neighbour tables from theirs.

Reading and writing under /proc gets slower with every namespace there is; netlink does not.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from netlab.kernel.devices.base import Raw
from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.pyroute import DEVCONF, DEVCONF6, devconf, linkmsg, ndtmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import Sysctl

Numbers = dict[str, tuple[int, ...]]  # by the prefix of their paths
_INET, _INET6 = "net/ipv4/conf", "net/ipv6/conf"
_TABLES = {socket.AF_INET: "arp_cache", socket.AF_INET6: "ndisc_cache"}
_NEIGHBOURS = {socket.AF_INET: "net/ipv4/neigh", socket.AF_INET6: "net/ipv6/neigh"}
OWN_MTU = 0  # in place of an IPv6 MTU that is the device's


class Parameter(NamedTuple):
    """A neighbour table's parameter: netlink's name, and its unit there in that of the file."""

    attribute: str
    unit: int = 1


_TICK = 10  # milliseconds; /proc has USER_HZ, 100 on all architectures but Alpha
# Files of /proc/sys/net/*/neigh/DEVICE. Of two files for one value, that with the finer unit.
PARAMETERS = {
    "unres_qlen_bytes": Parameter("NDTPA_QUEUE_LENBYTES"),
    "proxy_qlen": Parameter("NDTPA_PROXY_QLEN"),
    "app_solicit": Parameter("NDTPA_APP_PROBES"),
    "ucast_solicit": Parameter("NDTPA_UCAST_PROBES"),
    "mcast_solicit": Parameter("NDTPA_MCAST_PROBES"),
    "mcast_resolicit": Parameter("NDTPA_MCAST_REPROBES"),
    "base_reachable_time_ms": Parameter("NDTPA_BASE_REACHABLE_TIME"),
    "gc_stale_time": Parameter("NDTPA_GC_STALETIME", 1000),
    "delay_first_probe_time": Parameter("NDTPA_DELAY_PROBE_TIME", 1000),
    "retrans_time_ms": Parameter("NDTPA_RETRANS_TIME"),
    "anycast_delay": Parameter("NDTPA_ANYCAST_DELAY", _TICK),
    "proxy_delay": Parameter("NDTPA_PROXY_DELAY", _TICK),
    "locktime": Parameter("NDTPA_LOCKTIME", _TICK),
    "interval_probe_time_ms": Parameter("NDTPA_INTERVAL_PROBE_TIME_MS"),
}
# Not compared here: the second is a field of the link, the others `netlab.plan.exceptions` names.
_LEFT_OUT = {"mc_forwarding", "addr_gen_mode", "stable_secret", "ioam6_id_wide"}
_SECONDS = frozenset(  # in files; the kernel dumps milliseconds
    f"router_{name}"
    for name in (
        "solicitation_interval",
        "solicitation_delay",
        "solicitation_max_interval",
        "probe_interval",
    )
)
_KEYS: dict[str, tuple[str, ...]] = {
    _INET: tuple(DEVCONF),
    _INET6: DEVCONF6,
    **dict.fromkeys(_NEIGHBOURS.values(), tuple(PARAMETERS)),
}
_PLACES = {
    f"{prefix}/{key}": place for prefix, keys in _KEYS.items() for place, key in enumerate(keys)
}
_MTU6 = _PLACES[f"{_INET6}/mtu"]
_WORDS = [parameter.attribute for parameter in PARAMETERS.values()]
_read = Reader(ndtmsg, {"NDTA_PARMS", "NDTPA_IFINDEX", *_WORDS})
_QUESTION = request(ndtmsg, rtnl.RTM_GETNEIGHTBL, 0, {})


def split(path: str) -> tuple[str, str, str] | None:
    """Prefix, device and key of a setting that is told by netlink; None for any other."""
    parts = path.split("/")
    if len(parts) != 5 or parts[3] in ("all", "default"):
        return None
    prefix = "/".join(parts[:3])
    return (prefix, parts[3], parts[4]) if f"{prefix}/{parts[4]}" in _PLACES else None


def numbers(raw: Raw, parameters: Mapping[int, Numbers]) -> Numbers:
    """All settings of a dumped device; of IPv6 none where it has none."""
    found = dict(parameters.get(raw.index, {}))
    if data := raw.values.get("AF_INET", b""):
        found[_INET] = _unpacked(data[4:])  # an array in one attribute, IFLA_INET_CONF
    if data := raw.values.get("IFLA_INET6_CONF", b""):
        found[_INET6] = _unpacked(data)
        if found[_INET6][_MTU6] == raw.values["IFLA_MTU"]:
            found[_INET6] = (*found[_INET6][:_MTU6], OWN_MTU, *found[_INET6][_MTU6 + 1 :])
    return found


@functools.lru_cache(maxsize=256)  # nearly all devices are alike
def _unpacked(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(data) // 4}i", data)


def parameters(netlink: Netlink) -> dict[int, Numbers]:
    """The parameters of the namespace's devices in the neighbour tables, by index."""
    found: dict[int, Numbers] = {}
    for body in netlink.dump(_QUESTION):
        (family,), values = _read(body)
        if (index := values.get("NDTPA_IFINDEX")) and family in _NEIGHBOURS:
            told = tuple([values.get(word, 0) for word in _WORDS])
            found.setdefault(index, {})[_NEIGHBOURS[family]] = told
    return found


def value(path: str, found: Numbers, mtu: int) -> str | None:
    """A device's setting as its file has it; None where the device has none. `mtu` is its own."""
    where = split(path)
    if where is None or where[0] not in found:
        return None
    prefix, _, key = where
    place = _PLACES[f"{prefix}/{key}"]
    told = found[prefix]
    return _text(prefix, key, told[place], mtu) if place < len(told) else None


def altered(
    device: str, found: Numbers, usual: Mapping[str, tuple[int, ...]], mtu: int
) -> Iterator[Sysctl]:
    """The settings of a device that differ from `usual`, in the order of their numbers."""
    for prefix, told in found.items():
        wanted = usual.get(prefix, told)
        if told == wanted:
            continue
        for key, have, want in zip(_KEYS[prefix], told, wanted, strict=False):
            if have != want and key not in _LEFT_OUT:
                yield Sysctl(f"{prefix}/{device}/{key}", _text(prefix, key, have, mtu))


def _text(prefix: str, key: str, number: int, mtu: int) -> str:
    if prefix == _INET6 and key == "mtu" and number == OWN_MTU:
        return str(mtu)
    unit = _unit(prefix, key)
    return str((number + unit // 2) // unit)  # the kernel rounds to its ticks


def _unit(prefix: str, key: str) -> int:
    """How many of netlink's units one of the file's is."""
    if prefix in (_INET, _INET6):
        return 1000 if key in _SECONDS else 1
    return PARAMETERS[key].unit


def by_netlink(path: str) -> bool:
    """Whether netlink sets it; of IPv6 only files do."""
    where = split(path)
    return where is not None and where[0] != _INET6


def set_by_netlink(index: int, item: Sysctl) -> Request:
    """The request for a setting of a device, one that netlink sets."""
    prefix, _, key = split(item.path) or ("", "", "")
    if prefix == _INET:
        conf = (("IFLA_INET_CONF", ((devconf(key), int(item.value) & 0xFFFFFFFF),)),)
        spec = (("IFLA_AF_SPEC", (("AF_INET", conf),)),)
        return request(linkmsg, rtnl.RTM_NEWLINK, 0, {"index": index}, spec, item)
    family = next(family for family, one in _NEIGHBOURS.items() if one == prefix)
    attribute, unit = PARAMETERS[key]
    change = (("NDTPA_IFINDEX", index), (attribute, int(item.value) * unit))
    table = (("NDTA_NAME", _TABLES[family]), ("NDTA_PARMS", change))
    return request(ndtmsg, rtnl.RTM_SETNEIGHTBL, 0, {"family": family}, table, item)
