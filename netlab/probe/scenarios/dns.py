"""Names: pods ask the cluster's DNS server by its ClusterIP, as their resolver does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from netlab.plan.dns import OUTSIDE_NAME, ZONE, name_of
from netlab.plan.probing.check import Kind
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.lookup import NO_ERROR, NO_SUCH_NAME, Lookup, Resolves
from netlab.plan.probing.sample import MESH_NODES, Sample, evenly_spaced
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.plan.probing.service_paths import ServicePort
from netlab.topology.dns import PORT, asked
from netlab.topology.endpoints import reached
from netlab.topology.resolved import NodeSpec, PodSpec, ServicePortSpec, ServiceSpec

_NOBODYS = f"no-such-service.default.svc.{ZONE}"
_OTHER_NAME = "no-such-name.example."
# Answers of more addresses may be cut, so that a client asks again by TCP: 16 bytes each.
_FITS = 60


class Question(NamedTuple):
    """A name, and what is to be the answer."""

    name: str
    record: Literal["A", "AAAA"]
    addresses: frozenset[str] = frozenset()
    code: str = NO_ERROR


class Names(Scenario):
    """Each node's first pod: the API server's name, others in turn, a name outside, and one that
    nobody has. By TCP from one pod.
    """

    kind: ClassVar[Kind] = "pod-service"

    def applies(self, lab: Lab) -> str | None:
        if not lab.proxy or not any(pod.dns for pod in lab.layout.pods):
            return None  # there is nothing to be asked, as in most labs
        return None if _service(lab) else "no DNS server of netlab's is behind kube-dns"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        service = _service(lab)
        if service is None:
            return
        server = next(pod for pod in lab.layout.pods if pod.dns)
        nodes = [node for node in lab.layout.nodes if _asks(lab, node, server)]
        for number, node in enumerate(evenly_spaced(nodes, MESH_NODES)):
            for question in _questions(lab, number, server):
                yield _probe(node.pods[0], service, question, "udp")
            if number == 0:
                yield _probe(node.pods[0], service, _of_api(lab), "tcp")


def _service(lab: Lab) -> ServiceSpec | None:
    """kube-dns as netlab has it: behind its ports for names netlab's servers, and nothing else."""
    servers = {pod.name for pod in lab.layout.pods if pod.dns}
    service = asked(lab.layout.services, servers)
    if service is None or service.cluster_ips[:1] != (lab.layout.nameserver,):
        return None
    ipv6 = service.cluster_ips[0].version == 6
    ports = _ports(service)
    if len(ports) < 2:
        return None
    for port in ports.values():
        ends = reached(service, port, lab.layout.nodes[0].name, ipv6).cluster
        if {one.target for one in ends} != servers:
            return None
    return service


def _ports(service: ServiceSpec) -> dict[str, ServicePortSpec]:
    """Those of names, by their protocols; a Service for CoreDNS has one of metrics too."""
    return {port.protocol.lower(): port for port in service.ports if port.port == PORT}


def _asks(lab: Lab, node: NodeSpec, server: PodSpec) -> bool:
    return bool(node.pods) and lab.unreachable(node.name, server.node) is None


def _probe(
    pod: PodSpec, service: ServiceSpec, question: Question, spoken: Literal["udp", "tcp"]
) -> Probe[Lookup]:
    ip = service.cluster_ips[0]
    target = ServicePort(service, _ports(service)[spoken], ip.version == 6).name
    lookup = Lookup(pod.name, str(ip), question.name, question.record, spoken)
    expectation = Resolves(question.addresses, question.code)
    return Probe("pod-service", pod.name, target, lookup, expectation)


def _questions(lab: Lab, number: int, server: PodSpec) -> Iterator[Question]:
    yield _of_api(lab)
    services = [one for one in lab.layout.services[1:] if _addresses(one)]
    for headless in (False, True):
        if own := [one for one in services if one.headless is headless]:
            service = own[number % len(own)]
            yield _question(service, "A")
            yield _question(service, "AAAA")
    yield Question(_NOBODYS, "A", code=NO_SUCH_NAME)
    external = lab.layout.external
    if external and lab.unanswered(server, external, external.address.version == 6) is None:
        own_ips = frozenset(str(ip) for ip in external.addresses if ip.version == 4)
        yield Question(OUTSIDE_NAME, "A", own_ips)
        yield Question(_OTHER_NAME, "A", code=NO_SUCH_NAME)


def _of_api(lab: Lab) -> Question:
    return _question(lab.layout.services[0], "A")


def _question(service: ServiceSpec, record: Literal["A", "AAAA"]) -> Question:
    ipv6 = record == "AAAA"
    found = {str(ip) for ip in _addresses(service) if (ip.version == 6) is ipv6}
    return Question(name_of(service), record, frozenset(found))


def _addresses(service: ServiceSpec) -> Sequence[Any]:
    """What its name leads to; nothing where that is too much for one datagram."""
    if not service.headless:
        return service.cluster_ips
    found = {one.address for port in service.ports for one in port.endpoints if one.ready}
    return list(found) if len(found) <= _FITS else []
