"""What devices of all kinds share, in both directions: their messages, and how they are read back.

A kind's own file says which attributes its settings are, and which of them are fixed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import msgspec

from netlab.kernel.netlink import Request, request
from netlab.kernel.prepared import Attributes
from netlab.kernel.pyroute import linkmsg, rtnl
from netlab.kernel.pyroute import netlink as nl
from netlab.plan.links import AddrGenMode, AnyLink, Link, Peer, Port

IFF_UP, IFF_NOARP = 0x1, 0x80
# Fields that are a flag each; `promisc` is what somebody asked for, not what a bridge needs.
FLAGS = {"up": IFF_UP, "promisc": 0x100, "allmulti": 0x200, "multicast": 0x1000}
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
_OPERSTATE_UP = 6
# Among a dumped device's values, though links' messages do not tell them so.
OFFLOADS, UNUSUAL = "offloads", "unusual"
LOOPBACK = 1  # the index of `lo`, in every namespace
GEN_MODES: tuple[AddrGenMode, ...] = ("eui64", "none", "stable-privacy", "random")
IPV6_MTU = 1280  # bytes; a device with a smaller MTU has no IPv6 at all
Indexes = Mapping[str, int]


class Setting(NamedTuple):
    """A field that is one attribute; `read` makes the field's value of the attribute's."""

    field: str
    attribute: str
    read: Callable[[Any], Any] = int
    write: Callable[[Any], Any] = int


# Settings of a bridge port (net/bridge/br_netlink.c); the kernel takes each of them in place.
PORT = (
    Setting("state", "IFLA_BRPORT_STATE"),
    Setting("hairpin", "IFLA_BRPORT_MODE", bool),
    Setting("guard", "IFLA_BRPORT_GUARD", bool),
    Setting("root_block", "IFLA_BRPORT_PROTECT", bool),
    Setting("learning", "IFLA_BRPORT_LEARNING", bool),
    Setting("flood", "IFLA_BRPORT_UNICAST_FLOOD", bool),
    Setting("proxy_arp", "IFLA_BRPORT_PROXYARP", bool),
    Setting("mcast_flood", "IFLA_BRPORT_MCAST_FLOOD", bool),
    Setting("bcast_flood", "IFLA_BRPORT_BCAST_FLOOD", bool),
    Setting("group_fwd_mask", "IFLA_BRPORT_GROUP_FWD_MASK"),
    Setting("neigh_suppress", "IFLA_BRPORT_NEIGH_SUPPRESS", bool),
    Setting("isolated", "IFLA_BRPORT_ISOLATED", bool),
)


@dataclass(slots=True)
class Raw:
    """A device as dumped, before names are known for the indexes it refers to."""

    index: int
    type: int  # ARPHRD_*
    flags: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.values["IFLA_IFNAME"])

    @property
    def kind(self) -> str:
        if self.index == LOOPBACK:
            return "loopback"
        return str(self.values.get("IFLA_INFO_KIND", ""))

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)

    @property
    def operational(self) -> bool:
        return self.values.get("IFLA_OPERSTATE") == _OPERSTATE_UP


@dataclass(slots=True)
class Names:
    """What turns a device's indexes into names.

    `own` are the devices of its namespace; `parents` those of where it was made, which is
    `link_netns` where that is another namespace. `peer` is a veth's other end; `wanted` what the
    plan has under the device's name.
    """

    own: Mapping[int, str]
    parents: Mapping[int, str]
    link_netns: str | None = None
    peer: Peer | None = None
    wanted: Link | None = None

    def parent(self, index: int | None) -> str | None:
        return self.parents.get(index, f"index {index}") if index else None


@dataclass(slots=True)
class Place:
    """Where a device is made: its index there, and the devices that it may refer to.

    `namespace` is a descriptor of its own namespace, where it is made from another. A veth is made
    with its peer, which has an index and a namespace of its own.
    """

    index: int
    indexes: Indexes
    master: int | None = None
    namespace: int | None = None
    peer: Link | None = None
    peer_index: int = 0
    peer_namespace: int = 0


class Device:
    """A kind of device. `kind` is netlink's name for it, `link` the plan's type.

    `fixed` are the fields of a living device that the kernel does not change, or that would make it
    another device; `given` those that a new one is told even where they are the default. `whole`:
    what a change does not name is reset, so that all is named. `attributes` are those that only
    `own` reads.
    """

    kind: ClassVar[str] = ""
    link: ClassVar[type[Link]]
    settings: ClassVar[tuple[Setting, ...]] = ()
    fixed: ClassVar[frozenset[str]] = frozenset()
    given: ClassVar[frozenset[str]] = frozenset()
    whole: ClassVar[bool] = False
    attributes: ClassVar[frozenset[str]] = frozenset()
    # How the words begin of what no field says and a living device does not let one change.
    made_with: ClassVar[frozenset[str]] = frozenset({"num", "vxlan", "macvlan", "ipip"})
    moves: ClassVar[bool] = False  # made where its parent is, then moved: see `move`
    makes: ClassVar[bool] = True  # whether netlab makes devices of the kind at all
    by_netlink: ClassVar[bool] = True
    configures: ClassVar[bool] = False

    def data(self, link: Any, place: Place, fields: Collection[str]) -> Iterator[tuple[str, Any]]:
        """The attributes of IFLA_INFO_DATA that make these fields so."""
        for setting in self.settings:
            if setting.field in fields:
                yield setting.attribute, setting.write(getattr(link, setting.field))

    def parent(self, link: Any, place: Place) -> int | None:
        """The index of a parent that IFLA_LINK names; kinds with one in their data have none."""
        return None

    def look(self, raw: Raw) -> None:
        """Add to `raw.values` what links' messages do not tell, from inside its namespace."""

    def read(self, raw: Raw, names: Names) -> AnyLink:
        """The device as the plan's type has it."""
        kind: Any = self.link
        link: AnyLink = kind(**self.common(raw, names), **self.own(raw, names))
        return link

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        """The fields that only this kind has."""
        values = raw.values
        return {
            setting.field: setting.read(values[setting.attribute])
            for setting in self.settings
            if setting.attribute in values
        }

    def make(self, link: Any) -> int:
        """Make a device that netlink cannot (`by_netlink`), down, here; returns its index."""
        raise NotImplementedError

    def configure(self, link: Any) -> None:
        """Set what links' messages do not, from inside its namespace. Raises OSError."""

    def must_be_made_again(self, want: Any, have: Any, fields: Collection[str]) -> bool:
        """Whether it differs in what a living device does not let one change."""
        if not self.fixed.isdisjoint(fields) or not _FIXED.isdisjoint(fields):
            return True
        return any(word.partition(" ")[0] in self.made_with for word in have.others)

    def common(self, raw: Raw, names: Names) -> dict[str, Any]:
        """The fields that devices of all kinds have."""
        values = raw.values
        master = values.get("IFLA_MASTER")
        ethernet = raw.type in (ARPHRD_ETHER, ARPHRD_LOOPBACK)
        return {
            "name": values["IFLA_IFNAME"],
            "mac": values.get("IFLA_ADDRESS", "") if ethernet else "",
            "mtu": values.get("IFLA_MTU", 0),
            **{field: bool(raw.flags & bit) for field, bit in FLAGS.items()},
            "master": names.own.get(master, f"index {master}") if master else None,
            "bridge_port": read_port(raw) if master else None,
            "txqlen": values.get("IFLA_TXQLEN", 0),
            "arp": not raw.flags & IFF_NOARP,
            "addr_gen_mode": self._gen_mode(values, names),
            "link_netns": names.link_netns,
            "alias": values.get("IFLA_IFALIAS", ""),
            "offloads": values.get(OFFLOADS, ()),
            "others": values.get(UNUSUAL, ()),
        }

    def _gen_mode(self, values: Mapping[str, Any], names: Names) -> AddrGenMode | None:
        number: int | None = values.get("IFLA_INET6_ADDR_GEN_MODE")
        if number is not None:
            return GEN_MODES[number]
        if names.wanted and not _kernel_has_ipv6():
            return names.wanted.addr_gen_mode
        return None


_FIXED = frozenset({"kind", "peer", "link_netns"})
_COMMON = frozenset(Link.__struct_fields__)


@functools.cache
def _kernel_has_ipv6() -> bool:
    return os.path.exists("/proc/sys/net/ipv6")


def read_port(raw: Raw) -> Port | None:
    """The settings of a bridge's port; its state counts only while it is operational."""
    values = raw.values
    if values.get("IFLA_INFO_SLAVE_KIND") != "bridge":
        return None
    key = tuple([values.get(setting.attribute) for setting in PORT])
    return _port(key, raw.operational)


@functools.lru_cache(maxsize=1024)  # nearly all ports are alike
def _port(key: tuple[Any, ...], operational: bool) -> Port:
    given = {
        setting.field: setting.read(value)
        for setting, value in zip(PORT, key, strict=True)
        if value is not None and (operational or setting.field != "state")
    }
    return Port(**given)


@functools.cache
def defaults(kind: type[Link | Port]) -> Mapping[str, Any]:
    """What the kernel gives a new device of the type, for the fields that have a default."""
    fields = {item.name: item for item in msgspec.structs.fields(kind)}
    return {name: item.default for name, item in fields.items() if not item.required}


def differing(value: Link | Port) -> list[str]:
    """The fields that are not what the kernel gives a new device or port of the kind."""
    usual = defaults(type(value))
    nothing = object()
    return [
        name for name in value.__struct_fields__ if getattr(value, name) != usual.get(name, nothing)
    ]


def create(device: Device, link: Link, place: Place, up: bool) -> Request:
    """Make a device with all that can be given with the first message."""
    unusual = set(FLAGS).intersection(differing(link)) - {"up"}
    flags = _flags(link, unusual) | (IFF_UP if up else 0) | (0 if link.arp else IFF_NOARP)
    change = IFF_UP | (IFF_NOARP if link.arp != defaults(type(link))["arp"] else 0)
    change |= sum(FLAGS[field] for field in unusual)
    data = tuple(device.data(link, place, {*differing(link), *device.given}))
    attributes: Attributes = (
        ("IFLA_IFNAME", link.name),
        ("IFLA_ADDRESS", link.mac or None),
        ("IFLA_MTU", link.mtu),
        ("IFLA_TXQLEN", link.txqlen),
        ("IFLA_LINK", device.parent(link, place)),
        ("IFLA_MASTER", place.master),
        ("IFLA_NET_NS_FD", place.namespace),
        ("IFLA_LINKINFO", _info(device, data)),
    )
    fields = {"index": place.index, "flags": flags & change, "change": change}
    create_only = nl.NLM_F_CREATE | nl.NLM_F_EXCL
    return request(linkmsg, rtnl.RTM_NEWLINK, create_only, fields, attributes, link)


def _flags(link: Link, fields: Collection[str]) -> int:
    return sum(FLAGS[field] for field in fields if getattr(link, field))


def _info(device: Device, data: Attributes) -> Attributes:
    return (("IFLA_INFO_KIND", device.kind), ("IFLA_INFO_DATA", tuple(data) or None))


def change(device: Device, link: Link, place: Place, fields: Collection[str]) -> Iterator[Request]:
    """Set fields of a device that lives; first what others build on."""
    own = set(link.__struct_fields__) if device.whole else fields
    data = () if _COMMON.issuperset(fields) else tuple(device.data(link, place, own))
    attributes = (
        ("IFLA_ADDRESS", link.mac or None if "mac" in fields else None),
        ("IFLA_MTU", link.mtu if "mtu" in fields else None),
        ("IFLA_TXQLEN", link.txqlen if "txqlen" in fields else None),
        ("IFLA_MASTER", (place.master or 0) if "master" in fields else None),
        ("IFLA_IFALIAS", link.alias if "alias" in fields else None),
    )
    named = FLAGS.keys() & set(fields)
    mask = sum(FLAGS[field] for field in named) | (IFF_NOARP if "arp" in fields else 0)
    flags = _flags(link, named) | (0 if link.arp else IFF_NOARP)
    if "addr_gen_mode" in fields and link.addr_gen_mode:
        yield gen_mode(place.index, link.addr_gen_mode, link)
    if mask or any(value is not None for _, value in attributes):
        head = {"index": place.index, "flags": flags & mask, "change": mask}
        yield request(linkmsg, rtnl.RTM_NEWLINK, 0, head, attributes, link)
    if data:  # alone, as VXLAN refuses an MTU beside its own settings
        info = (("IFLA_LINKINFO", _info(device, data)),)
        yield request(linkmsg, rtnl.RTM_NEWLINK, 0, {"index": place.index}, info, link)
    if link.bridge_port and not {"bridge_port", "master"}.isdisjoint(fields):
        yield port(link, place.index, [setting.field for setting in PORT])


def port(link: Link, index: int, fields: Collection[str]) -> Request:
    """Set a bridge port's settings, which cannot be given when it is made."""
    data = tuple(
        (setting.attribute, setting.write(getattr(link.bridge_port, setting.field)))
        for setting in PORT
        if setting.field in fields
    )
    info = (("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", data))
    attributes = (("IFLA_LINKINFO", info),)
    return request(
        linkmsg, rtnl.RTM_NEWLINK, 0, {"index": index}, attributes, f"port settings of {link}"
    )


def gen_mode(index: int, mode: AddrGenMode, subject: object) -> Request:
    """How IPv6 makes a link-local address. The kernel refuses it in the message that creates."""
    spec = (("AF_INET6", (("IFLA_INET6_ADDR_GEN_MODE", GEN_MODES.index(mode)),)),)
    return request(
        linkmsg, rtnl.RTM_NEWLINK, 0, {"index": index}, (("IFLA_AF_SPEC", spec),), subject
    )


def move(index: int, namespace: int, new_index: int, subject: object) -> Request:
    """Move a device to the namespace of a descriptor; there it has another index.

    Costs 20 ms, which the kernel waits, so only kinds are moved that cannot be made from elsewhere.
    """
    attributes = (("IFLA_NET_NS_FD", namespace), ("IFLA_NEW_IFINDEX", new_index))
    return request(linkmsg, rtnl.RTM_NEWLINK, 0, {"index": index}, attributes, subject)


def bring_up(index: int, subject: object) -> Request:
    head = {"index": index, "flags": IFF_UP, "change": IFF_UP}
    return request(linkmsg, rtnl.RTM_NEWLINK, 0, head, (), subject)


def remove(index: int, subject: object) -> Request:
    return request(linkmsg, rtnl.RTM_DELLINK, 0, {"index": index}, (), subject)
