"""The names of a cluster and of the outside: what is known of them, and who answers for it.

Names are those of CoreDNS' plugin `kubernetes` with what kubeadm configures, findServices in
kubernetes.go and serviceRecordForIP in reverse.go: a Service's name is of its ClusterIPs, or of its
ready endpoints where it is headless; each endpoint has a name below it, which is its address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netlab.daemons import source
from netlab.plan.etc import CLUSTER_DOMAIN
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.processes import Daemon, File, Ready
from netlab.topology.dns import PORT
from netlab.topology.resolved import Ip, Layout, ServicePortSpec, ServiceSpec

NAME, OUTSIDE = "coredns", "dns"  # daemons: of the cluster's pod, and of the client outside
OUTSIDE_NAME = "external.example."
ZONE = f"{CLUSTER_DOMAIN}."
TTL = 30  # seconds, of kubeadm's Corefile
SCHEMA_VERSION = "1.1.0"  # of Kubernetes' DNS specification, the TXT of dns-version
_FULL_WEIGHT = 100  # of SRV records, which those of one name share
Records = dict[str, dict[str, list[str]]]  # by name and type, as zone files write them
EXPLAINS = (
    Says(
        f"daemon {NAME}",
        NETLAB,
        "In the place of CoreDNS: it answers for the names of Services and endpoints, and asks a "
        "resolver outside for others.",
        role="pod",
    ),
    Says(
        f"daemon {OUTSIDE}",
        NETLAB,
        "Stands for the resolver of a provider, which the cluster's DNS server asks.",
        role="external",
    ),
)


class _Record(NamedTuple):
    name: str
    type: str
    data: str


class _Target(NamedTuple):
    """An address that a Service's name leads to, and the name that an SRV record has for it."""

    name: str
    ip: Ip
    port: int


def server(layout: Layout) -> Daemon:
    """The cluster's DNS server."""
    outside = layout.external
    zone = {
        "zone": ZONE,
        "ttl": TTL,
        "forward": [str(outside.address)] if outside else [],
        "records": records(layout.services),
    }
    return _daemon(NAME, zone)


def outside(layout: Layout) -> Iterator[Daemon]:
    """The resolver outside, where the cluster has a server that may ask it."""
    client = layout.external
    if client and any(pod.dns for pod in layout.pods):
        every = [_address(OUTSIDE_NAME, ip) for ip in client.addresses]
        every += [_pointer(ip, OUTSIDE_NAME) for ip in client.addresses]
        zone = {"zone": ".", "ttl": TTL, "forward": [], "records": _collected(every)}
        yield _daemon(OUTSIDE, zone)


def records(services: Iterable[ServiceSpec]) -> Records:
    """What the cluster's server knows of Services."""
    version = _Record(f"dns-version.{ZONE}", "TXT", SCHEMA_VERSION)
    services = tuple(services)
    forward = [record for one in services for record in _of_service(one)]
    back = {
        record.name: [record]
        for one in services
        for ip in one.cluster_ips
        for record in [_pointer(ip, name_of(one))]
    }
    of_services = frozenset(back)  # what a Service's address leads to is that alone
    for one in services:
        for name, ip in _endpoints(one):
            record = _pointer(ip, name)
            if record.name not in of_services:
                back.setdefault(record.name, []).append(record)
    return _collected([version, *forward, *(record for own in back.values() for record in own)])


def name_of(service: ServiceSpec) -> str:
    """The full name of a Service, with the dot of the root at its end."""
    return f"{service.name}.{service.namespace}.svc.{ZONE}"


def _of_service(service: ServiceSpec) -> Iterator[_Record]:
    name = name_of(service)
    targets = {port: list(_targets(service, port)) for port in service.ports}
    every = [target for own in targets.values() for target in own]
    yield from (_address(name, target.ip) for target in every)
    yield from _services(name, every)
    for port, own in targets.items():
        if port.name:
            yield from _services(f"_{port.name}._{port.protocol.lower()}.{name}", own)
    for endpoint, ip in _endpoints(service):
        yield _address(endpoint, ip)


def _targets(service: ServiceSpec, port: ServicePortSpec) -> Iterator[_Target]:
    """Where a port of a Service leads by name: to its ClusterIPs, or ready endpoints."""
    name = name_of(service)
    for ip in service.cluster_ips:
        yield _Target(name, ip, port.port)
    if service.headless:
        for one in port.endpoints:
            if one.ready:
                yield _Target(f"{_label(one.address)}.{name}", one.address, one.port)


def _endpoints(service: ServiceSpec) -> Iterator[tuple[str, Ip]]:
    """The names of a Service's ready endpoints."""
    found = {one.address: None for port in service.ports for one in port.endpoints if one.ready}
    return ((f"{_label(ip)}.{name_of(service)}", ip) for ip in found)


def _services(name: str, targets: Iterable[_Target]) -> Iterator[_Record]:
    every = list(targets)
    for one in every:
        weight = max(_FULL_WEIGHT // len(every), 1)
        yield _Record(name, "SRV", f"0 {weight} {one.port} {one.name}")


def _label(ip: Ip) -> str:
    return str(ip).replace(".", "-").replace(":", "-")


def _address(name: str, ip: Ip) -> _Record:
    return _Record(name, "AAAA" if ip.version == 6 else "A", str(ip))


def _pointer(ip: Ip, name: str) -> _Record:
    return _Record(f"{ip.reverse_pointer}.", "PTR", name)


def _collected(every: Iterable[_Record]) -> Records:
    """Each record once."""
    found: Records = {}
    for one in dict.fromkeys(every):
        found.setdefault(one.name, {}).setdefault(one.type, []).append(one.data)
    return found


def _daemon(name: str, zone: object) -> Daemon:
    return Daemon(
        name=name,
        command=("python3", "{folder}/dns.py", "{folder}/zone.json", "{packages}"),
        files=(File("dns.py", source("dns")), File("zone.json", json.dumps(zone, indent=1) + "\n")),
        ready=Ready(tcp=PORT, udp=PORT),
        reloads=("zone.json",),
    )
