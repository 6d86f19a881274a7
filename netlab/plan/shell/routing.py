"""Addresses, neighbours, routes and rules in the words of `ip` and `bridge`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.plan.routing import (
    DEFAULT_RULES,
    LOCALHOST,
    LOCALHOST6,
    MAIN_TABLE,
    Address,
    FdbEntry,
    Neighbour,
    NextHop,
    Route,
    Rule,
    connected,
    is_ipv6,
)
from netlab.plan.shell.words import word


def addresses(items: Iterable[Address]) -> Iterator[str]:
    """All but the loopback's own, which comes when it is up."""
    for item in items:
        if item in (LOCALHOST, LOCALHOST6):
            continue
        words = [f"addr add {word(item.address)}"]
        # A /31 and a /32 have no broadcast address.
        words += ["brd +"] if not is_ipv6(item.address) and item.prefix_length <= 30 else []
        words.append(f"dev {word(item.link)}")
        words += [f"scope {item.scope}"] if item.scope != "global" else []
        words += ["nodad"] if item.nodad else []
        yield " ".join(words)


def neighbours(items: Iterable[Neighbour]) -> Iterator[str]:
    for item in items:
        words = [f"neigh add proxy {word(item.address)} dev {word(item.link)}"]
        if not item.proxy:
            words = [f"neigh add {word(item.address)} lladdr {word(item.mac)}"]
            words += [f"dev {word(item.link)} nud {item.state}"]
        words += [f"protocol {item.protocol}"] if item.protocol else []
        yield " ".join(words)


def fdb(items: Iterable[FdbEntry]) -> Iterator[str]:
    for item in items:
        words = [f"fdb add {word(item.mac)} dev {word(item.link)} dst {word(item.destination)}"]
        words += [f"port {item.port}"] if item.port else []
        words += [f"vni {item.vni}"] if item.vni else []
        yield " ".join([*words, "self permanent"])


def routes(items: Iterable[Route], own: Iterable[Address]) -> Iterator[str]:
    """All but connected ones, which come with the namespace's own addresses."""
    made = [connected(address) for address in own]
    for item in items:
        if item not in made:
            yield route(item)


def route(item: Route) -> str:
    destination = "default" if item.destination == "0.0.0.0/0" else word(item.destination)
    words = ["route add"]
    words += [item.type] if item.type != "unicast" else []
    words.append(destination)
    if len(item.next_hops) == 1:
        words.append(_hop(item.next_hops[0], item))
    words += [f"table {item.table}"] if item.table != MAIN_TABLE else []
    words += [f"proto {item.protocol}"] if item.protocol != "boot" else []
    words += [f"scope {item.scope}"] if item.scope != _usual_scope(item) else []
    words += [f"metric {item.metric}"] if item.metric else []
    words += [f"tos {item.tos:#x}"] if item.tos else []
    words += [f"src {word(item.source)}"] if item.source else []
    words += [f"mtu {item.mtu}"] if item.mtu else []
    if len(item.next_hops) > 1:
        words += [f"nexthop {_hop(hop, item)} weight {hop.weight}" for hop in item.next_hops]
    return " ".join(words)


def _usual_scope(item: Route) -> str:
    """The scope that `ip route add` gives; that of an IPv6 route means nothing to the kernel."""
    if is_ipv6(item.destination):
        return item.scope
    if item.type in ("local", "nat"):
        return "host"
    direct = item.type == "unicast" and len(item.next_hops) == 1 and not item.gateway
    return "link" if direct or item.type in ("broadcast", "multicast", "anycast") else "global"


def _hop(hop: NextHop, item: Route) -> str:
    words = []
    if hop.encap:
        encap = hop.encap
        words.append(f"encap {'ip6' if is_ipv6(encap.destination or '') else 'ip'} id {encap.id}")
        words += [f"dst {word(encap.destination)}"] if encap.destination else []
        words += [f"src {word(encap.source)}"] if encap.source else []
        words += [f"ttl {encap.ttl}"] if encap.ttl else []
        words += [f"tos {encap.tos:#x}"] if encap.tos else []
    if hop.gateway:
        other = is_ipv6(hop.gateway) != is_ipv6(item.destination)
        words.append(f"via {'inet6 ' if other else ''}{word(hop.gateway)}")
    words += [f"dev {word(hop.link)}"] if hop.link else []
    return " ".join([*words, *(["onlink"] if hop.onlink else [])])


def rules(items: Iterable[Rule], *, ipv6: bool) -> Iterator[str]:
    """What differs from the rules that every namespace has."""
    own = [item for item in items if item.ipv6 is ipv6]
    for item in own:
        if item not in DEFAULT_RULES:
            yield f"rule add {_rule(item)}"
    for item in DEFAULT_RULES:
        if item.ipv6 is ipv6 and item not in own:
            yield f"rule del {_rule(item)}"


def _rule(item: Rule) -> str:
    words = ["not"] if item.invert else []
    words += [f"pref {item.priority}", f"from {word(item.source) if item.source else 'all'}"]
    words += [f"to {word(item.destination)}"] if item.destination else []
    words += [f"tos {item.tos:#x}"] if item.tos else []
    if item.fwmark or item.fwmask:
        words.append(f"fwmark {item.fwmark:#x}/{item.fwmask:#x}")
    words += [f"iif {word(item.iif)}"] if item.iif else []
    words += [f"oif {word(item.oif)}"] if item.oif else []
    words.append(f"lookup {item.table}" if item.action == "lookup" else item.action)
    return " ".join(words)
