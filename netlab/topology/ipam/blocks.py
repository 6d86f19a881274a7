"""Calico's IPAM: small blocks of one pool, given to nodes as they need them (libcalico-go ipam)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from netlab.errors import BadInput
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.ipam.claimed import claim
from netlab.topology.ipam.fixed import around, fixed, given_to_nodes
from netlab.topology.resolved import Ip, Network

ROWS = 4  # of blocks, a quarter of the pool each


@dataclass(frozen=True, slots=True)
class Blocks:
    """A node has at least one block, and another whenever its blocks are full.

    `sizes` are the prefix lengths of a block of either family, Calico's defaults. Every address of
    a block is a pod's, the first and the last too. The gateway is no address of the pool: the node
    answers ARP for 169.254.1.1, or neighbour discovery for the veth's fe80::ecee:eeff:feee:eeee.
    With a `tunnel` the first address is that of the node's tunnel device, which calico-node takes
    before there are pods (node/pkg/allocateip).

    There a node claims blocks in a random order that its name begins. Here the nodes' first blocks
    are one after the other, and so are their second ones in the pool's next quarter: neither a node
    nor pods that come move what others have, up to four blocks a node, and as many nodes as there
    are blocks in a quarter. Beyond that each node's blocks come one after the other.

    Where nodes were given blocks (as pod CIDRs, or by pods' addresses) those are theirs, and what
    lacks comes from the first that are free. `tunnels` are addresses that were given to tunnel
    devices, each to the node in whose block it is.
    """

    sizes: tuple[int, int] = (26, 122)
    tunnel: bool = False
    tunnels: tuple[str, ...] = ()

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        ipv6 = pool.network.version == 6
        size = max(self.sizes[ipv6], pool.network.prefixlen)
        each = 2 ** (pool.network.max_prefixlen - size)  # addresses of a block
        own_use = int(self.tunnel)
        counts = [max(-(-(wish.pods + own_use) // each), 1) for wish in wishes]
        gateway = ip_address("fe80::ecee:eeff:feee:eeee" if ipv6 else "169.254.1.1")
        if any(wish.given or wish.fixed for wish in wishes):
            blocks = claim(pool, wishes, size, own_use)
        else:
            self._check(pool, wishes, size, sum(counts))
            blocks = _blocks(pool.network, size, counts)
        self._refuse_strange(blocks)
        return [self._lease(wish, own, gateway) for wish, own in zip(wishes, blocks, strict=True)]

    def _refuse_strange(self, blocks: Sequence[Sequence[Network]]) -> None:
        every = [block for own in blocks for block in own]
        for address in self.tunnels:
            if given_to_nodes((address,), every) is None:
                raise BadInput(f"The tunnel's address {address} is in no block of the nodes.")

    def _check(self, pool: Pool, wishes: Sequence[Wish], size: int, count: int) -> None:
        room = 2 ** (size - pool.network.prefixlen)
        if count > room:
            raise BadInput(
                f"The cluster CIDR {pool.network} holds {room} blocks of /{size}, not the {count} "
                f"that {len(wishes)} nodes need; widen it."
            )

    def _lease(self, wish: Wish, blocks: tuple[Network, ...], gateway: Ip) -> Lease:
        """What a node has of blocks that it claimed, which have room for it."""
        named = given_to_nodes(self.tunnels, blocks) if self.tunnel else None
        given = fixed(wish, blocks, {named: "its tunnel's"} if named else {}, ends=False)
        taken = {*given.values(), named}
        free = (ip for block in blocks for ip in _all(block) if ip not in taken)
        reserved = (("tunnel", named or next(free)),) if self.tunnel else ()
        return Lease(blocks, gateway, around(wish.pods, given, lambda: free), reserved)


def _blocks(network: Network, size: int, counts: Sequence[int]) -> list[tuple[Network, ...]]:
    """The blocks of each node."""
    each = 2 ** (network.max_prefixlen - size)
    stride = 2 ** (size - network.prefixlen) // ROWS
    if max(counts) <= ROWS and len(counts) <= stride:
        numbers = [[node + row * stride for row in range(n)] for node, n in enumerate(counts)]
    else:
        running = itertools.count()
        numbers = [list(itertools.islice(running, n)) for n in counts]
    start = network.network_address
    return [tuple(ip_network(f"{start + n * each}/{size}") for n in own) for own in numbers]


def _all(block: Network) -> Iterator[Ip]:
    """Every address of a block, the first and the last too."""
    return (block[number] for number in range(block.num_addresses))
