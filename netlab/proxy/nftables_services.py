"""What Services put into kube-proxy's nftables table: elements, chains, affinity sets.

Follows syncProxyRules in Kubernetes' pkg/proxy/nftables/proxier.go, in both of its forms: 1.36
chooses an endpoint and translates to it in one rule, and knows who asks itself by a set; before, it
had a chain for each endpoint, and still has one where a client keeps its endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from netlab.plan.rulesets import Chain, Set
from netlab.proxy.nftables_names import (
    MARK,
    Family,
    commented,
    endpoint_base,
    port_base,
)
from netlab.topology.endpoints import Reached, open_outside, reached
from netlab.topology.resolved import EndpointSpec, ServicePortSpec, ServiceSpec, of_family

Version = Literal["1.36", "1.35"]
MARK_CHAIN = "mark-for-masquerade"
REJECT = "goto reject-chain"


@dataclass(frozen=True, slots=True)
class Form:
    """How a node's rules are written: which version's, and how it knows its own pods.

    `local` and `remote` match what is from a pod of the node and what is not; empty where
    kube-proxy has no way to tell.
    """

    family: Family
    version: Version
    local: str
    remote: str
    masquerade_all: bool

    @property
    def mark(self) -> str:
        return MARK if self.version == "1.36" else f"jump {MARK_CHAIN}"

    def of_cluster_ip(self, match: str) -> str | None:
        """The rule that marks what is asked of a ClusterIP; None where nothing is marked."""
        if self.masquerade_all:
            return f"{match} {self.mark}"
        return f"{match} {self.remote} {self.mark}" if self.remote else None


@dataclass(slots=True)
class Contents:
    """What all Services of one family put into the table, each element by its key."""

    cluster_ips: dict[str, None] = field(default_factory=dict)
    hairpins: dict[str, None] = field(default_factory=dict)
    service_ips: dict[str, str] = field(default_factory=dict)
    node_ports: dict[str, str] = field(default_factory=dict)
    no_endpoint_services: dict[str, tuple[str, str]] = field(default_factory=dict)
    no_endpoint_node_ports: dict[str, tuple[str, str]] = field(default_factory=dict)
    affinity: list[Set] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)


def contents(services: Sequence[ServiceSpec], node: str, form: Form) -> Contents:
    """What the Services put into the table of a node."""
    result = Contents()
    for service in services:
        cluster_ip = of_family(service.cluster_ips, form.family.ipv6)
        if cluster_ip is None:  # headless, or of the other family alone
            continue
        for port in service.ports:
            ends = reached(service, port, node, form.family.ipv6)
            _Port(service, port, ends, str(cluster_ip), form).put(result)
    return result


@dataclass(frozen=True, slots=True)
class _Port:
    """One port of a Service, with the endpoints that the node reaches."""

    service: ServiceSpec
    port: ServicePortSpec
    ends: Reached
    cluster_ip: str
    form: Form

    def put(self, into: Contents) -> None:
        into.cluster_ips[self.cluster_ip] = None
        self._put_elements(into)
        if self.form.version == "1.36":
            proto = self.protocol
            for one in self.ends.all:
                into.hairpins[f"{one.address} . {one.address} . {proto} . {one.port}"] = None
        if self.service.affinity:
            into.affinity += [self._affinity_set(one) for one in self.ends.all]
        into.chains += self._chains()

    @property
    def protocol(self) -> str:
        return self.port.protocol.lower()

    @property
    def internal(self) -> bool:
        """Whether what is asked of the ClusterIP can be answered from this node."""
        return bool(self.ends.local) if self._internal_local else self.ends.any

    @property
    def external(self) -> bool:
        """Whether what comes from outside can be answered from this node."""
        return bool(self.ends.local) if self._external_local else self.ends.any

    @property
    def _internal_local(self) -> bool:
        return self.service.internal_policy == "Local"

    @property
    def _external_local(self) -> bool:
        return self.service.external_policy == "Local"

    def _chain(self, prefix: str) -> str:
        return f"{prefix}-{port_base(self.service, self.port)}"

    def _endpoint(self, prefix: str, endpoint: EndpointSpec) -> str:
        return f"{prefix}-{endpoint_base(self.service, self.port, endpoint)}"

    def _put_elements(self, into: Contents) -> None:
        """Where packets to each of its addresses go: to a chain, or to a refusal, or to both.

        With policy Local some are answered that come from the node itself; what falls through is
        dropped. Without any endpoint all are refused.
        """
        name, refusal = self.service.port_name(self.port), REJECT if not self.ends.any else "drop"
        tail = f"{self.protocol} . {self.port.port}"
        key = f"{self.cluster_ip} . {tail}"
        if self.internal:
            chain = self._chain("local" if self._internal_local else "service")
            into.service_ips[key] = f"goto {chain}"
        else:
            into.no_endpoint_services[key] = refusal, name
        external = f"goto {self._chain('external')}"
        for ip in self.service.external_ips:
            if (ip.version == 6) is not self.form.family.ipv6:
                continue
            if self.ends.any:
                into.service_ips[f"{ip} . {tail}"] = external
            if not self.external:
                into.no_endpoint_services[f"{ip} . {tail}"] = refusal, name
        if self.port.node_port:
            key = f"{self.protocol} . {self.port.node_port}"
            if self.ends.any:
                into.node_ports[key] = external
            if not self.external:
                into.no_endpoint_node_ports[key] = refusal, name

    def _affinity_set(self, endpoint: EndpointSpec) -> Set:
        """Who asked this endpoint last, and for how long that counts; rules fill it.

        Its size is what nft gives every set that a rule adds to.
        """
        return Set(
            name=self._endpoint("affinity", endpoint),
            type=self.form.family.address,
            flags=("dynamic", "timeout"),
            options=("size 65535", f"timeout {duration(self.service.affinity)}"),
        )

    def _chains(self) -> Iterator[Chain]:
        if self.ends.cluster:
            yield self._balancing("service", self.ends.cluster, not self._internal_local)
        if self.ends.local:
            yield self._balancing("local", self.ends.local, self._internal_local)
        if self.ends.any and open_outside(self.service, self.port):
            yield Chain(name=self._chain("external"), rules=tuple(self._external_rules()))
        if self.form.version == "1.35" or self.service.affinity:
            for one in self.ends.all:
                rules = tuple(self._endpoint_rules(one))
                yield Chain(name=self._endpoint("endpoint", one), rules=rules)

    def _balancing(self, prefix: str, ends: Sequence[EndpointSpec], internal: bool) -> Chain:
        """The chain that chooses among endpoints; `internal` is whether ClusterIPs lead to it."""
        rules: list[str] = []
        ip = self.form.family.ip
        if internal and self.form.version == "1.35":
            mark = self.form.of_cluster_ip(f"{ip} daddr {self.cluster_ip}")
            rules += [mark] if mark else []
        if self.service.affinity:
            rules += [
                f"{ip} saddr @{self._endpoint('affinity', one)} "
                f"goto {self._endpoint('endpoint', one)}"
                for one in ends
            ]
        return Chain(name=self._chain(prefix), rules=(*rules, self._choice(ends)))

    def _choice(self, ends: Sequence[EndpointSpec]) -> str:
        """The rule that draws an endpoint: it leads to its chain, or translates to it at once."""
        drawn = f"numgen random mod {len(ends)}"
        if self.form.version == "1.35" or self.service.affinity:
            places = (f"{i} : goto {self._endpoint('endpoint', one)}" for i, one in enumerate(ends))
            return f"{drawn} vmap {{ {', '.join(places)} }}"
        places = (f"{i} : {one.address} . {one.port}" for i, one in enumerate(ends))
        target = f"{drawn} map {{ {', '.join(places)} }}"
        return f"meta l4proto {self.protocol} dnat {self.form.family.ip} to {target}"

    def _external_rules(self) -> Iterator[str]:
        """What comes by an external IP or NodePort is masqueraded, as its endpoint may be on
        another node; with policy Local that concerns the node itself alone.
        """
        cluster = f"goto {self._chain('service')}"
        if not self._external_local:
            yield self.form.mark
            yield cluster
            return
        if self.form.local:
            yield commented(f"{self.form.local} {cluster}", "short-circuit pod traffic")
        node = "fib saddr type local"
        yield commented(f"{node} {self.form.mark}", "masquerade local traffic")
        yield commented(f"{node} {cluster}", "short-circuit local traffic")
        if self.external:
            yield f"goto {self._chain('local')}"

    def _endpoint_rules(self, endpoint: EndpointSpec) -> Iterator[str]:
        ip = self.form.family.ip
        if self.form.version == "1.35":
            yield f"{ip} saddr {endpoint.address} {self.form.mark}"
        if self.service.affinity:
            yield f"update @{self._endpoint('affinity', endpoint)} {{ {ip} saddr }}"
        yield f"meta l4proto {self.protocol} dnat to {endpoint}"


def duration(seconds: int) -> str:
    """Seconds as nft prints them: 10800 is 3h.

    >>> duration(3661)
    '1h1m1s'
    """
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    words = ""
    for unit, length in units:
        count, seconds = divmod(seconds, length)
        words += f"{count}{unit}" if count else ""
    return words
