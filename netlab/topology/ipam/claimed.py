"""Which blocks of a pool nodes have, where some of them were given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from netlab.errors import BadInput
from netlab.topology.cidr import refuse_overlaps
from netlab.topology.ipam import Pool, Wish
from netlab.topology.resolved import Network


def claim(pool: Pool, wishes: Sequence[Wish], size: int, own_use: int) -> list[tuple[Network, ...]]:
    """The blocks of each node: those given, those of its pods' addresses, and what it lacks.

    `size` is the prefix length of a block, `own_use` how many addresses a node takes beside its
    pods'. Raises BadInput for blocks that cannot be, or too few of them.
    """
    owned = [_given(pool, wish, size) for wish in wishes]
    named = [
        (f"block of {wish.node}", block)
        for wish, own in zip(wishes, owned, strict=True)
        for block in own
    ]
    if not pool.forced:
        refuse_overlaps(named)
    free = _free(pool, size, [block for _, block in named])
    for wish, own in zip(wishes, owned, strict=True):
        while sum(block.num_addresses for block in own) < max(wish.pods + own_use, 1):
            block = next(free, None)
            if block is None:
                raise BadInput(
                    f"The cluster CIDR {pool.network} has no block of /{size} left for {wish.node}",
                    "widen it",
                )
            own.append(block)
    return [tuple(own) for own in owned]


def _given(pool: Pool, wish: Wish, size: int) -> list[Network]:
    found = [cidr for cidr in wish.given if cidr.version == pool.network.version]
    for cidr in found:
        if cidr[0] not in pool.network or cidr.prefixlen < pool.network.prefixlen:
            raise BadInput(
                f"The block {cidr} of {wish.node} is outside the cluster {pool.network}."
            )
    for _, ip in wish.fixed:
        if ip in pool.network and not any(ip in cidr for cidr in found):
            found.append(ip_network(f"{ip}/{size}", strict=False))
    return found


def _free(pool: Pool, size: int, taken: Sequence[Network]) -> Iterator[Network]:
    for block in pool.network.subnets(new_prefix=size):
        if not any(block.overlaps(other) for other in taken):
            yield block
