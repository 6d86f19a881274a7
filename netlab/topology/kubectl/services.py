"""Services with their ClusterIPs, ports and policies, and the endpoints that their slices name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from netlab.topology import dns, model
from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import (
    Dump,
    Endpoint,
    EndpointSlice,
    Pod,
    Service,
    ServicePort,
)
from netlab.topology.kubectl.places import Places, ips_of
from netlab.topology.node_servers import API_SERVICE
from netlab.topology.resolved import Ip
from netlab.topology.services import HEADLESS, LONGEST_AFFINITY

_PROXY_NAME = "service.kubernetes.io/service-proxy-name"
_AFFINITY = 10800  # seconds; DefaultClientIPServiceAffinitySeconds
_PROTOCOLS = ("TCP", "UDP")
_NO_SCTP = "without ports of SCTP, which no proxy here has"
_NO_BALANCER = "without addresses of load balancers, of which a lab has none"
_NAMES = ("UDP", dns.PORT, dns.PORT)  # protocol, port and target port of a Service for names
Policy = Literal["Cluster", "Local"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is behind a Service: a pod with a network of its own, or a node."""

    name: str
    node: bool
    pod: Pod | None
    serving: bool = True
    terminating: bool = False


@dataclass(slots=True)
class Behind:
    """All that is behind a Service, and on which port by the names of the Service's ports."""

    targets: dict[str, Target] = field(default_factory=dict)
    numbers: dict[str, Counter[int]] = field(default_factory=dict)


class Services:
    """The Services of a dump as a topology has them; `wanted` are ports they need of pods.

    `dns` are the pods that are asked for names, in which netlab's server can be.
    """

    def __init__(self, dump: Dump, places: Places, families: Sequence[int], notes: Notes) -> None:
        self._notes, self._families, self._places = notes, families, places
        self._pods = {pod.full_name: pod for node in places.nodes for pod, _ in node.pods}
        self._at: dict[Ip, Target] = {}
        for node in places.nodes:
            self._at |= {ip: Target(node.name, True, None) for ip in node.addresses}
            for pod, ips in node.pods:
                self._at |= {ip: Target(pod.name, False, pod) for ip in ips}
        own = [(pod, Target(pod.name, False, pod)) for pod in self._pods.values()]
        hosts = [(pod, Target(node, True, pod)) for pod, node in places.hosts.values()]
        self._labelled: dict[tuple[str, str, str], list[tuple[Pod, Target]]] = {}
        for each in (*own, *hosts):
            for key, value in each[0].metadata.labels.items():
                self._labelled.setdefault((each[0].namespace, key, value), []).append(each)
        self._slices: dict[str, list[EndpointSlice]] = {}
        for one in dump.of(EndpointSlice):
            self._slices.setdefault(one.service, []).append(one)
        self.wanted: dict[str, dict[int, None]] = {}
        self.dns: set[str] = set()
        self.services = tuple(self._all(dump.of(Service)))

    def _all(self, services: Sequence[Service]) -> list[model.Service]:
        left: dict[str, list[str]] = {}
        kept, found = [], []
        for one in services:
            if why := self._left_out(one):
                left.setdefault(why, []).append(one.full_name)
            else:
                kept.append(one)
                found.append(self._service(one))
        for why, names in left.items():
            self._notes.left_out(names, "Service", why)
        for lacks, how in ((_has_other_ports, _NO_SCTP), (_has_balancer, _NO_BALANCER)):
            self._notes.are([one.full_name for one in kept if lacks(one)], "Service", how)
        api = any(f"{one.namespace}/{one.name}" == API_SERVICE for one in found)
        if found and not api and (control := self._control_plane()):
            found.insert(0, _api(control))
        return found

    def _left_out(self, one: Service) -> str:
        if one.spec.type == "ExternalName":
            return "of type ExternalName, a matter of DNS alone"
        if _PROXY_NAME in one.metadata.labels:
            return f"labelled {_PROXY_NAME}, which is for another proxy"
        if one.spec.cluster_ip != HEADLESS and not _ports(one):
            return "without a port of TCP or UDP"
        ips = ips_of(one.spec.cluster_ips or ())
        if ips and not any(ip.version in self._families for ip in ips):
            return "of a family that pods have not"
        return ""

    def _control_plane(self) -> str:
        """The first node of the control plane; empty where none is marked."""
        return next((node.name for node in self._places.nodes if node.control_plane), "")

    def _service(self, one: Service) -> model.Service:
        spec, behind = one.spec, self._behind(one)
        targets = behind.targets.values()
        headless = spec.cluster_ip == HEADLESS
        outside = spec.type in ("NodePort", "LoadBalancer") and not headless
        ports = tuple(self._port(one, port, behind, outside) for port in _ports(one))
        outside = outside and any(port.node_port for port in ports)
        external = tuple(spec.external_ips or ()) if not headless else ()
        if one.full_name == API_SERVICE:
            self._of_api(behind)
            targets = behind.targets.values()
        self._want(targets, ports)
        if one.namespace == dns.NAMESPACE and _answers_names(ports):
            labelled = (target.pod for target in targets if target.pod and _is_dns(target.pod))
            self.dns |= {pod.full_name for pod in labelled}
        selector, pods = self._chosen(one, targets)
        return model.Service(
            name=one.name,
            namespace=one.namespace or "default",
            ports=ports,
            selector=selector,
            pods=pods,
            nodes=tuple(target.name for target in targets if target.node),
            type="NodePort" if outside else "ClusterIP",
            cluster_ip=HEADLESS if headless else self._cluster_ip(one),
            affinity=0 if headless else _affinity(spec),
            external_traffic_policy=_policy(spec.external_traffic_policy, outside or external),
            internal_traffic_policy=_policy(spec.internal_traffic_policy, True),
            external_ips=external,
            unready=tuple(target.name for target in targets if not target.serving),
            terminating=tuple(target.name for target in targets if target.terminating),
            publish_not_ready=spec.publish_not_ready_addresses,
        )

    def _cluster_ip(self, one: Service) -> str | tuple[str, ...] | None:
        texts = one.spec.cluster_ips or [one.spec.cluster_ip or ""]
        ips = [ip for ip in ips_of(texts) if ip.version in self._families]
        return tuple(map(str, ips)) or None

    def _port(
        self, one: Service, port: ServicePort, behind: Behind, outside: bool
    ) -> model.ServicePort:
        name = port.name or ""
        numbers = behind.numbers.get(name) or Counter()
        if len(numbers) > 1:
            self._notes.say(
                f"The endpoints of {one.full_name} have port {name or port.port} at several "
                f"numbers: {numbers.most_common(1)[0][0]} is taken for all."
            )
        text = str(port.target_port or "")
        fixed = int(text) if text.isdecimal() else 0
        chosen = numbers.most_common(1)[0][0] if numbers else fixed
        protocol: Literal["TCP", "UDP"] = "UDP" if port.protocol == "UDP" else "TCP"
        node_port = (port.node_port or 0) if outside else 0
        return model.ServicePort(port.port, chosen or port.port, protocol, node_port, name)

    def _behind(self, one: Service) -> Behind:
        """By its slices; by its selector where the files have none of it."""
        behind = Behind()
        strange: list[str] = []
        for of_service in self._slices.get(one.full_name, ()):
            for endpoint in of_service.endpoints or ():
                found = [self._at[ip] for ip in ips_of(endpoint.addresses or ()) if ip in self._at]
                if found:
                    behind.targets[found[0].name] = _with_conditions(found[0], endpoint)
                    for port in of_service.ports or ():
                        if port.port:
                            name = port.name or ""
                            behind.numbers.setdefault(name, Counter())[port.port] += 1
                elif of_service.address_type in (None, "IPv4"):
                    strange += endpoint.addresses or ()
        if strange:
            self._notes.say(
                f"The endpoint {strange[0]} of the Service {one.full_name} is no pod or node of "
                f"the files: {'it is' if len(strange) == 1 else f'{len(strange)} such are'} "
                "left out."
            )
        if one.full_name not in self._slices and one.spec.selector:
            self._select(one, behind)
        return behind

    def _select(self, one: Service, behind: Behind) -> None:
        for pod, target in self._selected(one):
            ready = {c.type: c.status for c in pod.status.conditions or ()}.get("Ready", "True")
            leaving = pod.metadata.deletion_timestamp is not None
            behind.targets[target.name] = Target(
                target.name, target.node, None if target.node else pod, ready == "True", leaving
            )
            for port in _ports(one):
                if number := _named_port(pod, port):
                    behind.numbers.setdefault(port.name or "", Counter())[number] += 1

    def _selected(self, one: Service) -> list[tuple[Pod, Target]]:
        """What its selector matches; one of its labels says among which."""
        if not (selector := one.spec.selector or {}):
            return []
        key, value = next(iter(selector.items()))
        among = self._labelled.get((one.namespace, key, value), ())
        return [each for each in among if selector.items() <= each[0].metadata.labels.items()]

    def _of_api(self, behind: Behind) -> None:
        """The API server is on nodes; where the files do not say on which, on the first master."""
        if not any(target.node for target in behind.targets.values()):
            name = self._control_plane() or self._places.nodes[0].name
            behind.targets = {name: Target(name, True, None)}
            behind.numbers.setdefault("https", Counter())[6443] += 1
            self._notes.say(
                f"The endpoints of {API_SERVICE} are not in the files: {name} on port 6443 is "
                "assumed."
            )

    def _want(self, targets: Iterable[Target], ports: Sequence[model.ServicePort]) -> None:
        for target in targets:
            if target.pod is not None:
                wanted = self.wanted.setdefault(target.pod.full_name, {})
                wanted |= dict.fromkeys(port.target_port for port in ports)

    def _chosen(
        self, one: Service, targets: Iterable[Target]
    ) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
        """Its selector, where that finds what is behind it; else the pods' names."""
        names = [target.name for target in targets if target.pod is not None]
        if not one.spec.selector or one.full_name == API_SERVICE:
            return (), tuple(names)
        matching = {pod.name for pod, target in self._selected(one) if not target.node}
        if matching == set(names):
            return tuple(f"{key}={value}" for key, value in one.spec.selector.items()), None
        self._notes.say(
            f"The endpoints of the Service {one.full_name} are not the pods that its selector "
            "matches: those of its EndpointSlices are taken, by their names."
        )
        return (), tuple(names)


def _api(node: str) -> model.Service:
    namespace, _, name = API_SERVICE.partition("/")
    https = model.ServicePort(443, 6443, name="https")
    return model.Service(name, namespace=namespace, pods=(), nodes=(node,), ports=(https,))


def _with_conditions(target: Target, endpoint: Endpoint) -> Target:
    """What is not said of an endpoint is that it is ready (discovery/v1, EndpointConditions)."""
    found = endpoint.conditions
    ready = found is None or found.ready is not False
    terminating = found is not None and found.terminating is True
    serving = ready if found is None or found.serving is None else found.serving
    return Target(target.name, target.node, target.pod, serving, terminating)


def _ports(one: Service) -> list[ServicePort]:
    return [port for port in one.spec.ports or () if (port.protocol or "TCP") in _PROTOCOLS]


def _has_other_ports(one: Service) -> bool:
    return len(_ports(one)) < len(one.spec.ports or ())


def _has_balancer(one: Service) -> bool:
    balancer = one.status.load_balancer
    return balancer is not None and any(each.ip for each in balancer.ingress or ())


def _answers_names(ports: Iterable[model.ServicePort]) -> bool:
    return any((port.protocol, port.port, port.target_port) == _NAMES for port in ports)


def _is_dns(pod: Pod) -> bool:
    key, _, value = dns.LABEL.partition("=")
    return pod.metadata.labels.get(key) == value


def _named_port(pod: Pod, port: ServicePort) -> int:
    """The number of a port that a Service calls by its name in the pod; 0 where there is none."""
    target = port.target_port
    if target is None or isinstance(target, int) or target.isdecimal():
        return int(target or port.port)
    for container in pod.spec.containers or ():
        for own in container.ports or ():
            if own.name == target and (own.protocol or "TCP") == (port.protocol or "TCP"):
                return own.container_port
    return 0


def _affinity(spec: object) -> int:
    if getattr(spec, "session_affinity", None) != "ClientIP":
        return 0
    config = getattr(spec, "session_affinity_config", None)
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return min(seconds or _AFFINITY, LONGEST_AFFINITY)


def _policy(value: str | None, has_effect: object) -> Policy:
    return "Local" if value == "Local" and has_effect else "Cluster"
