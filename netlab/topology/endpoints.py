"""Which endpoints of a Service a node sends to, as every mode of kube-proxy decides it.

Follows CategorizeEndpoints in Kubernetes' pkg/proxy/topology.go; hints of zones are left out, as
nodes of a lab have none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netlab.topology.resolved import EndpointSpec, ServicePortSpec, ServiceSpec


@dataclass(frozen=True, slots=True)
class Reached:
    """The endpoints of one port for one node and family.

    `cluster` are for traffic of policy Cluster, `local` for that of policy Local; `any` is whether
    there are endpoints at all, here or elsewhere: without, clients are refused and not dropped.
    """

    cluster: tuple[EndpointSpec, ...]
    local: tuple[EndpointSpec, ...]
    any: bool

    @property
    def all(self) -> tuple[EndpointSpec, ...]:
        """Those of both, each once, in the order in which they are."""
        return (*self.cluster, *(one for one in self.local if one not in self.cluster))


def open_outside(service: ServiceSpec, port: ServicePortSpec) -> bool:
    """Whether it accepts traffic from outside the cluster (ExternallyAccessible)."""
    return bool(port.node_port or service.external_ips)


def reached(service: ServiceSpec, port: ServicePortSpec, node: str, ipv6: bool) -> Reached:
    """The endpoints that a node sends to, the ready ones, or else those that still serve."""
    every = port.of_family(ipv6)
    here = [one for one in every if one.node == node]
    outside = open_outside(service, port)
    uses_cluster = service.internal_policy == "Cluster" or outside
    uses_local = service.internal_policy == "Local" or (
        service.external_policy == "Local" and outside
    )
    return Reached(
        _usable(every) if uses_cluster else (),
        _usable(here) if uses_local else (),
        bool(_usable(every)),
    )


def _usable(endpoints: Iterable[EndpointSpec]) -> tuple[EndpointSpec, ...]:
    found = tuple(endpoints)
    ready = tuple(one for one in found if one.ready)
    return ready or tuple(one for one in found if one.serving and one.terminating)
