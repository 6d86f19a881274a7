"""Flannel's own leases in etcd (flannel pkg/subnet/etcd/local_manager.go), and host-local in them.

Each flanneld takes one of the first 100 subnets that are free, at random; the cluster network's
first subnet is never given out (pkg/subnet/config.go).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlab.errors import BadInput
from netlab.topology.choice import hashed
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.ipam.host_local import host_local
from netlab.topology.ipam.node_cidrs import given_cidrs
from netlab.topology.resolved import Network

CHOICE = 100  # free subnets, of which one is taken
LEAST_BITS = 2  # a cluster network holds at least four subnets


@dataclass(frozen=True, slots=True)
class EtcdLeases:
    """Nodes come in the topology's order; what is random there is here a hash of `seed` and node.

    A CIDR that the topology gave is a reservation: a lease that does not expire. So it must be one
    that flannel could have given. An IPv6 subnet is drawn apart from the IPv4 one.
    """

    seed: str
    spared: ClassVar[int] = 1

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        if pool.node_mask < pool.network.prefixlen + LEAST_BITS:
            raise BadInput(
                f"The cluster CIDR {pool.network} holds fewer than four subnets of "
                f"/{pool.node_mask}, with which flannel does not start",
                f"use a node mask of /{pool.network.prefixlen + LEAST_BITS} or longer",
            )
        reserved = given_cidrs(pool, wishes)
        for node, cidr in reserved.items():
            self._check(pool, node, cidr)
        leased = dict(reserved)
        for wish in wishes:
            if wish.node not in leased:
                leased[wish.node] = self._draw(pool, wish.node, leased.values(), len(wishes))
        return [host_local(wish, leased[wish.node]) for wish in wishes]

    def _check(self, pool: Pool, node: str, cidr: Network) -> None:
        if cidr.prefixlen != pool.node_mask or cidr[0] == pool.network[0]:
            raise BadInput(
                f"The pod CIDR {cidr} of {node} is none that flannel leases in {pool.network}",
                f"use a /{pool.node_mask}, and not the first",
            )

    def _draw(self, pool: Pool, node: str, leased: Iterable[Network], count: int) -> Network:
        free = list(itertools.islice(_free(pool, set(leased)), CHOICE))
        if not free:
            room = 2 ** (pool.node_mask - pool.network.prefixlen) - self.spared
            raise BadInput(
                f"The cluster CIDR {pool.network} holds {room} nodes of /{pool.node_mask}, not "
                f"{count}, as the first subnet is not given out",
                "widen it or use a longer node mask",
            )
        return free[hashed(f"{self.seed}/{node}/{pool.network.version}") % len(free)]


def _free(pool: Pool, leased: set[Network]) -> Iterator[Network]:
    """From SubnetMin, the second, to SubnetMax, the last. All are of one size."""
    subnets: Iterator[Network] = iter(pool.network.subnets(new_prefix=pool.node_mask))
    return (one for one in itertools.islice(subnets, 1, None) if one not in leased)
