"""CNI's host-local in a node CIDR (containernetworking/plugins, plugins/ipam/host-local)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from netlab.errors import BadInput
from netlab.topology.cidr import usable_pods
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.ipam.fixed import around, fixed
from netlab.topology.ipam.node_cidrs import node_cidrs
from netlab.topology.resolved import Network


@dataclass(frozen=True, slots=True)
class HostLocal:
    """The first address of a node's CIDR is its gateway; pods get the next ones in order.

    IPv4 does not give out network and broadcast address; IPv6 has no broadcast, and its last
    address is given out (allocator/range.go).
    """

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        cidrs = node_cidrs(pool, wishes)
        return [host_local(wish, cidr) for wish, cidr in zip(wishes, cidrs, strict=True)]


def host_local(wish: Wish, cidr: Network) -> Lease:
    """What host-local gives the pods of a node in its CIDR. Raises BadInput for too many pods."""
    if not 0 <= wish.pods <= usable_pods(cidr):
        raise BadInput(
            f"The pod CIDR {cidr} of {wish.node} holds {usable_pods(cidr)} pods, not {wish.pods}."
        )
    given = fixed(wish, (cidr,), {cidr[1]: "the gateway"}, ends=True)
    pods = around(wish.pods, given, lambda: (cidr[slot] for slot in itertools.count(2)))
    return Lease((cidr,), cidr[1], pods)
