"""flannel's host-gw, and on each node a TUN device that nobody reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab import Cluster, flannel
from netlab.plan.links import Tun
from netlab.plan.routing import Address, route
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class WithTun(flannel.HostGw):
    name: ClassVar[str] = "with-tun"

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        yield from flannel.HostGw.node(self, layout, node)
        yield Tun(name="flannel0", mtu=1472, txqlen=500, addr_gen_mode="none")
        yield Address("flannel0", "172.20.0.1/32")
        yield route("172.21.0.0/16", "flannel0")


topology = Cluster(nodes=2, pods_per_node=1, containers=1, dataplane=WithTun())
