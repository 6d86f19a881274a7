"""Addresses, routes, rules, neighbours and FDB entries as plain values, of both families.

The family is the value's own: a text with a colon is IPv6. Every value has a `key`, unique within
its namespace and type: two values with one key are the same object in two states, so that a diff
says *changed* and not *missing* and *unexpected*.
"""

from __future__ import annotations

from ipaddress import ip_interface
from typing import ClassVar

from netlab.plan.links import Value

MAIN_TABLE, LOCAL_TABLE, DEFAULT_TABLE = 254, 255, 253
IPV6_METRIC = 1024  # of an IPv6 route for which none was given (the kernel has no 0 there)
CONNECTED_IPV6_METRIC = 256
# What `ip` prints for the origin of a route (linux/rtnetlink.h, iproute2's rt_protos).
PROTOCOLS = {
    0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 11: "zebra",
    12: "bird", 16: "dhcp", 18: "keepalived", 42: "babel", 186: "bgp", 188: "ospf",
}  # fmt: skip
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}


def is_ipv6(text: str) -> bool:
    """Whether an address or network, as text, is of IPv6."""
    return ":" in text


class Address(Value, frozen=True):
    """An address with its prefix length, as `10.244.0.1/24`, on a device.

    The broadcast address of IPv4 is implied: networks of /30 and wider have one, as
    `ip address add … brd +` and the netlink library of flannel and the CNI plugins set it.
    `nodad`: usable at once, without duplicate address detection. `state` is `tentative`,
    `dadfailed`, `not local` (its route in the local table is gone: the host itself does not
    accept packets to it) or `no broadcast` (the same of its network's broadcast address), and
    empty for a usable address. `others` is what no plan gives one, as a peer or lifetimes, in
    words.
    """

    what: ClassVar[str] = "address"
    link: str
    address: str
    scope: str = "global"
    nodad: bool = False
    state: str = ""
    others: str = ""

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]

    @property
    def prefix_length(self) -> int:
        return int(self.address.partition("/")[2])

    @property
    def key(self) -> str:
        return f"{self.address} dev {self.link}"

    def __str__(self) -> str:
        return f"address {self.key}"


LOCALHOST = Address("lo", "127.0.0.1/8", scope="host")
LOCALHOST6 = Address("lo", "::1/128", scope="host")


class Encap(Value, frozen=True, kw_only=True):
    """Lightweight tunnel of a next hop (LWTUNNEL_ENCAP_IP or _IP6): the outer header's fields.

    `id` is the tunnel key: the VNI on a collect-metadata VXLAN device, as Cilium's routes have it.
    """

    id: int = 0
    destination: str | None = None
    source: str | None = None
    ttl: int = 0
    tos: int = 0
    flags: int = 0

    def __str__(self) -> str:
        words = [f"encap {'ip6' if is_ipv6(self.destination or '') else 'ip'} id {self.id}"]
        words += [f"src {self.source}"] if self.source else []
        words += [f"dst {self.destination}"] if self.destination else []
        words += [f"ttl {self.ttl}"] if self.ttl else []
        words += [f"tos {self.tos:#x}"] if self.tos else []
        return " ".join([*words, *([f"flags {self.flags:#x}"] if self.flags else [])])


class NextHop(Value, frozen=True, kw_only=True):
    """Where a packet goes next. No `gateway`: the destination is on the device's own segment.

    `gateway` may be of the other family than the route (RTA_VIA). `weight` counts from 1.
    """

    link: str = ""
    gateway: str | None = None
    onlink: bool = False
    weight: int = 1
    encap: Encap | None = None
    others: str = ""

    def __str__(self) -> str:
        words = [str(self.encap)] if self.encap else []
        words += [f"via {self.gateway}"] if self.gateway else []
        words += [f"dev {self.link}"] if self.link else []
        words += ["onlink"] if self.onlink else []
        words += [f"weight {self.weight}"] if self.weight != 1 else []
        words += [self.others] if self.others else []
        return " ".join(words)


class Route(Value, frozen=True, kw_only=True):
    """A route. A `type` such as blackhole has no next hop; several are multipath (ECMP).

    `protocol` is who made it (`kernel`: a connected route, made for an address), `source` the
    preferred source address, `mtu` in bytes (0: the device's), `metrics` the other RTA_METRICS in
    words. `others` is what no plan gives a route, as realms or a nexthop object, in words.
    """

    what: ClassVar[str] = "route"
    destination: str
    next_hops: tuple[NextHop, ...] = ()
    type: str = "unicast"
    table: int = MAIN_TABLE
    protocol: str = "boot"
    scope: str = "global"
    metric: int = 0
    tos: int = 0
    source: str | None = None
    mtu: int = 0
    metrics: str = ""
    others: str = ""

    @property
    def link(self) -> str:
        """The device of the first next hop."""
        return self.next_hops[0].link if self.next_hops else ""

    @property
    def gateway(self) -> str | None:
        """The gateway of the first next hop."""
        return self.next_hops[0].gateway if self.next_hops else None

    @property
    def connected(self) -> bool:
        return self.protocol == "kernel"

    @property
    def key(self) -> str:
        # Each device has its own connected route, as to fe80::/64.
        device = f" dev {self.link}" if self.connected else ""
        return f"{self.destination}{device} metric {self.metric} tos {self.tos} table {self.table}"

    def __str__(self) -> str:
        words = ["route"]
        words += [self.type] if self.type != "unicast" else []
        words.append(self.destination)
        several = len(self.next_hops) > 1
        words += [f"nexthop {hop}" if several else str(hop) for hop in self.next_hops]
        words += [f"src {self.source}"] if self.source else []
        words += [f"proto {self.protocol}"] if self.protocol not in ("boot", "kernel") else []
        words += [f"table {self.table}"] if self.table != MAIN_TABLE else []
        words += [f"metric {self.metric}"] if self.metric not in (0, IPV6_METRIC) else []
        words += [f"tos {self.tos:#x}"] if self.tos else []
        words += [f"mtu {self.mtu}"] if self.mtu else []
        words += [self.metrics] if self.metrics else []
        words += [self.others] if self.others else []
        return " ".join(words)


def route(
    destination: str,
    link: str,
    via: str | None = None,
    *,
    onlink: bool = False,
    protocol: str = "boot",
    metric: int | None = None,
    source: str | None = None,
    mtu: int = 0,
    table: int = MAIN_TABLE,
) -> Route:
    """A unicast route with one next hop, its scope and metric as `ip route add` gives them."""
    ipv6 = is_ipv6(destination)
    if metric is None:
        metric = IPV6_METRIC if ipv6 else 0
    return Route(
        destination=destination,
        next_hops=(NextHop(link=link, gateway=via, onlink=onlink),),
        table=table,
        protocol=protocol,
        scope="global" if via or ipv6 else "link",
        metric=metric,
        source=source,
        mtu=mtu,
    )


def connected(address: Address) -> Route | None:
    """The main table's route that the kernel makes for an address; None where it makes none."""
    if address.scope == "host":
        return None
    network = ip_interface(address.address).network
    if network.version == 6:
        # Unlike an IPv4 /32, an IPv6 /128 gets one too.
        return route(str(network), address.link, protocol="kernel", metric=CONNECTED_IPV6_METRIC)
    if network.prefixlen == 32:
        return None
    return route(str(network), address.link, protocol="kernel", source=address.ip)


class Neighbour(Value, frozen=True):
    """A neighbour (ARP, NDP) entry that does not expire; what is learned is not in a plan.

    `state` is `permanent` or `noarp`. `proxy`: the node answers for the address on the device.
    `protocol` is the number of who made it (NDA_PROTOCOL), 0 where nobody said.
    `others` are flags and attributes that no plan gives one, in words.
    """

    what: ClassVar[str] = "neighbour"
    link: str
    address: str
    mac: str = ""
    state: str = "permanent"
    proxy: bool = False
    protocol: int = 0
    others: str = ""

    @property
    def key(self) -> str:
        return f"{'proxy ' if self.proxy else ''}{self.address} dev {self.link}"

    def __str__(self) -> str:
        if self.proxy:
            return f"neighbour {self.key}"
        words = [f"neighbour {self.address} lladdr {self.mac} dev {self.link}"]
        words += [self.state] if self.state != "permanent" else []
        words += [f"proto {self.protocol}"] if self.protocol else []
        return " ".join([*words, *([self.others] if self.others else [])])


ANY_MAC = "00:00:00:00:00:00"  # of entries for frames to every MAC that no other entry is for


class FdbEntry(Value, frozen=True):
    """A forwarding entry that does not expire: of a VXLAN device, a bridge or another device.

    VXLAN: frames to `mac` go to VTEP `destination`; `port` and `vni` are 0 where they are the
    device's own. Bridge: they leave by the port `link` (`master`), whatever is learned where
    `sticky`. `state` is `permanent`, `static`, or `external` (learned by somebody for the kernel).
    """

    what: ClassVar[str] = "fdb"
    link: str
    mac: str
    destination: str = ""
    port: int = 0
    vni: int = 0
    state: str = "permanent"
    master: bool = False
    sticky: bool = False
    vlan: int = 0
    others: str = ""

    @property
    def floods(self) -> bool:
        """Whether it is one of several VTEPs to which frames go that no other entry is for."""
        return bool(self.destination) and self.mac == ANY_MAC

    @property
    def key(self) -> str:
        words = f"{self.mac} dev {self.link}{' master' if self.master else ''}"
        if self.floods:
            return f"{words} dst {self.destination}"
        return f"{words} vlan {self.vlan}" if self.vlan else words

    def __str__(self) -> str:
        words = [f"fdb {self.key}"]
        words += [f"dst {self.destination}"] if self.destination and not self.floods else []
        words += [self.state] if self.state != "permanent" else []
        words += ["sticky"] if self.sticky else []
        return " ".join([*words, *([self.others] if self.others else [])])


class Rule(Value, frozen=True, kw_only=True):
    """A rule of the routing policy. A selector that is not given matches everything.

    `ipv6` is the family. `others` are selectors that no plan uses, as ipproto, in words, and
    `unknown` those that netlab cannot name the meaning of.
    """

    what: ClassVar[str] = "rule"
    priority: int
    table: int = MAIN_TABLE
    ipv6: bool = False
    action: str = "lookup"
    source: str | None = None
    destination: str | None = None
    iif: str | None = None
    oif: str | None = None
    fwmark: int = 0
    fwmask: int = 0
    tos: int = 0
    invert: bool = False
    others: str = ""
    unknown: str = ""

    @property
    def key(self) -> str:
        return str(self)

    def __str__(self) -> str:
        words = [f"rule{' -6' if self.ipv6 else ''} {self.priority}:"]
        words += ["not"] if self.invert else []
        words.append(f"from {self.source or 'all'}")
        words += [f"to {self.destination}"] if self.destination else []
        words += [f"tos {self.tos:#x}"] if self.tos else []
        if self.fwmark or self.fwmask:
            words.append(f"fwmark {self.fwmark:#x}/{self.fwmask:#x}")
        words += [f"iif {self.iif}"] if self.iif else []
        words += [f"oif {self.oif}"] if self.oif else []
        words += [text for text in (self.others, self.unknown) if text]
        words.append(f"lookup {self.table}" if self.action == "lookup" else self.action)
        return " ".join(words)


# What every new namespace has (fib_default_rules_init in net/ipv4 and net/ipv6).
DEFAULT_RULES = (
    Rule(priority=0, table=LOCAL_TABLE),
    Rule(priority=32766),
    Rule(priority=32767, table=DEFAULT_TABLE),
    Rule(priority=0, table=LOCAL_TABLE, ipv6=True),
    Rule(priority=32766, ipv6=True),
)


class Extra(Value, frozen=True):
    """An object of a type that no plan has, as `ip nexthop` or `tc filter`: never expected.

    `body` is that of the message that deletes it, in hexadecimal, `deletion` the message's number
    and `protocol` its netlink family; it holds indexes, so that it is good for this namespace only.
    """

    what: ClassVar[str] = "extra"
    kind: str
    words: str
    link: str = ""
    protocol: int = 0
    deletion: int = 0
    body: str = ""

    @property
    def key(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.kind} {self.words}"


class Sysctl(Value, frozen=True):
    """A setting under /proc/sys. `path` is in slash form, as device names may hold dots."""

    what: ClassVar[str] = "sysctl"
    path: str
    value: str

    @property
    def key(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"sysctl {self.path}={self.value}"
