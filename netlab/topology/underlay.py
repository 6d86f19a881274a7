"""The underlay: its segments, and the addresses of nodes, router and client on them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from netlab.errors import BadInput
from netlab.topology.cidr import addresses, network
from netlab.topology.model import Cluster, Node
from netlab.topology.resolved import INTERNET, Ip, Network, SubnetSpec, of_family

Place = tuple[tuple[Ip, ...], SubnetSpec]
IPV6_DEFAULT = "fd30:0:0:{}::/64"  # of a dual-stack cluster's segment for which none was given
_LONGEST = {4: 29, 6: 125}
# What stands for the internet: blocks for documentation (RFC 5737, 3849 and 9637), the first that
# is not in use.
_INTERNET = {
    4: ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"),
    6: ("2001:db8::/64", "3fff::/64"),
}
_CLIENT = 10  # the client's host number there; the router has 1


def subnets(cluster: Cluster, *, dual_stack: bool) -> tuple[SubnetSpec, ...]:
    """The segments: one a subnet, in a dual-stack cluster each with an IPv6 subnet beside it."""
    texts = [cluster.underlay] if isinstance(cluster.underlay, str) else list(cluster.underlay)
    parsed = [network(text, "underlay subnet") for text in texts]
    for subnet in parsed:
        if subnet.prefixlen > _LONGEST[subnet.version]:
            raise BadInput(
                f"The underlay subnet {subnet} is too small",
                f"use a /{_LONGEST[subnet.version]} or wider",
            )
    ipv4: list[Network] = [subnet for subnet in parsed if subnet.version == 4]
    ipv6: list[Network] = [subnet for subnet in parsed if subnet.version == 6]
    if not ipv4:
        raise BadInput("The underlay needs at least one IPv4 subnet.")
    if ipv6 and not dual_stack:
        raise BadInput(
            f"The underlay subnet {ipv6[0]} is IPv6, and the cluster CIDR has no IPv6 network",
            "give one, as in 10.244.0.0/16,fd44::/56",
        )
    if dual_stack and not ipv6:
        ipv6 = [ip_network(IPV6_DEFAULT.format(number)) for number in range(len(ipv4))]
    if dual_stack and len(ipv4) != len(ipv6):
        raise BadInput(
            f"The underlay has {len(ipv4)} IPv4 subnets and {len(ipv6)} of IPv6",
            "give one of each for every segment",
        )
    pairs = list(itertools.zip_longest(ipv4, ipv6)) if dual_stack else [(net,) for net in ipv4]
    names = [f"underlay-{number}" for number in range(1, len(pairs) + 1)]
    return tuple(
        SubnetSpec(name, tuple(pair), tuple(router(net) for net in pair), mtu)
        for name, pair, mtu in zip(
            names if len(pairs) > 1 else ["underlay"], pairs, mtus(cluster, len(pairs)), strict=True
        )
    )


def mtus(cluster: Cluster, count: int) -> tuple[int, ...]:
    """The MTU of each of the segments. Raises BadInput."""
    given = cluster.underlay_mtu
    if isinstance(given, int):
        return (given,) * count
    if len(given) != count:
        raise BadInput(
            f"The underlay has {count} segments and {len(given)} MTUs",
            "give one for all, or one for each",
        )
    return tuple(given)


def router(subnet: Network) -> Ip:
    """The router's address: the last host address."""
    return subnet[-2]


def internet(used: Sequence[Network], mtu: int, *, dual_stack: bool) -> SubnetSpec:
    """The segment behind the router on which the client outside is. Raises BadInput."""
    nets = tuple(_unused(version, used) for version in ((4, 6) if dual_stack else (4,)))
    return SubnetSpec(INTERNET, nets, tuple(net[1] for net in nets), mtu)


def client(subnet: SubnetSpec) -> tuple[Ip, ...]:
    """The addresses of the client outside."""
    return tuple(net[_CLIENT] for net in subnet.networks)


def _unused(version: int, used: Sequence[Network]) -> Network:
    for text in _INTERNET[version]:
        net = ip_network(text)
        if not any(net.version == other.version and net.overlaps(other) for other in used):
            return net
    raise BadInput(
        f"The cluster uses all of {', '.join(_INTERNET[version])}, one of which is to be the "
        "internet",
        "leave one free, or set external to false",
    )


def refuse_too_many(cluster: Cluster, segments: Sequence[SubnetSpec]) -> None:
    """A count that no underlay could hold, before anything as long as it says is made."""
    if not isinstance(cluster.nodes, int):
        return
    for index, subnet in enumerate(segments):
        share = (cluster.nodes - index + len(segments) - 1) // len(segments)
        if any(share > room(net) for net in subnet.networks):
            raise too_small(subnet, cluster.nodes)


def room(subnet: Network) -> int:
    """How many nodes it has addresses for: neither the first nor the router's, nor IPv4's last."""
    return subnet.num_addresses - (3 if subnet.version == 4 else 2)


def too_small(subnet: SubnetSpec, nodes: int) -> BadInput:
    return BadInput(
        f"The underlay subnet {subnet.network} is too small for its share of {nodes} nodes",
        "give a wider one",
    )


def places(nodes: Mapping[str, Node], segments: tuple[SubnetSpec, ...]) -> list[Place]:
    """Where each node is: nodes are dealt to the segments in turn, and get their first addresses.

    The last host address of a subnet is the router's.
    """
    given = _given(nodes)
    reserved = {ip for subnet in segments for ip in subnet.gateways}
    taken: dict[Ip, str] = {}
    for name, ips in given.items():
        for ip in ips:
            if ip in taken:
                raise BadInput(f"Nodes {taken[ip]} and {name} have one address, {ip}.")
            if ip in reserved:
                raise BadInput(f"The address {ip} of {name} is the router's.")
            taken[ip] = name
    free = [[_hosts(net, reserved | set(taken)) for net in subnet.networks] for subnet in segments]
    result = []
    for index, name in enumerate(nodes):
        own = given.get(name, ())
        number = _segment_of(name, own, segments) if own else index % len(segments)
        found = _addresses(own, segments[number], free[number])
        if found is None:
            raise too_small(segments[number], len(nodes))
        result.append((found, segments[number]))
    return result


def _given(nodes: Mapping[str, Node]) -> dict[str, tuple[Ip, ...]]:
    return {
        name: addresses(node.address, f"address of {name}")
        for name, node in nodes.items()
        if node.address
    }


def _addresses(
    own: tuple[Ip, ...], subnet: SubnetSpec, free: list[Iterator[Ip]]
) -> tuple[Ip, ...] | None:
    """The given address of each family, else the next that is free; None where none is left."""
    result = []
    for net, hosts in zip(subnet.networks, free, strict=True):
        chosen = of_family(own, net.version == 6) or next(hosts, None)
        if chosen is None:
            return None
        result.append(chosen)
    return tuple(result)


def _hosts(subnet: Network, skip: set[Ip]) -> Iterator[Ip]:
    return (ip for ip in subnet.hosts() if ip not in skip)


def _segment_of(name: str, own: tuple[Ip, ...], segments: tuple[SubnetSpec, ...]) -> int:
    """The one segment in which all given addresses of a node are."""
    for number, subnet in enumerate(segments):
        if all(any(_is_host(ip, net) for net in subnet.networks) for ip in own):
            return number
    wrong = next(
        (
            ip
            for ip in own
            if not any(_is_host(ip, net) for subnet in segments for net in subnet.networks)
        ),
        None,
    )
    if wrong is None:
        raise BadInput(f"The addresses of {name} are on different segments of the underlay.")
    raise BadInput(f"The address {wrong} of {name} is not a host address of the underlay.")


def _is_host(ip: Ip, net: Network) -> bool:
    if ip not in net:
        return False
    return ip != net[0] and (net.version == 6 or ip != net[-1])
