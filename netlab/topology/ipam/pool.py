"""Cilium's cluster pool: a CIDR for each node, with the router's address inside it.

cilium/cilium pkg/ipam: the operator gives node CIDRs in ascending order; in each the agent takes
the router's address (`cilium_host`) and the health endpoint's, and pods have what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netlab.errors import BadInput
from netlab.topology.choice import hashed
from netlab.topology.ipam import Lease, Pool, Wish
from netlab.topology.ipam.fixed import around, fixed, given_to_nodes, node_address
from netlab.topology.ipam.node_cidrs import node_cidrs
from netlab.topology.resolved import Ip, Network


@dataclass(frozen=True, slots=True)
class ClusterPool:
    """There all addresses are drawn at random; here from a hash of whose they are, repeatably.

    The network and the broadcast address are not given out; .1 is one like any other. `routers` and
    `health` are addresses that were given, each to the node in whose CIDR it is. Without
    `checking` a node has no health endpoint, and its address is left for pods. `pool` is a network
    of Cilium's own with the mask of what a node gets, in the place of the cluster's.
    """

    seed: str = "netlab"
    routers: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    checking: bool = True
    pool: tuple[str, int] | None = None

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        cidrs = node_cidrs(pool, wishes)
        for address in (*self.routers, *self.health):
            self._check(address, cidrs)
        return [self._lease(wish, cidr) for wish, cidr in zip(wishes, cidrs, strict=True)]

    def _lease(self, wish: Wish, cidr: Network) -> Lease:
        own = ("router", "health") if self.checking else ("router",)
        room = max(cidr.num_addresses - 2 - len(own), 0)
        if wish.pods > room:
            raise BadInput(
                f"The pod CIDR {cidr} of {wish.node} holds {room} pods, not {wish.pods}."
            )
        chosen = [given_to_nodes(addresses, (cidr,)) for addresses in (self.routers, self.health)]
        named = {ip: name for name, ip in zip(own, chosen, strict=False) if ip}
        given = fixed(wish, (cidr,), named, ends=True)
        drawn = self._draw(wish, cidr, {int(ip) - int(cidr[1]) for ip in (*named, *given.values())})
        reserved = tuple((name, ip or next(drawn)) for name, ip in zip(own, chosen, strict=False))
        pods = around(wish.pods, given, lambda: drawn)
        return Lease((cidr,), reserved[0][1], pods, reserved)

    def _check(self, address: str, cidrs: Sequence[Network]) -> None:
        ip = node_address(address)
        for cidr in cidrs:
            if ip in cidr and ip not in (cidr[0], cidr[-1]):
                return
        raise BadInput(f"The address {ip} is one to give out in none of the nodes' pod CIDRs.")

    def _draw(self, wish: Wish, cidr: Network, taken: set[int]) -> Iterator[Ip]:
        """Each one at a hashed offset, and from there the next that is not `taken`."""
        size = cidr.num_addresses - 2
        count = 0
        while True:
            offset = hashed(f"{self.seed}/{wish.node}/{count}") % size
            while offset in taken:
                offset = (offset + 1) % size
            taken.add(offset)
            count += 1
            yield cidr[offset + 1]
