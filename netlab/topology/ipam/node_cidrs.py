"""A CIDR for each node, as Kubernetes' node IPAM cuts them (pkg/controller/nodeipam)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.errors import BadInput
from netlab.topology.cidr import refuse_overlaps
from netlab.topology.ipam import Pool, Wish
from netlab.topology.resolved import Network


def node_cidrs(pool: Pool, wishes: Sequence[Wish]) -> list[Network]:
    """The given CIDRs, and for the other nodes the next free pieces of the cluster CIDR."""
    given = given_cidrs(pool, wishes)
    pieces = _free(pool, list(given.values()))
    result = []
    for wish in wishes:
        chosen = given.get(wish.node) or next(pieces, None)
        if chosen is None:
            raise too_many_nodes(pool, len(wishes))
        result.append(chosen)
    return result


def given_cidrs(pool: Pool, wishes: Sequence[Wish]) -> dict[str, Network]:
    """The CIDRs that the topology gave, by node. Raises BadInput for those that cannot be."""
    given: dict[str, Network] = {}
    for wish in wishes:
        own = [cidr for cidr in wish.given if cidr.version == pool.network.version]
        if own:
            given[wish.node] = own[0]
            _check(wish.node, own[0], pool)
    if not pool.forced:
        refuse_overlaps([(f"pod CIDR of {name}", cidr) for name, cidr in given.items()])
    return given


def too_many_nodes(pool: Pool, count: int) -> BadInput:
    capacity = 2 ** (pool.node_mask - pool.network.prefixlen)
    return BadInput(
        f"The cluster CIDR {pool.network} holds {capacity} nodes of /{pool.node_mask}, not {count}",
        "widen it or use a longer node mask",
    )


def _check(name: str, cidr: Network, pool: Pool) -> None:
    longest = 30 if cidr.version == 4 else 126
    if not _inside(cidr, pool.network):
        raise BadInput(f"The pod CIDR {cidr} of {name} is outside the cluster {pool.network}.")
    if cidr.prefixlen > longest:
        raise BadInput(f"The pod CIDR {cidr} of {name} is too small", f"use a /{longest} or wider")


def _inside(cidr: Network, whole: Network) -> bool:
    return cidr[0] in whole and cidr[-1] in whole


def _free(pool: Pool, taken: Sequence[Network]) -> Iterator[Network]:
    for piece in pool.network.subnets(new_prefix=pool.node_mask):
        if not any(piece.overlaps(other) for other in taken):
            yield piece
