"""What no field of a plan's devices says: held against a device that was just made.

A device as new is made in a scratch namespace, once for each kind that is there, and what a message
about it has is compared with it byte by byte, so that nothing is overlooked that a kernel can do.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from netlab.kernel import namespaces
from netlab.kernel.atoms import entries
from netlab.kernel.attributes import attribute, attributes
from netlab.kernel.devices import dump, of_kind, offloads
from netlab.kernel.devices.base import ARPHRD_ETHER, LOOPBACK, Device, Place, Raw, create
from netlab.kernel.devices.sample import PARENT, alone
from netlab.kernel.netlink import Netlink, Request, open_netlink
from netlab.kernel.pyroute import linkmsg, rtnl
from netlab.kernel.readers import OTHERS
from netlab.plan.links import Bridge, Veth

_DATA, _PORT = "IFLA_INFO_DATA", "IFLA_INFO_SLAVE_DATA"
_LINKINFO, _KIND, _KIND_DATA, _PORT_KIND, _PORT_DATA = 18, 1, 2, 4, 5  # IFLA_LINKINFO, IFLA_INFO_*
_BROADCAST, _QUEUES, _XDP, _NAMES = 2, frozenset({31, 32}), 43, 52  # IFLA_*; _NAMES: altnames
_DELETE_NAMES = 109  # RTM_DELLINKPROP
_NESTED = 0x8000  # NLA_F_NESTED
_XDP_FD, _XDP_ATTACHED, _XDP_FLAGS = 1, 2, 3
_XDP_MODES = {1: 1 << 2, 2: 1 << 1, 3: 1 << 3}  # XDP_FLAGS_* by XDP_ATTACHED_*
# Attributes that follow from others, count, or tell a state (linux/if_link.h of 6.18).
_FOLLOWING: Mapping[str, frozenset[int]] = {
    # QDISC, STATS, MAP, STATS64, PROMISCUITY, CARRIER and its counters, PHYS_*, MIN_ and MAX_MTU,
    # PERM_ADDRESS, PROTO_DOWN_REASON, PARENT_*, TSO_MAX_*, ALLMULTI, DEVLINK_PORT, DPLL_PIN,
    # MAX_PACING_OFFLOAD_HORIZON, NETNS_IMMUTABLE, HEADROOM, TAILROOM
    "": frozenset({6, 7, 14, 23, 30, 33, 34, 35, 36, 38, 47, 48, *range(50, 52), *range(54, 58),
                   59, 60, 61, 62, *range(65, 70)}),
    # ROOT_ID, BRIDGE_ID, ROOT_PORT, ROOT_PATH_COST, TOPOLOGY_CHANGE*, timers, FLUSH,
    # MCAST_QUERIER_STATE, FDB_N_LEARNED
    "bridge": frozenset({*range(10, 20), 21, 40, 47, 48}),
    # ROOT_ID, BRIDGE_ID, DESIGNATED_*, ID, NO, CONFIG_PENDING, TOPOLOGY_CHANGE_ACK, timers, FLUSH,
    # MCAST_EHT_HOSTS_CNT, MCAST_N_GROUPS
    "port": frozenset({*range(13, 25), 26, 38, 41}),
    "vxlan": frozenset({33}),  # RESERVED_BITS, which follow from `gbp`
    "macvlan": frozenset({8}),  # BC_QUEUE_LEN_USED, which is that of all on the device
}  # fmt: skip
_LATER = {
    "": {63: "gso ipv4 max size", 64: "gro ipv4 max size"},
    "bridge": {46: "options", 49: "fdb max learned"},
    "vxlan": {31: "localbypass", 32: "label policy"},
}
_COST = 3  # IFLA_BRPORT_COST, which follows from the speed
_FIRST = 16  # the index of a device that the new one needs

Key = tuple[str, int]  # "", "port" or a kind, and the number of an attribute there


class Fresh(NamedTuple):
    """A device as new: its attributes, and which offload features it has and asks for."""

    values: Mapping[Key, bytes]
    features: offloads.Features


_known: dict[str, Fresh | None] = {}


def differing(raw: Raw, features: offloads.Features) -> tuple[tuple[str, ...], offloads.Features]:
    """What somebody changed of a device, in words, and the offload features it is asked to change.

    Of the latter: which, and whether they are on now.
    """
    new = _fresh(raw.kind)
    if new is None:
        return (), offloads.NONE
    words = _words(raw.kind, raw.type == ARPHRD_ETHER, _others(raw))
    changed = (features.asked ^ new.features.asked) & features.there & new.features.there
    return words, offloads.Features(changed, features.asked)


def usual_features(kind: str, names: Mapping[str, int]) -> Iterator[tuple[str, bool]]:
    """Whether features, given with their bits, are on in a device as new."""
    if new := _fresh(kind):
        yield from ((name, bool(new.features.asked >> bit & 1)) for name, bit in names.items())


def put_back(netlink: Netlink, index: int, subject: object) -> Iterator[Request]:
    """The requests that make a living device as a new one is in what no field says."""
    raw = dump(netlink).get(index)
    new = _fresh(raw.kind) if raw else None
    if raw is None or new is None:
        return
    nests: dict[str, bytes] = {"port": b"", raw.kind: b""}
    head = struct.pack("=BxHiII", 0, 0, index, 0, 0)
    for (nest, number), value in _collected(raw.kind, _others(raw)).items():
        usual = _values(new, nest).get((nest, number))
        if usual == value or _is_left(raw, nest, number):
            continue
        if (nest, number) == ("", _XDP):
            for item in _detached(value):
                yield Request(rtnl.RTM_NEWLINK, 0, head + attribute(_XDP, item), subject)
        elif (nest, number) == ("", _NAMES):
            yield Request(_DELETE_NAMES, 0, head + attribute(_NAMES | _NESTED, value), subject)
        elif usual is None:
            continue
        elif nest:
            nests[nest] += attribute(number, usual)
        else:
            yield Request(rtnl.RTM_NEWLINK, 0, head + attribute(number, usual), subject)
    if port := nests["port"]:
        info = attribute(_PORT_KIND, b"bridge\0") + attribute(_PORT_DATA, port)
        yield Request(rtnl.RTM_NEWLINK, 0, head + attribute(_LINKINFO, info), subject)
    if data := nests[raw.kind]:
        info = attribute(_KIND, raw.kind.encode() + b"\0") + attribute(_KIND_DATA, data)
        yield Request(rtnl.RTM_NEWLINK, 0, head + attribute(_LINKINFO, info), subject)


def _detached(value: bytes) -> Iterator[bytes]:
    """What takes the programs off a device, of each mode in which one is attached."""
    (attached,) = dict(attributes(value))[_XDP_ATTACHED]
    for mode in [attached] if attached in _XDP_MODES else _XDP_MODES:
        no_program = attribute(_XDP_FD, struct.pack("=i", -1))
        yield no_program + attribute(_XDP_FLAGS, struct.pack("=I", _XDP_MODES[mode]))


def _others(raw: Raw) -> tuple[tuple[tuple[int, bytes], ...], ...]:
    return tuple(tuple(raw.values.get(OTHERS + nest, ())) for nest in ("", _DATA, _PORT))


def _is_left(raw: Raw, nest: str, number: int) -> bool:
    return not nest and number == _BROADCAST and raw.type != ARPHRD_ETHER


def _collected(kind: str, others: tuple[tuple[tuple[int, bytes], ...], ...]) -> dict[Key, bytes]:
    found: dict[Key, bytes] = {}
    for nest, pairs in zip(("", kind, "port"), others, strict=True):
        left_out = _FOLLOWING.get(nest, frozenset())
        found |= {(nest, number): value for number, value in pairs if number not in left_out}
    if kind == "tun":  # a plan says whether it has several
        found = {key: value for key, value in found.items() if key[0] or key[1] not in _QUEUES}
    if kind != "veth":  # the one kind of which a port as new was looked at
        found.pop(("port", _COST), None)
    return found


@functools.lru_cache(maxsize=4096)  # nearly all devices of a kind are alike
def _words(
    kind: str, ethernet: bool, others: tuple[tuple[tuple[int, bytes], ...], ...]
) -> tuple[str, ...]:
    new = _fresh(kind)
    assert new is not None
    found = _collected(kind, others)
    if not ethernet:
        found.pop(("", _BROADCAST), None)
    return tuple(
        f"{_name(nest, number)} {_shown(number, value)}"
        for (nest, number), value in found.items()
        if value != _values(new, nest).get((nest, number))
    )


def _values(new: Fresh, nest: str) -> Mapping[Key, bytes]:
    """What a new device has in a nest; as a port, whatever its kind, what a veth has."""
    port = _fresh("veth") if nest == "port" else None
    return port.values if port else new.values


def _shown(number: int, value: bytes) -> str:
    if number == _NAMES:
        return " ".join(name.rstrip(b"\0").decode() for _, name in attributes(value))
    return str(int.from_bytes(value, "little")) if len(value) <= 8 else f"0x{value.hex()}"


def _name(nest: str, number: int) -> str:
    """The name of an attribute, after that of the nest in which it stands."""
    if nest == "" and number == _NAMES:
        return "altname"
    info: Any = linkmsg.ifinfo
    message = linkmsg if not nest else info.bridge_slave_data
    if nest and nest != "port":
        message = info.data_map.get(nest)
    names = {entry.number: entry.name for entry in entries(message)} if message else {}
    word = names.get(number, "").lower().replace("_", " ").removeprefix("ifla ")
    for prefix in ("brport ", "br ", f"{nest} "):
        word = word.removeprefix(prefix)
    word = word or _LATER.get(nest, {}).get(number, f"attribute {number}")
    return f"{nest} {word}".strip()


def seen() -> set[str]:
    """The kinds of which this process knows a device as new."""
    return set(_known)


def learnt(kinds: Iterable[str]) -> dict[str, Fresh | None]:
    """Devices of these kinds as new; what `remember` takes."""
    for kind in kinds:
        _fresh(kind)
    return dict(_known)


def remember(learnt: Mapping[str, Fresh | None]) -> None:
    """Take what another process has seen of this kernel, so that it need not be made again."""
    _known.update(learnt)


def _fresh(kind: str) -> Fresh | None:
    """A device as new; None where netlab does not make such."""
    if kind not in _known:
        _known[kind] = _seen(kind)
    return _known[kind]


def _seen(kind: str) -> Fresh | None:
    device = of_kind(kind)
    if kind != "loopback" and not (device.makes and device.by_netlink and device.kind == kind):
        return None
    with namespaces.scratch(), contextlib.closing(open_netlink()) as netlink:
        index = LOOPBACK if kind == "loopback" else _make(netlink, device)
        raw = dump(netlink).get(index)
        if raw is None:
            return None
        values = _collected(kind, _others(raw))
        return Fresh(values, offloads.features(netlink, raw.name))


def _make(netlink: Netlink, device: Device) -> int:
    """Make a device with what it needs; a veth as a bridge's port. Returns its index."""
    bare = alone(device.link, "fresh")
    parent = alone(Veth if device.kind == "macvlan" else Bridge, PARENT)
    indexes = {PARENT: _FIRST}
    master = _FIRST if device.kind == "veth" else None
    place = Place(_FIRST + 1, indexes, master)
    needed = [create(of_kind(parent.kind), parent, Place(_FIRST, {}), up=False)]
    needed = needed if device.kind in ("macvlan", "veth") else []
    written = Netlink.writes
    netlink.send([*needed, create(device, bare, place, up=False)])
    Netlink.writes = written  # nothing of the lab's was written
    return _FIRST + 1
