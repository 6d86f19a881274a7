"""Who answers a client of a Service, and whom it sees: as kube-proxy's rules, routes and the
dataplane together decide. Pure.

Follows writeServiceToEndpointRules and the EXT chains of Kubernetes' pkg/proxy/iptables/proxier.go,
which the other modes give the same meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, NamedTuple

from netlab.plan.probing.lab import Lab, address
from netlab.plan.proxy import Proxy
from netlab.topology.endpoints import reached
from netlab.topology.resolved import (
    EndpointSpec,
    ExternalSpec,
    Ip,
    NodeSpec,
    PodSpec,
    ServicePortSpec,
    ServiceSpec,
)

NO_ENDPOINTS = "the Service has no endpoints"
NO_LOCAL_ENDPOINTS = "policy Local, and the node has no endpoint"


class ServicePort(NamedTuple):
    """A port of a Service, asked by one address family."""

    service: ServiceSpec
    port: ServicePortSpec
    ipv6: bool

    @property
    def name(self) -> str:
        """As a report names it: kube-proxy's name for it, and the number."""
        return f"{self.service.port_name(self.port)} {self.port.port}/{self.port.protocol}"

    @property
    def cluster_ip(self) -> Ip:
        return next(ip for ip in self.service.cluster_ips if (ip.version == 6) is self.ipv6)


class Entry(NamedTuple):
    """An address by which a Service is asked, and the `node` whose rules take it."""

    address: Ip
    port: int
    node: NodeSpec
    kind: Literal["ClusterIP", "NodePort", "external IP"]


@dataclass(frozen=True, slots=True)
class Path:
    """What a client comes to: endpoints as responders, and the addresses of which each sees one.

    Without any, it is refused for a reason, or it is dropped; or it is `lost` on its way to where
    nobody has the address.
    """

    seen: Mapping[str, tuple[str, ...]]
    refused: str | None = None
    dropped: str | None = None
    lost: str | None = None


def behind(services: Iterable[ServiceSpec]) -> dict[str, tuple[str, ...]]:
    """Each port that can be asked, as reports name it, and the pods or nodes that are behind it."""
    return {
        ServicePort(service, port, False).name: tuple(
            dict.fromkeys(one.target for one in port.endpoints)
        )
        for service in services
        for port in service.ports
        if not service.headless
    }


Client = PodSpec | NodeSpec | ExternalSpec


def path(lab: Lab, proxy: Proxy, client: Client, entry: Entry, asked: ServicePort) -> Path | None:
    """Where a client's connections end. None: nobody can tell, as the dataplane bars some of them,
    or an endpoint is no server of netlab's.
    """
    if entry.kind == "NodePort" and not proxy.serves_node_ports(
        lab.layout, entry.node, entry.address
    ):
        return Path({}, refused=f"NodePorts do not answer at {entry.address}")
    if _may_be_lost(lab, client, entry, asked.service):
        return None
    found = reached(asked.service, asked.port, entry.node.name, asked.ipv6)
    source, device = _arrival(lab, client, entry)
    local, masquerade = _policy(lab, proxy, client, entry, asked, source, device)
    endpoints = found.local if local else found.cluster
    if not endpoints:
        reason = NO_LOCAL_ENDPOINTS if found.any else NO_ENDPOINTS
        if _passes_refusals(lab, proxy, client, entry):
            return Path({}, lost=f"{reason}, and the dataplane accepts what pods send")
        return Path({}, dropped=reason) if found.any else Path({}, refused=reason)
    seen: dict[str, tuple[str, ...]] = {}
    for endpoint in endpoints:
        by = responder(lab, endpoint)
        own = _seen(lab, client, entry, endpoint, source, masquerade)
        if by is None or not own or lab.unreachable(entry.node.name, endpoint.node):
            return None
        seen[by] = own
    return Path(seen)


def _passes_refusals(lab: Lab, proxy: Proxy, client: Client, entry: Entry) -> bool:
    """Whether a packet to be forwarded is accepted before the proxy's rules can refuse it."""
    forwarded = isinstance(client, PodSpec) and entry.kind != "NodePort"
    return forwarded and lab.datapath.accepts_pods and proxy.refuses_by_iptables()


def _may_be_lost(lab: Lab, client: Client, entry: Entry, service: ServiceSpec) -> bool:
    """Whether replies to a pod may miss the node that could translate them back, or the pod.

    With policy Local another node takes a pod for its own, and sends it on under its own address:
    so an endpoint elsewhere answers it past that node.
    """
    if not isinstance(client, PodSpec) or client.node == entry.node.name:
        return False
    barred = lab.unanswered(client, entry.node, entry.address.version == 6)
    return service.external_policy == "Local" or barred is not None


def responder(lab: Lab, endpoint: EndpointSpec) -> str | None:
    """How netlab's server behind an endpoint names itself; None where there is none."""
    node = lab.nodes[endpoint.node]
    owners: list[NodeSpec | PodSpec] = [node, *node.pods]
    owner = next(one for one in owners if one.name == endpoint.target)
    for container in owner.containers:
        if container.port == endpoint.port:
            return f"{owner.name} {container.name}"
    return None


def _arrival(lab: Lab, client: Client, entry: Entry) -> tuple[Ip, str]:
    """The source address and the device by which a client's packets come to the entry's node.

    The device is empty for what that node sends itself.
    """
    node, ipv6 = entry.node, entry.address.version == 6
    if isinstance(client, PodSpec):
        if client.node == node.name:
            attachment = lab.attachments[client.name]
            return address(client, ipv6), attachment.bridge or attachment.port
        return ip_address(lab.seen_as(client, node, ipv6)), lab.uplink(node).name
    own = lab.source_address(client.name, entry.address)
    source = ip_address(own) if own else address(client, ipv6)
    return source, "" if client.name == node.name else lab.uplink(node).name


def _policy(
    lab: Lab,
    proxy: Proxy,
    client: Client,
    entry: Entry,
    asked: ServicePort,
    source: Ip,
    device: str,
) -> tuple[bool, bool]:
    """Whether only the node's own endpoints are for it, and whether it gets the node's address.

    With an external policy Local, pods of the cluster and the node itself are sent everywhere.
    """
    if entry.kind == "ClusterIP":
        masquerade = proxy.masquerades(lab.layout, entry.node, source, device)
        return asked.service.internal_policy == "Local", masquerade
    if asked.service.external_policy == "Cluster":
        return False, True
    own = client.name == entry.node.name
    pod = proxy.is_local_pod(lab.layout, entry.node, source, device)
    return not (pod or own), own and not pod


def _seen(
    lab: Lab, client: Client, entry: Entry, endpoint: EndpointSpec, source: Ip, masquerade: bool
) -> tuple[str, ...]:
    """The addresses of which an endpoint sees one; who comes to itself is always masqueraded."""
    if masquerade or source == endpoint.address:
        return lab.masquerade_addresses(entry.node.name, endpoint.address)
    if isinstance(client, PodSpec) and endpoint.target in lab.nodes:
        ipv6 = endpoint.address.version == 6
        return (lab.seen_as(client, lab.nodes[endpoint.target], ipv6),)
    return (str(source),)
