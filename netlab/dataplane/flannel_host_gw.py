"""Flannel's host-gw backend (flannel pkg/backend/hostgw): the other nodes are the gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.bridge_cni import attach_pods
from netlab.dataplane.flannel import rules
from netlab.plan.compile import UPLINK
from netlab.plan.dataplane import Frame
from netlab.plan.types import Namespace, Route
from netlab.topology.layout import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class FlannelHostGw:
    """No options. Pods' packets cross the underlay as they are, so its MTU is theirs."""

    name: ClassVar[str] = "flannel-host-gw"
    family: ClassVar[str] = "flannel"
    title: ClassVar[str] = "HostGw"
    summary: ClassVar[str] = "plain routes, the other nodes as gateways; one segment only"
    requires: ClassVar[tuple[str, ...]] = ("nftables-masquerade",)

    def pod_mtu(self, layout: Layout) -> int:
        return layout.underlay_mtu

    def refuse(self, layout: Layout) -> str | None:
        first = layout.nodes[0]
        for node in layout.nodes:
            if node.subnet != first.subnet:
                return (
                    f"flannel-host-gw needs all nodes on one segment, because a route's next hop "
                    f"must be on the same segment, but {first.name} is in {first.subnet.network} "
                    f"and {node.name} in {node.subnet.network}; use flannel-vxlan, or --force to "
                    "see it fail."
                )
        return None

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        if source.subnet == target.subnet:
            return None
        return f"the next hop {target.address} is not on the segment of {source.name}"

    def configure(self, layout: Layout, node: NodeSpec, spaces: Mapping[str, Namespace]) -> None:
        """One route for each remote node.

        In a forced lab the next hop on another segment is marked onlink: without, the kernel
        refuses the route and there would be nothing to look at.
        """
        space = spaces[node.name]
        for remote in layout.nodes:
            if remote is not node:
                onlink = remote.subnet != node.subnet
                space.routes.append(
                    Route(str(remote.pod_cidr), UPLINK, str(remote.address), onlink)
                )
        space.ruleset.append(rules(layout, node))
        attach_pods(layout, node, spaces, self.pod_mtu(layout))

    def frame(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> Frame:
        return Frame()
