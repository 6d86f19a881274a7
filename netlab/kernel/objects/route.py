"""Routes (net/ipv4/fib_frontend.c, net/ipv6/route.c), with one next hop, several, or none."""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from netlab.kernel import unknown
from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import NEW, PUT, Devices, Indexes, ObjectType, family
from netlab.kernel.prepared import Attributes, Nest
from netlab.kernel.pyroute import LWTUNNEL_ENCAP_IP, LWTUNNEL_ENCAP_IP6, rtmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import (
    CONNECTED_IPV6_METRIC,
    LOCAL_TABLE,
    PROTOCOLS,
    SCOPES,
    Address,
    Encap,
    NextHop,
    Route,
    connected,
    is_ipv6,
)

_ONLINK = 0x4  # RTNH_F_ONLINK
_CLONED = 0x200  # RTM_F_CLONED
_KERNEL, _ANYCAST = 2, 4  # RTPROT_KERNEL, RTN_ANYCAST
_ANY_SCOPE = 255
_PROTOCOLS = {name: number for number, name in PROTOCOLS.items()}
_SCOPES = {name: number for number, name in SCOPES.items()}
_TYPES = {name: number for name, number in rtnl.rt_type.items() if isinstance(name, str)}
_TYPE_NAMES = {number: name for name, number in _TYPES.items()}
_ENCAP = {LWTUNNEL_ENCAP_IP: "LWTUNNEL_IP", LWTUNNEL_ENCAP_IP6: "LWTUNNEL_IP6"}
_TTL = {"LWTUNNEL_IP": ("TTL", "TOS"), "LWTUNNEL_IP6": ("HOPLIMIT", "TC")}
_METRICS = (
    "LOCK", "WINDOW", "RTT", "RTTVAR", "SSTHRESH", "CWND", "ADVMSS", "REORDERING", "HOPLIMIT",
    "INITCWND", "FEATURES", "RTO_MIN", "INITRWND", "QUICKACK", "CC_ALGO",
)  # fmt: skip
_read = Reader(
    rtmsg,
    {f"RTA_{name}" for name in ("DST", "OIF", "GATEWAY", "PRIORITY", "PREFSRC", "METRICS")}
    | {f"RTA_{name}" for name in ("MULTIPATH", "TABLE", "VIA", "ENCAP_TYPE", "ENCAP")}
    | {f"RTAX_{name}" for name in ("MTU", *_METRICS)}
    | {f"{encap}_{name}" for encap in _TTL for name in ("ID", "DST", "SRC", "FLAGS", *_TTL[encap])}
    | {"RTA_CACHEINFO", "RTA_PREF"},
    ignored=(),
)


class RouteType(ObjectType):
    type = Route
    field: ClassVar[str] = "routes"
    rank: ClassVar[int] = 3

    def made_by_kernel(self, item: Route) -> bool:
        """Its own comes with an address; another may be told to be of its protocol, as Cilium's."""
        if not item.connected or item.gateway or len(item.next_hops) != 1:
            return False
        if item.source is None:
            return item.metric == CONNECTED_IPV6_METRIC
        length = item.destination.partition("/")[2]
        return item == connected(Address(item.link, f"{item.source}/{length}"))

    def devices(self, item: Route) -> Iterable[str]:
        return [hop.link for hop in item.next_hops if hop.link]

    def add(self, item: Route, indexes: Indexes) -> Request:
        """EXCL, as without it IPv6 makes a further next hop of a route that is there already."""
        return self._request(rtnl.RTM_NEWROUTE, NEW, item, indexes)

    def remove(self, item: Route, indexes: Indexes) -> Request:
        return self._request(rtnl.RTM_DELROUTE, 0, item, indexes)

    def change(self, want: Route, have: Route, indexes: Indexes) -> Iterator[Request]:
        """In one step, so that no packet meets a gap; but IPv6 refuses some that IPv4 takes.

        With `onlink` it checks the gateway against the very route that is to be replaced, where
        that one leads out of another device.
        """
        if is_ipv6(want.destination) and set(self.devices(want)) != set(self.devices(have)):
            yield from super().change(want, have, indexes)
        else:
            yield self._request(rtnl.RTM_NEWROUTE, PUT, want, indexes)

    def _request(self, kind: int, flags: int, item: Route, indexes: Indexes) -> Request:
        network, _, length = item.destination.partition("/")
        new = kind == rtnl.RTM_NEWROUTE
        given = "nh_id" in item.others  # the nexthop object says where
        single = len(item.next_hops) == 1 and not given
        fields = {
            "family": family(network),
            "dst_len": int(length),
            "src_len": 0 if new else _source_length(item.others),
            "tos": item.tos,
            "table": item.table if item.table < 256 else 0,
            "proto": _number(_PROTOCOLS, item.protocol),
            "scope": _number(_SCOPES, item.scope) if new else _ANY_SCOPE,
            "type": _number(_TYPES, item.type),
            "flags": _ONLINK if single and item.next_hops[0].onlink else 0,
        }
        attributes: Attributes = (
            ("RTA_TABLE", item.table),
            ("RTA_DST", network if int(length) else None),
            ("RTA_PRIORITY", item.metric or None),
            ("RTA_PREFSRC", item.source),
            *(_way(item.next_hops[0], item, indexes) if single else ()),
            ("RTA_METRICS", _metrics(item) if new else None),
            ("RTA_MULTIPATH", None if given else _several(item, indexes)),
        )
        asked = request(rtmsg, kind, flags, fields, attributes, item)
        return asked if new else unknown.given_back(rtmsg, asked, item.others, _TOLD_IN_WORDS)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Route]:
        """All but path MTUs that were learned, and the anycast addresses that IPv6 gives routers.

        The kernel's other routes there are held against the addresses, by `local_table`.
        """
        names = tuple(devices.items())
        for body in netlink.dump(_QUESTION):
            family_, table, flags = body[0], body[4], int.from_bytes(body[8:12], sys.byteorder)
            if flags & _CLONED or family_ not in _EVERYTHING:
                continue
            kernels = table == LOCAL_TABLE and body[5] == _KERNEL
            if kernels and family_ == socket.AF_INET6 and body[7] == _ANYCAST:
                continue
            yield _known(body, names) if family_ == socket.AF_INET else _route(body, devices)


_QUESTION = request(rtmsg, rtnl.RTM_GETROUTE, 0, {"family": socket.AF_UNSPEC})
_EVERYTHING = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def _number(names: Mapping[str, int], name: str) -> int:
    """The number of a name, which is the number itself where there is none."""
    return names[name] if name in names else int(name)


def _several(item: Route, indexes: Indexes) -> list[Nest] | None:
    if len(item.next_hops) < 2:
        return None
    return [
        Nest(
            {
                "flags": _ONLINK if hop.onlink else 0,
                "hops": hop.weight - 1,
                "oif": indexes[hop.link] if hop.link else 0,
            },
            tuple(_gateway(hop, item)),
        )
        for hop in item.next_hops
    ]


def _way(hop: NextHop, item: Route, indexes: Indexes) -> Iterator[tuple[str, Any]]:
    yield from _gateway(hop, item)
    if hop.link:
        yield "RTA_OIF", indexes[hop.link]


def _gateway(hop: NextHop, item: Route) -> Iterator[tuple[str, Any]]:
    if hop.gateway:
        same = is_ipv6(hop.gateway) == is_ipv6(item.destination)
        yield "RTA_GATEWAY" if same else "RTA_VIA", hop.gateway
    if hop.encap:
        yield from _encap(hop.encap)


def _encap(encap: Encap) -> Iterator[tuple[str, Any]]:
    ipv6 = is_ipv6(encap.destination or encap.source or "")
    kind = LWTUNNEL_ENCAP_IP6 if ipv6 else LWTUNNEL_ENCAP_IP
    prefix = _ENCAP[kind]
    ttl, tos = _TTL[prefix]
    yield "RTA_ENCAP_TYPE", kind  # first: pyroute2 looks there for the layout of the other
    yield (
        "RTA_ENCAP",
        (
            (f"{prefix}_ID", encap.id),
            (f"{prefix}_DST", encap.destination),
            (f"{prefix}_SRC", encap.source),
            (f"{prefix}_{ttl}", encap.ttl or None),
            (f"{prefix}_{tos}", encap.tos or None),
            (f"{prefix}_FLAGS", encap.flags or None),
        ),
    )


def _metrics(item: Route) -> Attributes | None:
    words = item.metrics.split()
    found: list[tuple[str, Any]] = [("RTAX_MTU", item.mtu)] if item.mtu else []
    for name, value in zip(words[::2], words[1::2], strict=True):
        found.append((f"RTAX_{name.upper()}", value if name == "cc_algo" else int(value)))
    return tuple(found) or None


@functools.lru_cache(maxsize=1024)  # pods have the same routes; those of IPv6 tell of their use
def _known(body: bytes, devices: tuple[tuple[int, str], ...]) -> Route:
    return _route(body, dict(devices))


def _route(body: bytes, devices: Devices) -> Route:
    fields, values = _read(body)
    family_, length, source_length, tos, table, protocol, scope, kind, flags = fields
    several = values.get("RTA_MULTIPATH")
    if several:
        hops = tuple(
            _hop(hop_flags, index, weight + 1, found, devices, inner=True)
            for (hop_flags, weight, index), found in several
        )
    elif _TYPE_NAMES.get(kind) in _WITHOUT_WAY:
        hops = ()
    else:
        hops = (_hop(flags, values.get("RTA_OIF", 0), 1, values, devices),)
    return Route(
        destination=f"{values.get('RTA_DST', _EVERYTHING[family_])}/{length}",
        next_hops=hops,
        type=_TYPE_NAMES.get(kind, str(kind)),
        table=values.get("RTA_TABLE", table),
        protocol=PROTOCOLS.get(protocol, str(protocol)),
        scope=SCOPES.get(scope, str(scope)),
        metric=values.get("RTA_PRIORITY", 0),
        tos=tos,
        source=values.get("RTA_PREFSRC"),
        mtu=values.get("RTAX_MTU", 0),
        metrics=_metric_words(values),
        others=_others(source_length, values),
    )


# Expiry and preference are asked for by other means than the attributes in which they are told.
_LENGTH = "src-length"  # of a route for packets from one network only
_TOLD_IN_WORDS = frozenset({"expires", "pref", _LENGTH})
_EXPIRES = slice(8, 12)  # rta_expires of struct rta_cacheinfo


def _others(source_length: int, values: dict[str, Any]) -> str:
    """What no plan gives a route, in words."""
    words = []
    if source_length:
        words.append(f"{_LENGTH} {source_length:#x}")
    if any(values.get("RTA_CACHEINFO", b"")[_EXPIRES]):
        words.append("expires 0x00")
    if preference := values.get("RTA_PREF"):
        words.append(f"pref {preference:#x}")
    if told := unknown.words(rtmsg, values):
        words.append(told)
    return " ".join(words)


# IPv6 gives these the loopback device, which says nothing.
_WITHOUT_WAY = frozenset({"blackhole", "unreachable", "prohibit", "throw"})


def _hop(
    flags: int,
    index: int,
    weight: int,
    values: Mapping[str, Any],
    devices: Devices,
    *,
    inner: bool = False,
) -> NextHop:
    encap = None
    if prefix := _ENCAP.get(values.get("RTA_ENCAP_TYPE", 0)):
        ttl, tos = _TTL[prefix]
        encap = Encap(
            id=values.get(f"{prefix}_ID", 0),
            destination=_given(values.get(f"{prefix}_DST")),
            source=_given(values.get(f"{prefix}_SRC")),
            ttl=values.get(f"{prefix}_{ttl}", 0),
            tos=values.get(f"{prefix}_{tos}", 0),
            flags=values.get(f"{prefix}_FLAGS", 0),
        )
    return NextHop(
        link=devices.get(index, f"index {index}" if index else ""),
        gateway=values.get("RTA_GATEWAY") or values.get("RTA_VIA"),
        onlink=bool(flags & _ONLINK),
        weight=weight,
        encap=encap,
        others=unknown.words(rtmsg, values) if inner else "",
    )


def _given(address: str | None) -> str | None:
    """The kernel shows zeros for an address that was not given."""
    return None if address in ("0.0.0.0", "::") else address


def _source_length(others: str) -> int:
    words = others.split()
    return int(words[words.index(_LENGTH) + 1], 16) if _LENGTH in words else 0


def _metric_words(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name.lower()} {values[f'RTAX_{name}']}" for name in _METRICS if f"RTAX_{name}" in values
    )
