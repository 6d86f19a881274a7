"""Where the figures of an address plan come from: the arithmetic, and the bits it is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.topology import underlay
from netlab.topology.addresses import KUBELET_MAX_PODS, port_bands, service_range
from netlab.topology.ipcalc import binary
from netlab.topology.pod_ranges import PodRange, pod_range
from netlab.topology.resolved import Ip, Layout, Network, NodeSpec, SubnetSpec

_LISTED = 8  # nodes' CIDRs that are all shown in binary; of more
_ENDS = 3  # are the first and the last so many


@dataclass(frozen=True, slots=True)
class Digits:
    """A network or address in binary, spaces between the parts that `Step.says` tells of."""

    address: str
    binary: str
    what: str


@dataclass(frozen=True, slots=True)
class Step:
    what: str
    says: tuple[str, ...]
    digits: tuple[Digits, ...] = ()


def explain(layout: Layout) -> list[Step]:
    """One step for each range of each kind of address: nodes', Services', and pods' in two."""
    return [
        *(step for subnet in layout.subnets for step in _underlay(subnet)),
        *(_services(layout, cidr) for cidr in layout.service_cidrs),
        _ports(layout),
        *(_nodes(layout, number) for number in range(len(layout.families))),
        *(_pods(layout.nodes[0], ipv6) for ipv6 in layout.families),
    ]


def _underlay(subnet: SubnetSpec) -> Iterator[Step]:
    for network, router in zip(subnet.networks, subnet.gateways, strict=True):
        ends = [f"the network's {network[0]}"]
        if network.version == 4:
            ends.append(f"the broadcast's {network[-1]}")
        yield Step(
            f"The underlay {network}",
            (
                _numbers(network, "addresses"),
                f"less {', '.join(ends)} and the router's {router}: {underlay.room(network)} nodes",
            ),
            _ends(network, (router, "the router's")),
        )


def _services(layout: Layout, cidr: Network) -> Step:
    size, plan = cidr.num_addresses, service_range(cidr)
    static, dynamic = plan.static_band, plan.dynamic_band
    ends_not = _ends_not_given((cidr[0], cidr[-1]) if cidr.version == 4 else (cidr[0],))
    lines = [_numbers(cidr, "Services"), f"less {ends_not}: {plan.addresses}"]
    ends = [(cidr[plan.addresses], "the last")]
    if static.size:
        lines += [
            f"min(max(16, {size}/16), 256) = {static.size} at the start are for those who name "
            f"one: to {static.last}",
            f"who names none gets one of the {dynamic.size} above, and of these only when no other "
            "is left",
        ]
        ends[:0] = [(cidr[static.size], "the last for those who name one")]
    else:
        lines.append(f"no band for those who name one: {size} addresses are 16 or fewer")
    if cidr == layout.service_cidr:
        lines.insert(2, f"the first, {cidr[1]}, is the API server's: of the Service kubernetes")
        ends[:0] = [(cidr[1], "the API server's")]
    return Step(f"The service CIDR {cidr}", tuple(lines), _ends(cidr, *ends))


def _ports(layout: Layout) -> Step:
    first, last = layout.node_port_range
    size = last - first + 1
    static, dynamic = port_bands(first, last)
    lines = [f"{last} - {first} + 1 = {size} ports"]
    if static.size:
        lines += [
            f"min(max(16, {size}/32), 128) = {static.size} at the start are for those who name "
            f"one: to {static.last}",
            f"who names none gets one of the {dynamic.size} above, and of these only when no other "
            "is left",
        ]
    else:
        lines.append(f"no band for those who name one: {size} ports are 16 or fewer")
    return Step("The NodePorts", tuple(lines))


def _nodes(layout: Layout, number: int) -> Step:
    """How nodes share the cluster CIDR of one family, and the numbers of what they have of it."""
    cidr, own = layout.cluster_cidrs[number], layout.node_masks[number]
    pods = pod_range(layout.nodes[0], layout.families[number])
    mask = pods.cidrs[0].prefixlen if pods.blocks else own
    bits = mask - cidr.prefixlen
    unit, spared = "block" if pods.blocks else "node", layout.spared
    lines = [
        f"{mask} - {cidr.prefixlen} = {bits} bits number the {unit}s: 2^{bits} = {2**bits} {unit}s"
    ]
    if spared:
        lines.append(f"less the first, which no node gets: {2**bits - spared}")
    if pods.blocks and own < mask:
        room = 2 ** (own - cidr.prefixlen)
        lines.append(f"no more nodes than CIDRs of the node mask, /{own}, are taken: {room}")
    owned = _owned(layout, cidr)
    if len(owned) > _LISTED:
        lines.append(f"of the nodes' {len(owned)} the first {_ENDS} and the last {_ENDS}:")
    shares = f"blocks of /{mask}, for each node as many as its pods take"
    return Step(
        f"The cluster CIDR {cidr} in "
        + (shares if pods.blocks else f"CIDRs of /{mask}, one for each node"),
        tuple(lines),
        tuple(_shares(owned, cidr, mask)),
    )


def _owned(layout: Layout, cidr: Network) -> list[tuple[Network, str]]:
    """What nodes have of a cluster CIDR, in its order, each with the node's name."""
    ipv6 = cidr.version == 6
    owned = [(own, node.name) for node in layout.nodes for own in node.cidrs_of(ipv6)]
    return sorted(owned, key=lambda item: int(item[0].network_address))


def _shares(owned: Sequence[tuple[Network, str]], cidr: Network, mask: int) -> Iterator[Digits]:
    """Pieces of a cluster CIDR, each with its number and whose it is; and the last there is."""
    listed = owned if len(owned) <= _LISTED else [*owned[:_ENDS], *owned[-_ENDS:]]
    for own, name in listed:
        number = (int(own[0]) - int(cidr[0])) >> (cidr.max_prefixlen - mask)
        what = f"{number}: {name}" if own.prefixlen == mask else name
        yield Digits(str(own), _binary(own, cidr.prefixlen, own.prefixlen), what)
    number = 2 ** (mask - cidr.prefixlen) - 1
    last = _part(cidr, mask, number)
    if all(own != last for own, _ in owned):
        yield Digits(str(last), _binary(last, cidr.prefixlen, mask), f"{number}: the last")


def _part(cidr: Network, mask: int, number: int) -> Network:
    step = 1 << (cidr.max_prefixlen - mask)
    kind = type(cidr)
    return kind((int(cidr.network_address) + number * step, mask))


def _pods(node: NodeSpec, ipv6: bool) -> Step:
    """How many pods a node's CIDR holds, or its blocks."""
    pods = pod_range(node, ipv6)
    cidr, several = pods.cidrs[0], len(pods.cidrs)
    lines = [_numbers(cidr, "addresses")]
    if several > 1:
        lines.append(f"{several} blocks: {several * cidr.num_addresses}")
    if pods.spared:
        left = cidr.num_addresses - len(pods.spared)
        lines.append(f"less {_ends_not_given(pods.spared)}: {left}")
    own = " and ".join(f"the {name}'s {ip}" for name, ip in pods.own)
    ends = f"{pods.usable} pods, from {pods.first} to {pods.last}"
    lines += [f"less {own}: {ends}" if own else f"every one is a pod's: {ends}", _why(pods)]
    if pods.usable > KUBELET_MAX_PODS:
        lines.append(f"the kubelet takes {KUBELET_MAX_PODS} unless its maxPods says otherwise")
    return Step(
        f"The {several} blocks of /{cidr.prefixlen} of {node.name}"
        if several > 1
        else f"The pod CIDR {cidr} of {node.name}",
        tuple(lines),
        _ends(cidr, (pods.first, "the first pod"), (pods.last, "the last")),
    )


def _why(pods: PodRange) -> str:
    """Why the network's, the broadcast's and the node's own address are given to pods or not."""
    if pods.blocks:
        return (
            "a block's ends are given out too: a pod's address is in no subnet that would have a "
            f"broadcast; its gateway, {pods.gateway}, is not of the block"
        )
    if pods.reserved:
        return (
            "Cilium gives out neither end of a CIDR; the router's is cilium_host's, its pods' "
            "gateway, and the health endpoint is one like a pod"
        )
    ends = (
        "host-local gives out neither the network's nor the broadcast's"
        if len(pods.spared) > 1
        else "host-local does not give out the network's, and IPv6 has no broadcast"
    )
    return f"{ends}; the gateway's is the node's own, on the pods' side"


def _ends_not_given(spared: Sequence[Ip]) -> str:
    if len(spared) == 1:
        return "the network's own, which is the first"
    return f"the network's {spared[0]} and the broadcast's {spared[1]}"


def _numbers(cidr: Network, what: str) -> str:
    bits = cidr.max_prefixlen - cidr.prefixlen
    return (
        f"{cidr.max_prefixlen} - {cidr.prefixlen} = {bits} bits number {what}: 2^{bits} = {2**bits}"
    )


def _ends(cidr: Network, *ends: tuple[Ip, str]) -> tuple[Digits, ...]:
    """Addresses of a CIDR, each with what it is."""
    return tuple(Digits(str(ip), _last_digits(ip, cidr), what) for ip, what in ends)


def _last_digits(ip: Ip, cidr: Network) -> str:
    """An address in binary; of IPv6 only its last 32 bits, as most before are alike."""
    whole = binary(int(ip), cidr.max_prefixlen, cidr.prefixlen)
    return ":".join(["…", *whole.split(":")[-2:]]) if cidr.version == 6 else whole


def _binary(network: Network, *cuts: int) -> str:
    """The network in binary; of IPv6 without the pods' part, which is as long again."""
    whole = binary(int(network.network_address), network.max_prefixlen, *cuts)
    return " ".join([*whole.split(" ")[:-1], "…"]) if network.version == 6 else whole
