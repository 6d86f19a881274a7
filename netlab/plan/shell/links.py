"""Network devices as `ip link` makes them: one function for each kind.

`creation` is what follows `ip link add name NAME …`; `special` are commands for a kind that is
made in another way. A kind that no function knows is refused, not left out.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from netlab.errors import BadInput
from netlab.plan.links import (
    PORT,
    Bridge,
    Dummy,
    Ifb,
    Ipip,
    Link,
    Macvlan,
    Port,
    Tun,
    Vxlan,
    Wireguard,
)
from netlab.plan.shell.words import word


@functools.singledispatch
def creation(link: Link) -> str:
    """The type and its options, in the words of `ip link add`. Raises BadInput."""
    raise BadInput(f"The device {link.name} is of a kind that a script of ip commands cannot make.")


@creation.register
def _bridge(link: Bridge) -> str:
    plain = Bridge(name=link.name)
    words = ["bridge"]
    for field, name in (
        ("ageing_time", "ageing_time"),
        ("stp", "stp_state"),
        ("priority", "priority"),
        ("vlan_filtering", "vlan_filtering"),
        ("group_fwd_mask", "group_fwd_mask"),
        ("mcast_snooping", "mcast_snooping"),
    ):
        value = getattr(link, field)
        words += [f"{name} {int(value)}"] if value != getattr(plain, field) else []
    return " ".join(words)


@creation.register
def _vxlan(link: Vxlan) -> str:
    words = ["vxlan", "external" if link.external else f"id {link.vni}", f"dstport {link.port}"]
    words += _ends(link.local, link.remote, link.device)
    words += ["learning" if link.learning else "nolearning"]
    words += [f"ttl {link.ttl}"] if link.ttl else []
    words += [f"tos {link.tos:#x}"] if link.tos else []
    words += [f"ageing {link.ageing}"] if link.ageing != 300 else []
    flags = ("gbp", "proxy", "rsc", "l2miss", "l3miss")
    words += [flag for flag in flags if getattr(link, flag)]
    words += [] if link.udp_csum else ["noudpcsum"]
    words += ["udp6zerocsumtx"] if link.udp6_zero_csum_tx else []
    words += ["udp6zerocsumrx"] if link.udp6_zero_csum_rx else []
    words += [f"df {('unset', 'set', 'inherit')[link.df]}"] if link.df else []
    return " ".join(words)


@creation.register
def _ipip(link: Ipip) -> str:
    words = ["ipip", *_ends(link.local, link.remote, link.device)]
    words += [] if link.proto == 4 else ["mode any"]
    words += [f"ttl {link.ttl}"] if link.ttl else []
    words += [f"tos {link.tos:#x}"] if link.tos else []
    words += [] if link.pmtudisc else ["nopmtudisc"]
    return " ".join([*words, *(["external"] if link.external else [])])


@creation.register
def _wireguard(link: Wireguard) -> str:
    return "wireguard"


@creation.register(Dummy)
@creation.register(Ifb)
def _plain(link: Link) -> str:
    return link.kind


@creation.register
def _macvlan(link: Macvlan) -> str:
    return f"macvlan mode {link.mode}"


def _ends(local: str | None, remote: str | None, device: str | None) -> list[str]:
    words = [f"local {word(local)}"] if local else []
    words += [f"remote {word(remote)}"] if remote else []
    return words + ([f"dev {word(device)}"] if device else [])


def made(link: Link, namespace: str) -> Iterator[str]:
    """The commands, without `ip`, that make a device which is no veth and bring it where it is."""
    name = word(link.name)
    if isinstance(link, Tun):
        flags = [("pi", link.packet_info), ("vnet_hdr", link.vnet_header)]
        flags += [("multi_queue", link.multi_queue)]
        yield " ".join([f"tuntap add dev {name} mode {link.mode}", *(n for n, on in flags if on)])
        if link.link_netns:
            yield f"link set dev {name} netns {word(namespace)}"
        return
    parent = f"link {word(link.device)} " if isinstance(link, Macvlan) else ""
    where = f" netns {word(namespace)}" if link.link_netns else ""
    yield f"link add {parent}name {name}{where} {basics(link)} type {creation(link)}"


def basics(link: Link) -> str:
    """MAC, MTU and queue length, as they can be given when a device is made."""
    mac = f"address {word(link.mac)} " if link.mac else ""
    return f"{mac}mtu {link.mtu} txqueuelen {link.txqlen}"


def settled(link: Link) -> Iterator[str]:
    """What a device is given once it is there, to be up last."""
    name = word(link.name)
    if isinstance(link, Tun):
        yield f"link set dev {name} {basics(link)}"
    if link.master:
        yield f"link set dev {name} master {word(link.master)}"
    if link.bridge_port and (port := _port(link.bridge_port)):
        yield f"link set dev {name} type bridge_slave {port}"
    if not link.arp and not isinstance(link, Tun | Ipip | Wireguard):  # they have none anyway
        yield f"link set dev {name} arp off"
    if link.alias:
        yield f"link set dev {name} alias {word(link.alias)}"
    if link.up:
        yield f"link set dev {name} up"


def _port(port: Port) -> str:
    """The settings that are not the kernel's defaults."""
    words = []
    for field in port.__struct_fields__:
        value = getattr(port, field)
        if value != getattr(PORT, field):
            words.append(f"{field} {('off', 'on')[value] if isinstance(value, bool) else value}")
    return " ".join(words)
