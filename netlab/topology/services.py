"""From the Services of a topology to their addresses, NodePorts and endpoints.

What Kubernetes' API server refuses is refused here (pkg/apis/core/validation), and what an
EndpointSlice controller would find is found (pkg/controller/endpointslice).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from netlab.errors import BadInput, shown, unknown
from netlab.topology.bands import port_band, service_band
from netlab.topology.choice import drawn
from netlab.topology.dns import PORT as DNS_PORT
from netlab.topology.model import Service, ServicePort
from netlab.topology.names import DNS_LABEL
from netlab.topology.resolved import (
    EndpointSpec,
    Ip,
    Layout,
    Network,
    NodeSpec,
    PodSpec,
    ServicePortSpec,
    ServiceSpec,
)
from netlab.topology.selecting import Pods, matching

HEADLESS = "None"
LAST_PORT = 65535
LONGEST_AFFINITY = 86400  # seconds; MaxClientIPServiceAffinitySeconds in pkg/apis/core/types.go
API_PORT = 6443  # kubeadm's
KUBERNETES = Service("kubernetes", pods=(), ports=(ServicePort(443, API_PORT, name="https"),))


def resolve_services(
    services: Sequence[Service],
    nodes: Sequence[NodeSpec],
    service_cidrs: Sequence[Network],
    node_port_range: tuple[int, int],
) -> tuple[ServiceSpec, ...]:
    """All Services, that of the API server first. Raises BadInput.

    What is given is taken first, so that nothing that is allocated stands in its way.
    """
    _refuse_duplicates(services)
    for service in services:
        _check(service)
    addresses = [_Addresses(cidr) for cidr in service_cidrs]
    ports = _NodePorts(*node_port_range)
    api = _of_api(services, nodes, service_cidrs)
    every = [api, *(one for one in services if _name(one) != _name(api))]
    given = [_given_addresses(service, addresses) for service in every]
    for service in every:
        ports.take_given(service)
    found = []
    pods = Pods(nodes)
    for service, own in zip(every, given, strict=True):
        ips = () if service.cluster_ip == HEADLESS else _allocated(service, own, addresses)
        families: set[int] = {ip.version for ip in ips or [cidr[0] for cidr in service_cidrs]}
        endpoints = [e for e in _endpoints(service, nodes, pods) if e.address.version in families]
        found.append(_spec(service, ips, endpoints, ports, families))
    return tuple(found)


def warnings(layout: Layout) -> Iterator[str]:
    """A sentence for each Service that selects no pods, though its topology names none."""
    for service in layout.services:
        if service.chosen is None and service.ports and not matching(layout.pods, service):
            by = f"its selector {','.join(service.selector)} matches" if service.selector else ""
            yield (
                f"The Service {service.full_name} has no endpoints: "
                f"{by or 'its namespace has'} no pods."
            )


def with_endpoints(port: ServicePortSpec, endpoints: Iterable[EndpointSpec]) -> ServicePortSpec:
    """The port with these endpoints, each on the port's own target."""
    return replace(port, endpoints=tuple(replace(one, port=port.target_port) for one in endpoints))


def _spec(
    service: Service,
    ips: tuple[Ip, ...],
    endpoints: Sequence[EndpointSpec],
    ports: _NodePorts,
    families: set[int],
) -> ServiceSpec:
    only_nodes = bool(service.nodes) and not service.selector and service.pods is None
    external = tuple(_external_ip(service, text, families) for text in service.external_ips)
    return ServiceSpec(
        name=service.name,
        namespace=service.namespace,
        cluster_ips=ips,
        ports=tuple(
            with_endpoints(
                ServicePortSpec(
                    name=port.name,
                    protocol=port.protocol,
                    port=port.port,
                    target_port=port.target_port or port.port,
                    node_port=ports.of(service, port),
                ),
                endpoints,
            )
            for port in ports_of(service)
        ),
        affinity=service.affinity,
        external_policy=service.external_traffic_policy,
        internal_policy=service.internal_traffic_policy,
        external_ips=external,
        selector=service.selector,
        chosen=() if only_nodes else service.pods,
    )


def ports_of(service: Service) -> tuple[ServicePort, ...]:
    """The ports of a Service, however they were given."""
    if service.ports:
        return service.ports
    if not service.port:
        return ()
    one = (service.port, service.target_port, service.protocol, service.node_port)
    return (ServicePort(*one),)


def _name(service: Service) -> str:
    return f"{service.namespace}/{service.name}"


def _refuse_duplicates(services: Sequence[Service]) -> None:
    seen: set[str] = set()
    for service in services:
        if _name(service) in seen:
            raise BadInput(f"Two Services are named {_name(service)}; names must be unique.")
        seen.add(_name(service))


def _check(service: Service) -> None:
    where = f"The Service {_name(service)}"
    for name in (service.name, service.namespace):
        if not DNS_LABEL.fullmatch(name):
            raise BadInput(
                f"The name {shown(name)} of a Service or its namespace is not a DNS label: "
                "lower-case letters, digits and '-', at most 63, as Kubernetes asks."
            )
    if reason := next(_flaws(service), None):
        raise BadInput(f"{where} {reason}.")
    seen: set[object] = set()
    for port in ports_of(service):
        if port.name and not DNS_LABEL.fullmatch(port.name):
            raise BadInput(f"{where} has a port named {shown(port.name)}, which is no DNS label.")
        for number in (port.port, port.target_port or port.port):
            if not 1 <= number <= LAST_PORT:
                raise BadInput(f"{where} cannot have port {shown(number)}.")
        for key in (port.name, (port.protocol, port.port)):
            if key in seen and len(ports_of(service)) > 1:
                words = f"name {shown(key)}" if isinstance(key, str) else f"port {key[1]}/{key[0]}"
                raise BadInput(f"{where} has two ports of the {words}.")
            seen.add(key)


def _flaws(service: Service) -> Iterator[str]:
    """Why there can be no such Service, or why what it says would change nothing."""
    ports = ports_of(service)
    headless = service.cluster_ip == HEADLESS
    outside = service.type == "NodePort" or any(port.node_port for port in ports)
    if service.ports and (service.port or service.target_port or service.node_port):
        yield "has `port` and `ports`: give one of them"
    if not ports and not headless:
        yield "has no port"
    if len(ports) > 1 and not all(port.name for port in ports):
        yield "has several ports, of which each needs a name"
    if not 0 <= service.affinity <= LONGEST_AFFINITY:
        yield f"can have an affinity of 0 to {LONGEST_AFFINITY} seconds, not {service.affinity}"
    if headless and (outside or service.affinity or service.external_ips):
        yield "is headless, so that NodePorts, affinity and external IPs have no effect"
    if headless and service.dual_stack:
        yield "is headless, so that dual_stack has no effect: it has its pods' addresses"
    if service.external_traffic_policy == "Local" and not (outside or service.external_ips):
        yield "is not open to the outside, so that its external traffic policy has no effect"
    if service.selector and service.pods is not None:
        yield "has a selector and names its pods: give one of them"
    for label in service.selector:
        if label.find("=") < 1:
            yield f"has {shown(label)} in its selector, not KEY=VALUE"


def _endpoints(service: Service, nodes: Sequence[NodeSpec], pods: Pods) -> list[EndpointSpec]:
    """The pods behind a Service, and the nodes, in the nodes' order."""
    known = pods.named.get(service.namespace, {})
    hosts = {node.name: node for node in nodes}
    for name in service.nodes:
        if name not in hosts:
            raise unknown(f"node for the Service {_name(service)}", name, hosts)
    for name in (*(service.pods or ()), *service.unready, *service.terminating):
        if name not in known and name not in service.nodes:
            raise unknown(f"pod for the Service {_name(service)}", name, known)
    chosen = pods.selected(service)
    targets = [port.target_port or port.port for port in ports_of(service)]
    for pod in chosen:
        refuse_without_ports(_name(service), targets, pod)
    found = [
        _endpoint(service, ip, pod.own_name, pod.name, pod.node)
        for pod in chosen
        for ip in pod.addresses
    ]
    return found + [
        _endpoint(service, ip, name, name, name)
        for name in service.nodes
        for ip in hosts[name].addresses
    ]


def _endpoint(service: Service, ip: Ip, name: str, target: str, node: str) -> EndpointSpec:
    """`name` is how the Service calls the pod or node, `target` how the lab does."""
    serving = name not in service.unready
    terminating = name in service.terminating
    ready = service.publish_not_ready or (serving and not terminating)
    return EndpointSpec(ip, 0, target, node, ready, serving, terminating)


def refuse_without_ports(service: str, targets: Iterable[int], pod: PodSpec) -> None:
    """Raises BadInput for a pod that has no server on a port that a Service leads to.

    What netlab's servers listen on is known; what a container's own command does is not.
    """
    if any(container.command for container in pod.containers):
        return
    known = [DNS_PORT] if pod.dns else []
    known += sorted(container.port for container in pod.containers)
    for target in targets:
        if target not in known:
            listens = f"listens on {', '.join(map(str, known))}" if known else "has no containers"
            raise BadInput(
                f"The Service {service} leads to port {target} of {pod.name}, which {listens}",
                "give its target_port",
            )


def _of_api(
    services: Sequence[Service], nodes: Sequence[NodeSpec], cidrs: Sequence[Network]
) -> Service:
    """The API server's Service: the first node is behind it, unless the topology says who is."""
    default = replace(KUBERNETES, nodes=(nodes[0].name,))
    api = next((one for one in services if _name(one) == _name(KUBERNETES)), default)
    return api if api.cluster_ip else replace(api, cluster_ip=str(cidrs[0][1]))


def _external_ip(service: Service, text: str, families: set[int]) -> Ip:
    try:
        ip: Ip = ip_address(text)
    except ValueError:
        raise BadInput(
            f"The external IP {shown(text)} of the Service {_name(service)} is not an address."
        ) from None
    if ip.version not in families:
        raise BadInput(f"The external IP {ip} is of a family the Service {_name(service)} has not.")
    return ip


def _given_addresses(service: Service, ranges: Sequence[_Addresses]) -> tuple[Ip, ...]:
    if service.cluster_ip in (None, HEADLESS):
        return ()
    texts = [service.cluster_ip] if isinstance(service.cluster_ip, str) else service.cluster_ip
    return tuple(_given_address(_name(service), text, ranges) for text in texts or ())


def _given_address(name: str, text: str, ranges: Sequence[_Addresses]) -> Ip:
    try:
        ip: Ip = ip_address(text)
    except ValueError:
        raise BadInput(
            f"The ClusterIP {shown(text)} of the Service {name} is no address."
        ) from None
    for one in ranges:
        if ip.version == one.network.version:
            one.take(name, ip)
            return ip
    raise BadInput(f"The ClusterIP {ip} of the Service {name} is of a family the cluster has not.")


def _allocated(
    service: Service, given: tuple[Ip, ...], ranges: Sequence[_Addresses]
) -> tuple[Ip, ...]:
    """What is given, and what is drawn: one ClusterIP, or of each family that lacks one."""
    if given and not service.dual_stack:
        return given
    if service.dual_stack and len(ranges) < 2:
        raise BadInput(
            f"The Service {_name(service)} is dual-stack, and the cluster has one service CIDR",
            "give it a second of the other family",
        )
    there = {ip.version for ip in given}
    lacking = (one for one in ranges[: 1 + service.dual_stack] if one.network.version not in there)
    return (*given, *(one.draw(_name(service)) for one in lacking))


@dataclass
class _Addresses:
    """The ClusterIPs of one service CIDR (pkg/registry/core/service/ipallocator).

    The network's own address is nobody's, nor the broadcast address of IPv4. There who names none
    gets a random one; here a hash of the Service's name chooses, so that it is the same each time.
    """

    network: Network
    owners: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return self.network.num_addresses - (2 if self.network.version == 4 else 1)

    def take(self, name: str, ip: Ip) -> None:
        offset = int(ip) - int(self.network[0])
        if not 1 <= offset <= self.last:
            raise BadInput(
                f"The ClusterIP {ip} of the Service {name} is not one of {self.network}, from "
                f"{self.network[1]} to {self.network[self.last]}."
            )
        if owner := self.owners.get(offset):
            raise BadInput(f"The ClusterIP {ip} of the Service {name} is that of {owner}.")
        self.owners[offset] = name

    def draw(self, name: str) -> Ip:
        band = service_band(self.network.num_addresses)
        ranges = (range(band + 1, self.last + 1), range(1, band + 1))
        offset = drawn(name, ranges, self.owners)
        if offset is None:
            raise BadInput(f"The service CIDR {self.network} has no address left for {name}.")
        self.owners[offset] = name
        return self.network[offset]


@dataclass
class _NodePorts:
    """The NodePorts of the cluster (pkg/registry/core/service/portallocator), drawn likewise.

    TCP and UDP of one number may be of two Services.
    """

    first: int
    last: int
    owners: dict[tuple[str, int], str] = field(default_factory=dict)

    def take_given(self, service: Service) -> None:
        for port in ports_of(service):
            if not port.node_port:
                continue
            if not self.first <= port.node_port <= self.last:
                raise BadInput(
                    f"The NodePort {port.node_port} of the Service {_name(service)} is not one of "
                    f"{self.first}-{self.last}."
                )
            key = (port.protocol, port.node_port)
            if owner := self.owners.get(key):
                raise BadInput(
                    f"The NodePort {port.node_port}/{port.protocol} of the Service "
                    f"{_name(service)} is that of {owner}."
                )
            self.owners[key] = _name(service)

    def of(self, service: Service, port: ServicePort) -> int:
        """The NodePort of a port; 0 where the Service has none."""
        everywhere = any(one.node_port for one in ports_of(service))
        if port.node_port or not (everywhere or service.type == "NodePort"):
            return port.node_port
        middle = self.first + port_band(self.last - self.first + 1)
        ranges = (range(middle, self.last + 1), range(self.first, middle))
        taken = {number for protocol, number in self.owners if protocol == port.protocol}
        number = drawn(f"{_name(service)}:{port.protocol}/{port.port}", ranges, taken)
        if number is None:
            raise BadInput(f"There is no NodePort left for the Service {_name(service)}.")
        self.owners[port.protocol, number] = _name(service)
        return number
