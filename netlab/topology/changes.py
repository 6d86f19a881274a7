"""Services changed at run time: from a layout to the one with other Services. Pure.

Endpoints come and go as those of a Deployment that is scaled: as a ReplicaSet it takes pods away
where several are on one node (ActivePodsWithRanks in Kubernetes' pkg/controller), and a scheduler
puts new ones where there are fewest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from netlab.errors import BadInput, shown, unknown
from netlab.topology.model import Service, ServicePort
from netlab.topology.resolved import EndpointSpec, Layout, PodSpec, ServiceSpec
from netlab.topology.selecting import matching
from netlab.topology.services import (
    HEADLESS,
    KUBERNETES,
    refuse_without_ports,
    resolve_services,
    with_endpoints,
)

NONE: Mapping[str, int] = MappingProxyType({})


def scaled(layout: Layout, name: str, count: int) -> Layout:
    """The Service `name` with so many of the pods that it selects as endpoints, 0 too.

    Those that were added to it by hand count too. Raises BadInput for more than there are.
    """
    service = _with_ports(layout, name)
    if count < 0:
        raise BadInput(f"The Service {service.full_name} cannot have {count} endpoints.")
    now = _pods_behind(layout, service)
    able = {pod.name for pod in (*matching(layout.pods, service), *now)}
    pods = [pod for pod in layout.pods if pod.name in able]
    if count > len(pods):
        raise BadInput(
            f"The Service {service.full_name} can have {len(pods)} endpoints, not {count}: so many "
            f"pods are {_how(service)}",
            _remedy(service),
        )
    return _with_pods(layout, service, _dealt(now, pods, count))


def with_endpoint(layout: Layout, name: str, pod: str) -> Layout:
    """The pod as an endpoint too, whether or not the Service selects it. Raises BadInput."""
    service = _with_ports(layout, name)
    added, now = _pod(layout, service, pod), _pods_behind(layout, service)
    if added in now:
        raise BadInput(f"{added.name} is an endpoint of the Service {service.full_name} already.")
    return _with_pods(layout, service, [*now, added])


def without_endpoint(layout: Layout, name: str, pod: str) -> Layout:
    """The Service without that endpoint. Raises BadInput where it has no such one."""
    service = _with_ports(layout, name)
    removed, now = _pod(layout, service, pod), _pods_behind(layout, service)
    if removed not in now:
        names = ", ".join(one.name for one in now) or "none"
        raise BadInput(
            f"{removed.name} is no endpoint of the Service {service.full_name}",
            f"its endpoints are: {names}",
        )
    return _with_pods(layout, service, [one for one in now if one != removed])


def with_service(layout: Layout, service: Service) -> Layout:
    """One Service more, its address and NodePorts allocated beside the others'. Raises BadInput.

    It is the same that it would be in a topology with the others' addresses given.
    """
    name = f"{service.namespace}/{service.name}"
    if any(name == one.full_name for one in layout.services):
        raise BadInput(f"There is a Service {name} already", "remove it first, or name another")
    others = [_as_given(one) for one in layout.services if not _is_api(one)]
    *_, new = resolve_services(
        [*others, service], layout.nodes, layout.service_cidrs, layout.node_port_range
    )
    return replace(layout, services=(*layout.services, new))


def without_service(layout: Layout, name: str) -> Layout:
    """The layout without a Service. Raises BadInput."""
    gone = _changeable(layout, name)
    return replace(layout, services=tuple(one for one in layout.services if one is not gone))


def named(services: Sequence[ServiceSpec], name: str) -> ServiceSpec:
    """The Service that `NAME` or `NAMESPACE/NAME` means. Raises BadInput."""
    found = [one for one in services if name in (one.name, one.full_name)]
    if len(found) > 1:
        which = ", ".join(one.full_name for one in found)
        raise BadInput(f"Several Services are named {shown(name)}", f"say which: {which}")
    if not found:
        known = [one.full_name if "/" in name else one.name for one in services]
        raise unknown("Service", name, dict.fromkeys(known))
    return found[0]


def _changeable(layout: Layout, name: str) -> ServiceSpec:
    service = named(layout.services, name)
    if _is_api(service):
        raise BadInput(
            f"The Service {service.full_name} is that of the API server, and cannot be changed."
        )
    return service


def _with_ports(layout: Layout, name: str) -> ServiceSpec:
    service = _changeable(layout, name)
    if not service.ports:
        raise BadInput(f"The Service {service.full_name} has no port, and so no endpoints.")
    return service


def _is_api(service: ServiceSpec) -> bool:
    return (service.namespace, service.name) == (KUBERNETES.namespace, KUBERNETES.name)


def _as_given(service: ServiceSpec) -> Service:
    """A Service as a topology would give it all that was allocated for it; without endpoints."""
    ports = [
        ServicePort(
            port.port,
            port.target_port,
            "UDP" if port.protocol == "UDP" else "TCP",
            port.node_port,
            port.name,
        )
        for port in service.ports
    ]
    return Service(
        service.name,
        namespace=service.namespace,
        cluster_ip=HEADLESS if service.headless else tuple(map(str, service.cluster_ips)),
        ports=tuple(ports),
        pods=(),
    )


def _pods_behind(layout: Layout, service: ServiceSpec) -> list[PodSpec]:
    targets = {one.target for port in service.ports for one in port.endpoints}
    return [pod for pod in layout.pods if pod.name in targets]


def _pod(layout: Layout, service: ServiceSpec, name: str) -> PodSpec:
    """A pod of the Service's namespace, as `NAME` or `NAMESPACE/NAME`. Raises BadInput."""
    pods = [pod for pod in layout.pods if pod.namespace == service.namespace]
    for pod in pods:
        if name in (pod.own_name, f"{pod.namespace}/{pod.own_name}"):
            return pod
    raise unknown(f"pod for the Service {service.full_name}", name, [pod.own_name for pod in pods])


def _how(service: ServiceSpec) -> str:
    if service.chosen is not None:
        return "named by it"
    return f"selected by {','.join(service.selector)}" if service.selector else "in its namespace"


def _remedy(service: ServiceSpec) -> str:
    if service.chosen is not None:
        return f"`netlab endpoint add {service.full_name} POD` adds another"
    if service.selector:
        return f"give more pods these labels, or `netlab endpoint add {service.full_name} POD`"
    return "`netlab up TOPOLOGY --pods-per-node N` makes more"


def _dealt(now: Iterable[PodSpec], pods: Iterable[PodSpec], count: int) -> list[PodSpec]:
    """So many of `pods`, with those that are endpoints `now` as far as they are wanted."""
    kept = _by_turns(now)[:count]
    names = {pod.name for pod in kept}
    loads = Counter(pod.node for pod in kept)
    new = _by_turns((pod for pod in pods if pod.name not in names), loads)
    return kept + new[: count - len(kept)]


def _by_turns(pods: Iterable[PodSpec], loads: Mapping[str, int] = NONE) -> list[PodSpec]:
    """Pods in the order in which they are dealt: always from the node that has fewest by then."""
    loads = Counter(loads)
    turns = []
    for pod in pods:
        turns.append((loads[pod.node], pod))
        loads[pod.node] += 1
    return [pod for _, pod in sorted(turns, key=lambda turn: turn[0])]


def _with_pods(layout: Layout, service: ServiceSpec, pods: Iterable[PodSpec]) -> Layout:
    """The Service with the pods as its endpoints, in the nodes' order; a new one is ready."""
    known = {one.address: one for port in service.ports for one in port.endpoints}
    families: set[int] = {one.version for one in service.cluster_ips or layout.service_cidrs}
    wanted = {pod.name for pod in pods}
    endpoints: list[EndpointSpec] = []
    for pod in (pod for pod in layout.pods if pod.name in wanted):
        own = [ip for ip in pod.addresses if ip.version in families]
        if not known.keys() & own:
            refuse_without_ports(
                service.full_name, [port.target_port for port in service.ports], pod
            )
        endpoints += [known.get(ip) or EndpointSpec(ip, 0, pod.name, pod.node) for ip in own]
    ports = tuple(with_endpoints(port, endpoints) for port in service.ports)
    changed = replace(service, ports=ports)
    every = (changed if one is service else one for one in layout.services)
    return replace(layout, services=tuple(every))
