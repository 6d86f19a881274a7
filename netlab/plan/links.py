"""Network devices as plain values: one type for each kind that a plan can hold.

Every setting is a field, and its default is the kernel's own for a new device of that kind
(Linux 6.x), so that a device nobody tuned equals a plan that says nothing. Which settings can
change in place is the word of the kind's file in `netlab/kernel/devices/`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

AddrGenMode = Literal["eui64", "none", "stable-privacy", "random"]


class Value(msgspec.Struct, frozen=True):
    """Base of everything a plan is made of: frozen, compared by `==`, written as JSON as it is.

    `secret` are the fields that are not shown in words, as where a difference is told.
    """

    secret: ClassVar[frozenset[str]] = frozenset()


class Port(Value, frozen=True, kw_only=True):
    """A bridge port's settings (IFLA_BRPORT_*), as `bridge -d link` shows them."""

    hairpin: bool = False
    learning: bool = True
    flood: bool = True
    mcast_flood: bool = True
    bcast_flood: bool = True
    guard: bool = False
    root_block: bool = False
    proxy_arp: bool = False
    neigh_suppress: bool = False
    isolated: bool = False
    group_fwd_mask: int = 0
    state: int = 3  # forwarding; one that is not operational is read as forwarding too


PORT = Port()


class Link(Value, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """What devices of all kinds have. `mac` is empty for a kind without one; `mtu` is in bytes.

    `bridge_port` are its settings as a port of a bridge; None where `master` is no bridge.
    `link_netns` is the namespace where the device was made, if not its own: there its parent is
    and its socket stays.
    `alias` is free text on a device (`ip link … alias`), here the name it stands for.
    `offloads` are features that are said to be on or off (`ethtool -K`); of a device that was
    looked at, also those that somebody turned. `others` is all else that a new device of the kind
    does not have, in words: nothing in a plan.
    `addr_gen_mode` is how IPv6 makes a link-local address when the device comes up; None: the
    device has no IPv6 at all, as with an MTU below 1,280 bytes.
    """

    what: ClassVar[str] = "link"
    kind: ClassVar[str] = ""
    name: str
    mac: str = ""
    mtu: int = 1500
    up: bool = True
    master: str | None = None
    bridge_port: Port | None = None
    txqlen: int = 1000
    arp: bool = True
    multicast: bool = True
    promisc: bool = False
    allmulti: bool = False
    addr_gen_mode: AddrGenMode | None = "eui64"
    link_netns: str | None = None
    alias: str = ""
    offloads: tuple[tuple[str, bool], ...] = ()
    others: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"link {self.name}"


class Peer(Value, frozen=True):
    """The other end of a veth: the namespace it is in, and its name there."""

    namespace: str
    link: str


class Loopback(Link, frozen=True, kw_only=True):
    kind: ClassVar[str] = "loopback"
    multicast: bool = False


class Veth(Link, frozen=True, kw_only=True):
    """One end of a virtual cable. `peer` None: the other end is not where a plan could name it."""

    kind: ClassVar[str] = "veth"
    peer: Peer | None


class Bridge(Link, frozen=True, kw_only=True):
    """A bridge. Times are in hundredths of a second, as the kernel has them."""

    kind: ClassVar[str] = "bridge"
    ageing_time: int = 30000
    stp: bool = False
    priority: int = 32768
    vlan_filtering: bool = False
    group_fwd_mask: int = 0
    mcast_snooping: bool = True


class Vxlan(Link, frozen=True, kw_only=True):
    """A VXLAN device: `port` is the UDP destination port, `local` the outer source address.

    `external` (collect-metadata) takes VNI and remote from each route or filter; `vni` is then 0.
    `ageing` is in seconds; `ttl` 0 is the kernel's default of outer packets.
    """

    kind: ClassVar[str] = "vxlan"
    vni: int = 0
    port: int = 8472
    local: str | None = None
    remote: str | None = None
    device: str | None = None
    external: bool = False
    learning: bool = True
    gbp: bool = False
    ttl: int = 0
    tos: int = 0
    ageing: int = 300
    proxy: bool = False
    rsc: bool = False
    l2miss: bool = False
    l3miss: bool = False
    udp_csum: bool = True
    udp6_zero_csum_tx: bool = False
    udp6_zero_csum_rx: bool = False
    df: int = 0


class Tun(Link, frozen=True, kw_only=True):
    """A TUN or TAP device (/dev/net/tun), persistent so that it outlives whoever made it."""

    kind: ClassVar[str] = "tun"
    txqlen: int = 500
    arp: bool = False
    mode: Literal["tun", "tap"] = "tun"
    packet_info: bool = False
    vnet_header: bool = False
    multi_queue: bool = False


class Ipip(Link, frozen=True, kw_only=True):
    """IPv4 in IPv4 (protocol 4). `remote` None: taken from each route's next hop.

    `proto` is the protocol inside that it takes, 0 for any; the kernel's `tunl0` takes any.
    """

    kind: ClassVar[str] = "ipip"
    multicast: bool = False
    mtu: int = 1480
    arp: bool = False
    local: str | None = None
    remote: str | None = None
    device: str | None = None
    ttl: int = 0
    tos: int = 0
    pmtudisc: bool = True
    proto: int = 4
    external: bool = False


class WireguardPeer(Value, frozen=True, kw_only=True):
    """`keepalive` is in seconds, 0 for none; `endpoint` is ADDRESS:PORT, or [ADDRESS]:PORT.

    `preshared_key` is empty where there is none.
    """

    secret: ClassVar[frozenset[str]] = frozenset({"preshared_key"})
    public_key: str
    endpoint: str | None = None
    allowed_ips: tuple[str, ...] = ()
    keepalive: int = 0
    preshared_key: str = ""


class Wireguard(Link, frozen=True, kw_only=True):
    """A WireGuard device; keys are in base64, as `wg` shows them.

    A private key is clamped, as `wg genkey` makes it: the kernel changes any other.
    """

    kind: ClassVar[str] = "wireguard"
    secret: ClassVar[frozenset[str]] = frozenset({"private_key"})
    multicast: bool = False
    mtu: int = 1420
    arp: bool = False
    private_key: str = ""
    listen_port: int = 0
    fwmark: int = 0
    peers: tuple[WireguardPeer, ...] = ()


class Dummy(Link, frozen=True, kw_only=True):
    kind: ClassVar[str] = "dummy"
    multicast: bool = False
    arp: bool = False


class Ifb(Link, frozen=True, kw_only=True):
    kind: ClassVar[str] = "ifb"
    multicast: bool = False
    txqlen: int = 32
    arp: bool = False


class Macvlan(Link, frozen=True, kw_only=True):
    kind: ClassVar[str] = "macvlan"
    device: str
    mode: Literal["private", "vepa", "bridge", "passthru", "source"] = "bridge"


class Other(Link, frozen=True, kw_only=True):
    """A device of a kind that has no file of its own: seen and named, never made or changed."""

    kind: ClassVar[str] = "other"
    type: str = ""


AnyLink = Loopback | Veth | Bridge | Vxlan | Tun | Ipip | Wireguard | Dummy | Ifb | Macvlan | Other
LOOPBACK = Loopback(name="lo", mac="00:00:00:00:00:00", mtu=65536)
# What tunnel modules, once loaded, put into every new namespace by themselves.
FALLBACK_DEVICES = frozenset(
    ["tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6tnl0", "ip6gre0", "ip6_vti0"]
)
