"""Calico's IPAM: small blocks of one pool, given to nodes as they need them (libcalico-go ipam)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from netlab.errors import BadInput
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.resolved import Network


@dataclass(frozen=True, slots=True)
class Blocks:
    """A node has at least one block, and another whenever its blocks are full.

    `sizes` are the prefix lengths of a block of either family, Calico's defaults. Every address of
    a block is a pod's, the first and the last too. The gateway is no address of the pool: the node
    answers ARP for 169.254.1.1, or neighbour discovery for the veth's fe80::ecee:eeff:feee:eeee.
    """

    sizes: tuple[int, int] = (26, 122)

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        ipv6 = pool.network.version == 6
        size = max(self.sizes[ipv6], pool.network.prefixlen)
        blocks: Iterator[Network] = iter(pool.network.subnets(new_prefix=size))
        gateway = ip_address("fe80::ecee:eeff:feee:eeee" if ipv6 else "169.254.1.1")
        leases = []
        for wish in wishes:
            own: list[Network] = []
            while not own or sum(block.num_addresses for block in own) < wish.pods:
                block = next(blocks, None)
                if block is None:
                    raise BadInput(
                        f"The cluster CIDR {pool.network} has too few blocks of /{size} for "
                        f"{len(wishes)} nodes; widen it."
                    )
                own.append(block)
            addresses = (block[index] for block in own for index in range(block.num_addresses))
            pods = tuple(address for address, _ in zip(addresses, range(wish.pods), strict=False))
            leases.append(Lease(tuple(own), gateway, pods))
        return leases
