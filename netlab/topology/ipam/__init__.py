"""Where pods' addresses come from: one file for each strategy, a value that a dataplane names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from netlab.topology.resolved import Ip, Network


@dataclass(frozen=True, slots=True)
class Wish:
    """What one node asks of an IPAM: room for so many pods, and what its topology gave it.

    That are CIDRs, and addresses of pods, each with the pod's number among the node's, from 0.
    """

    node: str
    pods: int
    given: tuple[Network, ...] = ()
    fixed: tuple[tuple[int, Ip], ...] = ()


@dataclass(frozen=True, slots=True)
class Pool:
    """A cluster's pod network of one family, and the mask of what a node gets of it.

    `forced`: CIDRs that nodes were given may overlap, to show what breaks.
    """

    network: Network
    node_mask: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """What a node gets: its CIDRs, the gateway of its pods, and an address for each pod.

    All of one family. `reserved` are addresses of the CIDRs that are the node's own.
    """

    cidrs: tuple[Network, ...]
    gateway: Ip
    pods: tuple[Ip, ...]
    reserved: tuple[tuple[str, Ip], ...] = ()


class Ipam(Protocol):
    """A strategy. Pure: the same wishes get the same leases."""

    def assign(self, pool: Pool, wishes: Sequence[Wish]) -> list[Lease]:
        """A lease for each wish, of the pool's family. Raises BadInput where there is no room."""
        ...
