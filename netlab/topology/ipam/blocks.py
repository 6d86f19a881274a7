"""Calico's IPAM: small blocks of one pool, given to nodes as they need them (libcalico-go ipam)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from netlab.errors import BadInput
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.resolved import Network

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
    """

    sizes: tuple[int, int] = (26, 122)
    tunnel: bool = False

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        ipv6 = pool.network.version == 6
        size = max(self.sizes[ipv6], pool.network.prefixlen)
        each = 2 ** (pool.network.max_prefixlen - size)  # addresses of a block
        own_use = int(self.tunnel)
        counts = [max(-(-(wish.pods + own_use) // each), 1) for wish in wishes]
        self._check(pool, wishes, size, sum(counts))
        blocks = _blocks(pool.network, size, counts)
        gateway = ip_address("fe80::ecee:eeff:feee:eeee" if ipv6 else "169.254.1.1")
        leases = []
        for wish, own in zip(wishes, blocks, strict=True):
            taken = range(wish.pods + own_use)
            given = tuple(own[slot // each][slot % each] for slot in taken)
            reserved = (("tunnel", given[0]),) if self.tunnel else ()
            leases.append(Lease(own, gateway, given[own_use:], reserved))
        return leases

    def _check(self, pool: Pool, wishes: Sequence[Wish], size: int, count: int) -> None:
        room = 2 ** (size - pool.network.prefixlen)
        if count > room:
            raise BadInput(
                f"The cluster CIDR {pool.network} holds {room} blocks of /{size}, not the {count} "
                f"that {len(wishes)} nodes need; widen it."
            )
        for wish in wishes:
            for cidr in wish.given:
                raise BadInput(
                    f"The pod CIDR {cidr} of {wish.node} cannot be given: this dataplane's nodes "
                    "take blocks as they need them."
                )


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
