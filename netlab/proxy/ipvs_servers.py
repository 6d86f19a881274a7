"""The virtual servers of kube-proxy's IPVS mode, and the addresses that its device holds.

Follows syncProxyRules, syncService and syncEndpoint in Kubernetes' pkg/proxy/ipvs/proxier.go. The
order of Services, which there is random, is the topology's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netlab.plan.rulesets import RealServer, VirtualServer
from netlab.plan.rulesets.ipvs import SchedulerFlag
from netlab.topology.endpoints import Reached, reached
from netlab.topology.resolved import EndpointSpec, Ip, NodeSpec, ServicePortSpec, ServiceSpec

# mh looks at the client's port too (FlagSourceHash in pkg/proxy/ipvs/util/ipvs.go).
_FLAGS: dict[str, tuple[SchedulerFlag, ...]] = {"mh": ("flag-2",)}


def bound(services: Iterable[ServiceSpec], elsewhere: Iterable[Ip], ipv6: bool) -> tuple[Ip, ...]:
    """What the device holds of a family: ClusterIPs, and external IPs that are not the node's own
    already.
    """
    taken = set(elsewhere)
    found: dict[Ip, None] = {}
    for service in services:
        found |= dict.fromkeys(each_of(service.cluster_ips, ipv6))
        external = each_of(service.external_ips, ipv6)
        found |= dict.fromkeys(ip for ip in external if ip not in taken)
    return tuple(found)


def each_of(ips: Iterable[Ip], ipv6: bool) -> Iterator[Ip]:
    """Those of a family."""
    return (ip for ip in ips if (ip.version == 6) is ipv6)


def balanced(service: ServiceSpec, ipv6: bool) -> tuple[ServicePortSpec, ...]:
    """The ports of a Service, none where it has no ClusterIP of the family."""
    return service.ports if any(each_of(service.cluster_ips, ipv6)) else ()


def virtual_servers(
    services: Iterable[ServiceSpec],
    node: NodeSpec,
    addresses: Iterable[Ip],
    scheduler: str,
    ipv6: bool,
) -> Iterator[VirtualServer]:
    """Those of one node and family; `addresses` are its own of that, where NodePorts answer."""
    own = tuple(addresses)
    for service in services:
        for port in balanced(service, ipv6):
            for ip, number, real in _faces(service, port, node, own, ipv6):
                yield VirtualServer(
                    address=str(ip),
                    port=number,
                    protocol=port.protocol.lower(),
                    scheduler=scheduler,
                    persistence=service.affinity,
                    flags=_FLAGS.get(scheduler, ()),
                    real=tuple(RealServer(address=str(one.address), port=one.port) for one in real),
                )


_Face = tuple[Ip, int, tuple[EndpointSpec, ...]]


def _faces(
    service: ServiceSpec, port: ServicePortSpec, node: NodeSpec, own: tuple[Ip, ...], ipv6: bool
) -> Iterator[_Face]:
    """Where a port of a Service is, and the endpoints behind it there."""
    ends = reached(service, port, node.name, ipv6)
    inside = _behind(ends, local=service.internal_policy == "Local")
    outside = _behind(ends, local=service.external_policy == "Local")
    yield from ((ip, port.port, inside) for ip in each_of(service.cluster_ips, ipv6))
    yield from ((ip, port.port, outside) for ip in each_of(service.external_ips, ipv6))
    if port.node_port:
        yield from ((ip, port.node_port, outside) for ip in own)


def _behind(ends: Reached, *, local: bool) -> tuple[EndpointSpec, ...]:
    """Without an endpoint of its own a node falls back on the others, also by policy Local.

    Its pods are to be served (kubernetes/kubernetes#97081); clients outside then get no answer that
    they know, as they are not masqueraded.
    """
    return (ends.local or ends.cluster) if local else ends.cluster
