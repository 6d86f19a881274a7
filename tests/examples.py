"""One device of each kind and objects of each type, for the codec's tests and the kernel's.

They stand in the namespace `a`, which has the bridge `br0` and the cable `eth0`; the cable's other
end is in `b`, where `br1` is.
"""

from __future__ import annotations

from typing import Any

from netlab.plan.links import (
    Bridge,
    Dummy,
    Ifb,
    Ipip,
    Link,
    Macvlan,
    Peer,
    Port,
    Tun,
    Veth,
    Vxlan,
    Wireguard,
    WireguardPeer,
)
from netlab.plan.routing import (
    Address,
    Encap,
    FdbEntry,
    Neighbour,
    NextHop,
    Route,
    Rule,
    route,
)
from netlab.plan.types import Object

KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
OTHER_KEY = "wDIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Hg="
PEER_KEY = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


def mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


# Whatever devices of any kind can have; each is tried on each kind.
COMMON: dict[str, Any] = {"mtu": 1400, "txqlen": 77, "up": False, "addr_gen_mode": "eui64"}
ETHERNET = COMMON | {"mac": mac(0x99), "arp": False, "master": "br0"}
# A device's name in these tests, the device, and for each field a value that it can change to; or
# several fields at once, where one needs the other.
LINKS: dict[str, tuple[Link, dict[str, Any]]] = {
    "veth": (
        Veth(name="v0", mac=mac(1), peer=Peer("b", "v1"), addr_gen_mode="none"),
        ETHERNET,
    ),
    "veth-port": (
        Veth(
            name="v0",
            mac=mac(1),
            peer=Peer("b", "v1"),
            master="br0",
            bridge_port=Port(hairpin=True, learning=False),
            addr_gen_mode="none",
        ),
        {
            "bridge_port": Port(isolated=True, neigh_suppress=True, flood=False, guard=True),
            "mtu": 1400,
        },
    ),
    "bridge": (
        Bridge(name="br7", mac=mac(2), addr_gen_mode="none", mcast_snooping=False),
        COMMON
        | {
            "mac": mac(0x99),
            "arp": False,
            "ageing_time": 1000,
            "stp": True,
            "priority": 100,
            "group_fwd_mask": 8,
            "mcast_snooping": True,
        },
    ),
    "vxlan": (
        Vxlan(
            name="flannel.1",
            mac=mac(3),
            mtu=1450,
            txqlen=0,
            vni=1,
            local="10.0.0.1",
            device="eth0",
            learning=False,
            addr_gen_mode="none",
        ),
        COMMON
        | {
            "mac": mac(0x99),
            "vni": 2,
            "port": 4789,
            "local": "10.0.0.9",
            "remote": "10.0.0.2",
            "device": "br0",
            "learning": True,
            "gbp": True,
            "ttl": 9,
            "tos": 4,
            "ageing": 77,
            "df": 1,
        },
    ),
    "vxlan-ipv6": (
        Vxlan(
            name="flannel-v6.1",
            mac=mac(3),
            mtu=1430,
            vni=1,
            local="fd30::1",
            device="eth0",
            proxy=True,
            l3miss=True,
            addr_gen_mode="none",
        ),
        {
            "local": "10.0.0.1",
            "udp6_zero_csum_tx": True,
            "udp6_zero_csum_rx": True,
            "proxy": False,
            "rsc": True,
            "l2miss": True,
            "l3miss": False,
            "udp_csum": False,
        },
    ),
    "vxlan-external": (
        Vxlan(
            name="cilium_vxlan",
            mac=mac(4),
            external=True,
            learning=False,
            addr_gen_mode="none",
        ),
        {"mtu": 1400, "external": False, "port": 8473},
    ),
    "tun": (
        Tun(name="tun0", addr_gen_mode="none"),
        COMMON | {"mode": {"mode": "tap", "mac": mac(5), "arp": True}, "multi_queue": True},
    ),
    "tap": (
        Tun(name="tap0", mac=mac(5), mode="tap", arp=True, vnet_header=True, addr_gen_mode="none"),
        ETHERNET | {"packet_info": True, "vnet_header": False},
    ),
    "ipip": (
        Ipip(name="tunl1", local="10.0.0.1", device="eth0", addr_gen_mode="none"),
        {
            "mtu": 1400,
            "up": False,
            "txqlen": 77,
            "local": "10.0.0.9",
            "remote": "10.0.0.2",
            "device": None,
            "ttl": 9,
            "tos": 4,
            "pmtudisc": False,
            "proto": 0,
        },
    ),
    "ipip-external": (
        Ipip(name="tunl2", external=True, addr_gen_mode="none"),
        {"external": {"external": False, "local": "10.0.0.1"}},
    ),
    "wireguard": (
        Wireguard(
            name="wg0",
            private_key=KEY,
            listen_port=51820,
            addr_gen_mode="none",
            peers=(
                WireguardPeer(
                    public_key=PEER_KEY,
                    endpoint="10.0.0.2:51820",
                    allowed_ips=("10.1.0.0/16", "fd44::/56"),
                    keepalive=25,
                ),
            ),
        ),
        {
            "mtu": 1300,
            "up": False,
            "listen_port": 51821,
            "fwmark": 7,
            "private_key": OTHER_KEY,
            "peers": (
                WireguardPeer(public_key=KEY, allowed_ips=("10.2.0.0/16",), preshared_key=KEY),
            ),
        },
    ),
    "dummy": (Dummy(name="dummy0", mac=mac(6), addr_gen_mode="none"), COMMON | {"arp": True}),
    "ifb": (Ifb(name="ifb0", mac=mac(7), addr_gen_mode="none"), COMMON | {"mac": mac(0x99)}),
    "macvlan": (
        Macvlan(name="mac0", mac=mac(8), device="eth0", addr_gen_mode="none"),
        COMMON | {"mac": mac(0x99), "mode": "private", "device": "br0"},
    ),
    "macvlan-passthru": (
        # It has its parent's address, whatever it is told.
        Macvlan(name="mac0", mac=mac(0x20), device="eth0", mode="passthru", addr_gen_mode="none"),
        {"mode": {"mode": "vepa", "mac": mac(8)}},
    ),
}

# Objects on the devices of `a`, each with others of the same key that it can become.
OBJECTS: dict[str, tuple[Object, tuple[Object, ...]]] = {
    "address": (Address("br0", "10.5.0.1/24"), (Address("br0", "10.5.0.1/24", scope="link"),)),
    "address-32": (Address("br0", "10.5.0.1/32"), ()),
    "address-ipv6": (
        Address("br0", "fd05::1/64", nodad=True),
        (Address("br0", "fd05::1/64"),),
    ),
    "address-link-local": (Address("br0", "fe80::5/64", scope="link", nodad=True), ()),
    "route": (
        route("10.6.0.0/16", "eth0", "10.0.0.2"),
        (
            route("10.6.0.0/16", "eth0", "10.0.0.3", mtu=1400),
            route("10.6.0.0/16", "br0", "10.9.9.9", onlink=True),
            route("10.6.0.0/16", "br0"),
            route("10.6.0.0/16", "eth0", "10.0.0.2", protocol="bird", source="10.0.0.1"),
        ),
    ),
    "route-default": (route("0.0.0.0/0", "eth0", "10.0.0.2"), ()),
    "route-ipv6": (
        route("fd06::/64", "eth0", "fd30::2"),
        (
            route("fd06::/64", "eth0", "fd30::3", mtu=1400),
            route("fd06::/64", "br0", "fd06::", onlink=True),
            route("fd06::/64", "br0"),
        ),
    ),
    "route-default-ipv6": (route("::/0", "eth0", "fd30::2"), ()),
    "route-metric": (route("10.6.0.0/16", "eth0", "10.0.0.2", metric=7, table=1000), ()),
    "route-blackhole": (
        Route(destination="10.6.0.0/16", type="blackhole", protocol="bird"),
        (route("10.6.0.0/16", "eth0", "10.0.0.2"),),
    ),
    "route-blackhole-ipv6": (
        Route(destination="fd06::/64", type="unreachable", metric=1024),
        (route("fd06::/64", "eth0", "fd30::2"),),
    ),
    "route-local": (
        Route(
            destination="0.0.0.0/0",
            next_hops=(NextHop(link="lo"),),
            type="local",
            table=2004,
            protocol="kernel",
            scope="host",
        ),
        (),
    ),
    "route-several": (
        Route(
            destination="10.6.0.0/16",
            next_hops=(
                NextHop(link="eth0", gateway="10.0.0.2", weight=3),
                NextHop(link="br0", gateway="10.9.9.9", onlink=True),
            ),
            protocol="bird",
        ),
        (
            route("10.6.0.0/16", "eth0", "10.0.0.2", protocol="bird"),
            Route(
                destination="10.6.0.0/16",
                next_hops=(
                    NextHop(link="eth0", gateway="10.0.0.2"),
                    NextHop(link="eth0", gateway="10.0.0.3"),
                ),
            ),
        ),
    ),
    "route-several-ipv6": (
        Route(
            destination="fd06::/64",
            next_hops=(
                NextHop(link="eth0", gateway="fd30::2"),
                NextHop(link="eth0", gateway="fd30::3"),
            ),
            metric=1024,
        ),
        (route("fd06::/64", "eth0", "fd30::2"),),
    ),
    "route-via-ipv6": (route("10.6.0.0/16", "eth0", "fe80::2"), ()),
    "route-encap": (
        Route(
            destination="10.6.0.0/16",
            next_hops=(
                NextHop(
                    link="cilium_vxlan",
                    gateway="10.233.65.217",
                    onlink=True,
                    encap=Encap(id=101, destination="192.168.50.12"),
                ),
            ),
            source="10.0.0.1",
            mtu=1450,
        ),
        (),
    ),
    "route-encap-ipv6": (
        Route(
            destination="fd06::/64",
            next_hops=(
                NextHop(
                    link="cilium_vxlan",
                    gateway="fd65::1",
                    onlink=True,
                    encap=Encap(id=1 << 40, destination="fd30::2", ttl=9),
                ),
            ),
            metric=1024,
        ),
        (),
    ),
    "route-metrics": (
        Route(
            destination="10.6.0.0/16",
            next_hops=(NextHop(link="eth0", gateway="10.0.0.2"),),
            mtu=1300,
            metrics="advmss 1200 hoplimit 9",
        ),
        (route("10.6.0.0/16", "eth0", "10.0.0.2"),),
    ),
    "rule": (Rule(priority=9, table=2004, fwmark=0x200, fwmask=0xF00), ()),
    "rule-whole": (
        Rule(
            priority=11,
            table=100,
            source="10.1.0.0/16",
            destination="10.2.0.0/16",
            iif="eth0",
            oif="br0",
            fwmark=0x10,
            fwmask=0xFF,
            tos=4,
            invert=True,
        ),
        (),
    ),
    "rule-ipv6": (Rule(priority=12, table=100, ipv6=True, source="fd44::/56"), ()),
    "rule-others": (
        Rule(priority=13, table=100, others="uidrange 0:100 ipproto 6 dport 80:90"),
        (),
    ),
    "rule-blackhole": (Rule(priority=14, table=0, action="blackhole", source="10.1.0.0/16"), ()),
    "neighbour": (
        Neighbour("eth0", "10.0.0.77", mac(0x77)),
        (
            Neighbour("eth0", "10.0.0.77", mac(0x78)),
            Neighbour("eth0", "10.0.0.77", mac(0x77), "noarp"),
        ),
    ),
    "neighbour-protocol": (
        Neighbour("eth0", "10.0.0.79", mac(0x79), protocol=42),
        (
            Neighbour("eth0", "10.0.0.79", mac(0x79), protocol=43),
            Neighbour("eth0", "10.0.0.79", mac(0x79)),
        ),
    ),
    "neighbour-ipv6": (
        Neighbour("eth0", "fd30::77", mac(0x77)),
        (Neighbour("eth0", "fd30::77", mac(0x78)),),
    ),
    "neighbour-proxy": (Neighbour("eth0", "10.0.0.78", proxy=True), ()),
    "neighbour-proxy-ipv6": (Neighbour("eth0", "fd30::78", proxy=True), ()),
    "fdb": (
        FdbEntry("flannel.1", mac(0x55), "10.0.0.2"),
        (FdbEntry("flannel.1", mac(0x55), "10.0.0.3"),),
    ),
    "fdb-ipv6": (FdbEntry("flannel-v6.1", mac(0x55), "fd30::2"), ()),
    "fdb-external": (FdbEntry("cilium_vxlan", mac(0x56), "10.0.0.2", vni=9, port=4789), ()),
}
