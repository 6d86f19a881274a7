"""Services: from pods, nodes and outside, who answers, how evenly, and under which address.

In a small lab every port is asked at every node; else as far as a number of connections goes, at
each port's first node before any port's second one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import count
from typing import Any, ClassVar, NamedTuple

from netlab.plan.probing.actions import Application, Echo, Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import NoReply, Refused, Reply
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.plan.probing.service_paths import (
    Client,
    Entry,
    Path,
    ServicePort,
    path,
    responder,
)
from netlab.plan.probing.serving import Dropped, NotServed
from netlab.plan.proxy import Proxy
from netlab.probe.scenarios.connections import FEW, Budget, itself, served
from netlab.topology.endpoints import open_outside
from netlab.topology.resolved import Ip, NodeSpec, PodSpec, ServiceSpec

_FROM_PODS, _FROM_NODES, _FROM_OUTSIDE = 4000, 1500, 1500  # connections
_NO_SUCH_PORT = "no Service has the port"


class Place(NamedTuple):
    """A port and a node at which it is asked; `number` is for what is taken in turn.

    `first` is whether it is the port's first node.
    """

    asked: ServicePort
    node: NodeSpec
    number: int
    first: bool


class PodToService(Scenario):
    """At each node a pod that is an endpoint itself, and one that is none: ClusterIP, external IPs,
    and NodePorts of its own node and another.
    """

    kind: ClassVar[Kind] = "pod-service"

    def applies(self, lab: Lab) -> str | None:
        if lab.proxy is None:
            return "nothing on the nodes handles Services"
        return None if lab.layout.pods else "there are no pods"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        asker = _Asker(lab, self.kind, _FROM_PODS)
        for asked, node, number, _ in _places(lab):
            own, other = _pods(lab, number, asked, node)
            if own:
                yield from asker.ask(own, asked, _cluster_ip(asked, node), number, even=True)
            if other:
                even = own is None
                yield from asker.ask(other, asked, _cluster_ip(asked, node), number, even=even)
            if pod := own or other:
                for entry in _outside_entries(lab, number, asked, node):
                    yield from asker.ask(pod, asked, entry, number)


class NodeToService(Scenario):
    """Each node: ClusterIP, external IPs, and NodePorts, at its loopback address too."""

    kind: ClassVar[Kind] = "node-service"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        asker = _Asker(lab, self.kind, _FROM_NODES)
        for asked, node, number, _ in _places(lab):
            yield from asker.ask(node, asked, _cluster_ip(asked, node), number)
            for entry in (
                *_outside_entries(lab, number, asked, node),
                *_loopback(asked, node),
            ):
                yield from asker.ask(node, asked, entry, number)


class ExternalToService(Scenario):
    """The client outside: every node's NodePort."""

    kind: ClassVar[Kind] = "external-service"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        external = lab.layout.external
        asker = _Asker(lab, self.kind, _FROM_OUTSIDE)
        for asked, node, number, first in _places(lab):
            if external and asked.port.node_port:
                # With policy Cluster a node's NodePort leads to what its ClusterIP leads to.
                even = first or asked.service.external_policy == "Local"
                yield from asker.ask(external, asked, _node_port(asked, node), number, even=even)


class OnlyItsPorts(Scenario):
    """What a ClusterIP does with a ping, and with a port that it has not, is the proxy's word."""

    kind: ClassVar[Kind] = "negative"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        seen: set[tuple[str, bool]] = set()
        for asked, node, _, _ in _places(lab):
            if node.pods and lab.proxy and (node.name, asked.ipv6) not in seen:
                seen.add((node.name, asked.ipv6))
                yield _ping(lab.proxy, node.pods[0], asked)
                yield _other_port(lab.proxy, node.pods[0], asked)


def _ping(proxy: Proxy, pod: PodSpec, asked: ServicePort) -> Probe[Echo]:
    ends = pod.name, str(asked.cluster_ip)
    if not proxy.no_ping:
        return Probe("pod-service", pod.name, asked.name, Echo(*ends), Reply())
    echo = Echo(*ends, wanted=False)
    return Probe("negative", pod.name, asked.name, echo, NoReply(proxy.no_ping))


def _other_port(proxy: Proxy, pod: PodSpec, asked: ServicePort) -> Probe[Request]:
    known = {port.port for port in asked.service.ports}
    other = next(number for number in count(1) if number not in known)
    request = Request(pod.name, str(asked.cluster_ip), other, "tcp", wanted=False)
    expectation = Refused(_NO_SUCH_PORT) if proxy.refuses_other_ports else NotServed(_NO_SUCH_PORT)
    return Probe("negative", pod.name, asked.name, request, expectation)


class _Asker:
    """Turns what a client should come to into probes, as long as there are connections left."""

    def __init__(self, lab: Lab, kind: Kind, connections: int) -> None:
        self.lab = lab
        self.kind = kind
        self.budget = Budget(connections)

    def ask(
        self, client: Client, asked: ServicePort, entry: Entry, number: int, *, even: bool = False
    ) -> Iterator[Probe[Any]]:
        proxy = self.lab.proxy
        if proxy is None or not self.budget.left:
            return
        found = path(self.lab, proxy, client, entry, asked)
        if found is None:
            return
        request = Request(
            client.name,
            str(entry.address),
            entry.port,
            _application(asked, number),
            wanted=found.dropped is None and found.lost is None,
        )
        ends = client.name, asked.name
        if not found.seen:
            self.budget.take(1)
            yield _not_served(ends, request, found)
            return
        kept = bool(asked.service.affinity)
        few = FEW if entry.kind == "ClusterIP" else FEW // 2
        probe = served(
            self.kind, ends, request, found.seen, self.budget, kept=kept, even=even, few=few
        )
        yield probe
        if isinstance(client, PodSpec) and (by := _own(self.lab, client, asked)) in found.seen:
            yield from itself(probe, by, found.seen[by])


def _not_served(ends: tuple[str, str], request: Request, found: Path) -> Probe[Request]:
    if found.lost:
        return Probe("negative", *ends, request, NotServed(found.lost))
    if found.dropped:
        return Probe("negative", *ends, request, Dropped(found.dropped))
    refused: Probe[Request] = Probe("negative", *ends, request, Refused(found.refused or ""))
    return Probe("negative", *ends, request, refused.expectation, again=refused)


def _own(lab: Lab, pod: PodSpec, asked: ServicePort) -> str:
    """How a pod names itself as an endpoint; empty where it is none."""
    endpoints = asked.port.of_family(asked.ipv6)
    return next((responder(lab, one) or "" for one in endpoints if one.target == pod.name), "")


def _application(asked: ServicePort, number: int) -> Application:
    if asked.port.protocol == "UDP":
        return "udp"
    return "http" if number % 2 else "tcp"


def _places(lab: Lab) -> Iterator[Place]:
    """Every port at one node, the nodes in turn; then every port at another, and so on."""
    ports = [] if lab.proxy is None else _ports(lab.layout.services)
    nodes = lab.layout.nodes
    for turn in range(len(nodes)):
        for index, asked in enumerate(ports):
            number = turn + index
            yield Place(asked, nodes[number % len(nodes)], number, first=turn == 0)


def _ports(services: Sequence[ServiceSpec]) -> list[ServicePort]:
    return [
        ServicePort(service, port, ip.version == 6)
        for service in services
        for ip in service.cluster_ips
        for port in service.ports
    ]


def _pods(
    lab: Lab, number: int, asked: ServicePort, node: NodeSpec
) -> tuple[PodSpec | None, PodSpec | None]:
    """Of a node's pods one that is an endpoint, and one that is none, in turn."""
    targets = {one.target for one in asked.port.endpoints}
    behind = [pod for pod in node.pods if pod.name in targets]
    others = [pod for pod in node.pods if pod.name not in targets]
    return _in_turn(behind, number), _in_turn(others, number)


def _in_turn(pods: Sequence[PodSpec], number: int) -> PodSpec | None:
    return pods[number % len(pods)] if pods else None


def _cluster_ip(asked: ServicePort, node: NodeSpec) -> Entry:
    return Entry(asked.cluster_ip, asked.port.port, node, "ClusterIP")


def _node_port(asked: ServicePort, node: NodeSpec, ip: Ip | None = None) -> Entry:
    return Entry(ip or address(node, asked.ipv6), asked.port.node_port, node, "NodePort")


def _outside_entries(lab: Lab, number: int, asked: ServicePort, node: NodeSpec) -> Iterator[Entry]:
    """External IPs, and the NodePort at a node and at another one, as they are asked from it."""
    if not open_outside(asked.service, asked.port):
        return
    for ip in asked.service.external_ips:
        if (ip.version == 6) is asked.ipv6:
            yield Entry(ip, asked.port.port, node, "external IP")
    if asked.port.node_port:
        yield _node_port(asked, node)
        others = lab.layout.others(node)
        if others:
            yield _node_port(asked, others[number % len(others)])


def _loopback(asked: ServicePort, node: NodeSpec) -> Iterator[Entry]:
    """Of IPv4: no mode serves ::1, and what a client then sees is nobody's word."""
    if asked.port.node_port and not asked.ipv6:
        yield _node_port(asked, node, ip_address("127.0.0.1"))
