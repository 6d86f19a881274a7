"""Rules of the routing policy (net/core/fib_rules.c)."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from netlab.kernel import unknown
from netlab.kernel.netlink import Netlink, Request, request
from netlab.kernel.objects.base import NEW, Devices, Indexes, ObjectType
from netlab.kernel.prepared import Attributes
from netlab.kernel.pyroute import fibmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.routing import DEFAULT_RULES, Rule

_INVERT = 0x2  # FIB_RULE_INVERT
_ACTIONS = {"lookup": 1, "goto": 2, "nop": 3, "blackhole": 6, "unreachable": 7, "prohibit": 8}
_ACTION_NAMES = {number: name for name, number in _ACTIONS.items()}
# Selectors that no plan uses are told in words, and taken from them again to remove the rule.
_OTHERS = {
    "goto": "FRA_GOTO",
    "realms": "FRA_FLOW",
    "tun_id": "FRA_TUN_ID",
    "suppress_ifgroup": "FRA_SUPPRESS_IFGROUP",
    "suppress_prefixlength": "FRA_SUPPRESS_PREFIXLEN",
    "l3mdev": "FRA_L3MDEV",
    "uidrange": "FRA_UID_RANGE",
    "ipproto": "FRA_IP_PROTO",
    "sport": "FRA_SPORT_RANGE",
    "dport": "FRA_DPORT_RANGE",
}
_RANGES = frozenset({"FRA_UID_RANGE", "FRA_SPORT_RANGE", "FRA_DPORT_RANGE"})
# What the kernel shows where nothing was given.
_NOTHING = {"FRA_SUPPRESS_PREFIXLEN": 0xFFFFFFFF, "FRA_SUPPRESS_IFGROUP": 0xFFFFFFFF}
_ALL_BITS = 0xFFFFFFFF
_read = Reader(
    fibmsg,
    {f"FRA_{name}" for name in ("DST", "SRC", "IIFNAME", "OIFNAME", "PRIORITY", "TABLE")}
    | {"FRA_FWMARK", "FRA_FWMASK", *_OTHERS.values()},
    ignored={"FRA_PROTOCOL"},  # who made it
)


class RuleType(ObjectType):
    type = Rule
    field: ClassVar[str] = "rules"
    rank: ClassVar[int] = 4

    def made_by_kernel(self, item: Rule) -> bool:
        return item in DEFAULT_RULES

    def devices(self, item: Rule) -> Iterable[str]:
        """None: a rule names devices, and waits for them."""
        return ()

    def add(self, item: Rule, indexes: Indexes) -> Request:
        return _request(rtnl.RTM_NEWRULE, NEW, item)

    def remove(self, item: Rule, indexes: Indexes) -> Request:
        return _request(rtnl.RTM_DELRULE, 0, item)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Rule]:
        for body in netlink.dump(_QUESTION):
            if body[0] in (socket.AF_INET, socket.AF_INET6):  # multicast routing has its own
                yield _rule(body)


_QUESTION = request(fibmsg, rtnl.RTM_GETRULE, 0, {"family": socket.AF_UNSPEC})


def _request(kind: int, flags: int, item: Rule) -> Request:
    source, source_length = _prefix(item.source)
    destination, length = _prefix(item.destination)
    fields = {
        "family": socket.AF_INET6 if item.ipv6 else socket.AF_INET,
        "dst_len": length,
        "src_len": source_length,
        "tos": item.tos,
        "action": _ACTIONS.get(item.action) or int(item.action),
        "flags": _INVERT if item.invert else 0,
    }
    marked = bool(item.fwmark or item.fwmask)
    attributes: Attributes = (
        ("FRA_PRIORITY", item.priority),
        ("FRA_TABLE", item.table or None),
        ("FRA_SRC", source),
        ("FRA_DST", destination),
        ("FRA_IIFNAME", item.iif),
        ("FRA_OIFNAME", item.oif),
        ("FRA_FWMARK", item.fwmark if marked else None),
        ("FRA_FWMASK", item.fwmask if marked else None),
        *_others(item.others),
    )
    return unknown.given_back(
        fibmsg, request(fibmsg, kind, flags, fields, attributes, item), item.unknown
    )


def _prefix(network: str | None) -> tuple[str | None, int]:
    if network is None:
        return None, 0
    address, _, length = network.partition("/")
    return address, int(length)


def _others(words: str) -> Iterator[tuple[str, Any]]:
    parts = words.split()
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        attribute = _OTHERS[name]
        yield attribute, value if attribute in _RANGES else int(value)


@functools.lru_cache(maxsize=1024)  # nearly all namespaces have the kernel's own rules alone
def _rule(body: bytes) -> Rule:
    fields, values = _read(body)
    family, to_length, from_length, tos, table, _, _, action, flags = fields
    mark = values.get("FRA_FWMARK", 0)
    return Rule(
        priority=values.get("FRA_PRIORITY", 0),
        table=values.get("FRA_TABLE", table),
        ipv6=family == socket.AF_INET6,
        action=_ACTION_NAMES.get(action, str(action)),
        source=f"{values['FRA_SRC']}/{from_length}" if from_length else None,
        destination=f"{values['FRA_DST']}/{to_length}" if to_length else None,
        iif=values.get("FRA_IIFNAME"),
        oif=values.get("FRA_OIFNAME"),
        fwmark=mark,
        fwmask=values.get("FRA_FWMASK", _ALL_BITS if mark else 0),
        tos=tos,
        invert=bool(flags & _INVERT),
        others=" ".join(
            f"{name} {values[attribute]}"
            for name, attribute in _OTHERS.items()
            if values.get(attribute, _NOTHING.get(attribute)) != _NOTHING.get(attribute)
        ),
        unknown=unknown.words(fibmsg, values),
    )
