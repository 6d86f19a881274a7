"""Where the figures of an address plan come from: the arithmetic, and the bits it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netlab.topology.addresses import pod_addresses, static_band_size
from netlab.topology.ipcalc import binary
from netlab.topology.resolved import Ip, Layout, Network, NodeSpec


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
    """One step for each kind of address, in both families where there are two."""
    return [*_nodes(layout), *_pods(layout.nodes[0]), *_services(layout), *_ports(layout)]


def _nodes(layout: Layout) -> Iterator[Step]:
    node = layout.nodes[0]
    for cidr, own, gateway in zip(
        layout.cluster_cidrs, layout.node_masks, node.gateways, strict=True
    ):
        share = node.cidrs_of(cidr.version == 6)[0]
        blocks = gateway not in share
        mask = share.prefixlen if blocks else own
        bits = mask - cidr.prefixlen
        unit, spared = "block" if blocks else "node", layout.spared
        shares = f"blocks of /{mask}, for each node as many as its pods take"
        yield Step(
            f"The cluster CIDR {cidr} in "
            + (shares if blocks else f"CIDRs of /{mask}, one for each node"),
            (
                f"{mask} - {cidr.prefixlen} = {bits} bits number the {unit}s: "
                f"2^{bits} = {2**bits} {unit}s",
                *([f"less the first, which no node gets: {2**bits - spared}"] if spared else []),
            ),
            tuple(
                Digits(str(one), _binary(one, cidr.prefixlen, mask), what)
                for one, what in (
                    (_part(cidr, mask, spared), f"the first {unit}"),
                    (_part(cidr, mask, 2**bits - 1), "the last"),
                )
            ),
        )


def _part(cidr: Network, mask: int, number: int) -> Network:
    step = 1 << (cidr.max_prefixlen - mask)
    kind = type(cidr)
    return kind((int(cidr.network_address) + number * step, mask))


def _pods(node: NodeSpec) -> Iterator[Step]:
    """How many pods a node's CIDR holds; of its first family, as the table tells them."""
    cidr = node.pod_cidr
    first, last, usable = pod_addresses(node)
    width = cidr.max_prefixlen
    bits = width - cidr.prefixlen
    lines = [f"{width} - {cidr.prefixlen} = {bits} bits number addresses: 2^{bits} = {2**bits}"]
    own = [(name, ip) for name, ip in node.reserved if ip in cidr]
    if node.gateway not in cidr:
        lines += [
            f"every one is a pod's: the node's own address is not of the block: {usable} pods"
        ]
    else:
        lines += [f"less the network's {cidr[0]} and the broadcast's {cidr[-1]}: {2**bits - 2}"]
        own = own or [("gateway", node.gateway)]
        named = " and ".join(f"the {name}'s {ip}" for name, ip in own)
        lines += [f"less {named}: {usable} pods, from {first} to {last}"]
    yield Step(
        f"The pod CIDR {cidr} of {node.name}",
        tuple(lines),
        _ends(cidr, (first, "the first pod"), (last, "the last")),
    )


def _services(layout: Layout) -> Iterator[Step]:
    cidr = layout.service_cidr
    width, size = cidr.max_prefixlen, cidr.num_addresses
    bits = width - cidr.prefixlen
    static = static_band_size(cidr)
    yield Step(
        f"The service CIDR {cidr}",
        (
            f"{width} - {cidr.prefixlen} = {bits} bits number Services: 2^{bits} = {size}",
            f"less the network's {cidr[0]} and the last, {cidr[-1]}: {size - 2}",
            f"the first, {cidr[1]}, is the API server's",
            f"min(max(16, {size}/16), 256) = {static} at the start are for those who name one"
            if static
            else f"no band for those who name one: {size} addresses are 16 or fewer",
        ),
        _ends(cidr, (cidr[1], "the API server's"), (cidr[-2], "the last")),
    )


def _ports(layout: Layout) -> Iterator[Step]:
    first, last = layout.node_port_range
    yield Step("The NodePorts", (f"{last} - {first} + 1 = {last - first + 1} ports",))


def _ends(cidr: Network, *ends: tuple[Ip, str]) -> tuple[Digits, ...]:
    """Addresses of a CIDR, each with what it is."""
    return tuple(
        Digits(str(ip), binary(int(ip), cidr.max_prefixlen, cidr.prefixlen), what)
        for ip, what in ends
    )


def _binary(network: Network, *cuts: int) -> str:
    """The network in binary; of IPv6 without the pods' part, which is as long again."""
    whole = binary(int(network.network_address), network.max_prefixlen, *cuts)
    return " ".join([*whole.split(" ")[:-1], "…"]) if network.version == 6 else whole
