"""What a node's IPAM can give to pods of its CIDRs, as far as the layout shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netlab.topology.resolved import Ip, Network, NodeSpec, of_family


@dataclass(frozen=True, slots=True)
class PodRange:
    """One family of a node's pod addresses, from `first` to `last`, `usable` in number.

    `reserved` are addresses of the CIDRs that are the node's own, by what for. `spared` are those
    at the ends that nobody gets. With `blocks` the gateway is no address of the CIDRs.
    """

    cidrs: tuple[Network, ...]
    gateway: Ip
    reserved: tuple[tuple[str, Ip], ...]
    blocks: bool
    spared: tuple[Ip, ...]
    first: Ip
    last: Ip
    usable: int

    @property
    def own(self) -> tuple[tuple[str, Ip], ...]:
        """What no pod can get as the node has it: what is reserved, or else the gateway."""
        if self.reserved or self.blocks:
            return self.reserved
        return (("gateway", self.gateway),)


def pod_range(node: NodeSpec, ipv6: bool) -> PodRange:
    """A node's pod addresses of a family that the cluster has."""
    cidrs = node.cidrs_of(ipv6)
    gateway = of_family(node.gateways, ipv6)
    assert gateway is not None, f"{node.name} has no gateway of IPv{6 if ipv6 else 4}"
    reserved = tuple(item for item in node.reserved if any(item[1] in cidr for cidr in cidrs))
    blocks = all(gateway not in cidr for cidr in cidrs)
    own = {gateway, *(ip for _, ip in reserved)}
    spared = tuple(_spared(cidrs[0], blocks=blocks, drawn=bool(reserved)))
    usable = sum(cidr.num_addresses for cidr in cidrs) - len(spared)
    usable -= sum(any(ip in cidr for cidr in cidrs) for ip in own)
    first, last = cidrs[0][0], cidrs[-1][-1]
    if usable > 0:
        while first in own or first in spared:
            first += 1
        while last in own or last in spared:
            last -= 1
    return PodRange(cidrs, gateway, reserved, blocks, spared, first, last, max(usable, 0))


def _spared(cidr: Network, *, blocks: bool, drawn: bool) -> Iterator[Ip]:
    """Neither host-local nor Cilium gives out the first address, nor IPv4's last.

    Of IPv6 host-local gives out the last one (see netlab/topology/ipam/host_local.py), and Cilium
    does not (pool.py, whose addresses are `drawn`). Calico's blocks are given out whole.
    """
    if blocks:
        return
    yield cidr[0]
    if cidr.version == 4 or drawn:
        yield cidr[-1]
