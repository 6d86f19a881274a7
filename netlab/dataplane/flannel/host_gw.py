"""Flannel's host-gw backend (flannel pkg/backend/hostgw): the other nodes are the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.rules import FLANNELD
from netlab.plan.explanations import Says
from netlab.plan.names import UPLINK
from netlab.plan.routing import Route, route
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class HostGw(Flannel):
    """Plain routes: pods' packets cross the underlay as they are, so its MTU is theirs."""

    name: ClassVar[str] = "flannel-host-gw"
    summary: ClassVar[str] = "plain routes, the other nodes as gateways; one segment only"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            "route *",
            FLANNELD,
            "The other node is the gateway to its pods: no tunnel, so it must be on the same "
            "segment. flanneld learns of it from its lease, and looks every 10 seconds.",
        ),
    )

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from Flannel.validate(self, layout)
        first = layout.nodes[0]
        for node in layout.apart:
            yield (
                f"flannel-host-gw needs all nodes on one segment, because a route's next hop "
                f"must be on the same segment, but {first.name} is in {first.subnet.network} "
                f"and {node.name} in {node.subnet.network}; use flannel-vxlan, or --force to "
                "see it fail."
            )

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        if source.subnet == target.subnet:
            return None
        return f"the next hop {target.address} is not on the segment of {source.name}"

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Route]:
        # In a forced lab the kernel would refuse a next hop on another segment without onlink.
        onlink, gateway = other.subnet != node.subnet, str(other.address_of(ipv6))
        for cidr in other.cidrs_of(ipv6):
            yield route(str(cidr), UPLINK, gateway, onlink=onlink)
