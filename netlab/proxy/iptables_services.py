"""The rules of each Service in kube-proxy's iptables mode.

Follows syncProxyRules in Kubernetes' pkg/proxy/iptables/proxier.go. The order of endpoints is its
own (by their text); that of Services, which there is random, is the topology's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from netlab.proxy.iptables_fixed import EXTERNAL_SERVICES, MARK_MASQ, NODEPORTS, SERVICES
from netlab.proxy.iptables_rules import Line, comment, hashed, host, joined, probability
from netlab.topology.endpoints import Reached, open_outside, reached
from netlab.topology.resolved import (
    EndpointSpec,
    Ip,
    ServicePortSpec,
    ServiceSpec,
    of_family,
)

# Endpoints above which rules have no comments (largeClusterEndpointsThreshold).
LARGE_CLUSTER = 1000
_LOCAL_SOURCE, _LOCAL_TARGET = "-m addrtype --src-type LOCAL", "-m addrtype --dst-type LOCAL"
_LAST = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"


@dataclass(frozen=True, slots=True)
class Form:
    """How one family's rules are written on one node.

    Local pods are known by `source`, as `-s CIDR`, or `device`, as `-i cni0`; by neither where
    both are empty. `node_ips` are where NodePorts answer, None for all of the node's addresses;
    `localhost` is whether 127.0.0.1 is among them. `large` is what the cluster is: SVC and SEP
    chains then have no comments.
    """

    ipv6: bool
    node: str
    source: str = ""
    device: str = ""
    masquerade_all: bool = False
    node_ips: tuple[Ip, ...] | None = None
    localhost: bool = True
    large: bool = False

    @property
    def known(self) -> str:
        """What matches what local pods send."""
        return self.source or self.device


def is_large(services: Iterable[ServiceSpec], ipv6: bool) -> bool:
    """Whether there are so many endpoints of a family that comments are spared."""
    count = sum(
        len(port.of_family(ipv6))
        for service in services
        if of_family(service.cluster_ips, ipv6)
        for port in service.ports
    )
    return count > LARGE_CLUSTER


def rules(services: Iterable[ServiceSpec], form: Form) -> Iterator[Line]:
    """The rules of all Services, and that which leads to their NodePorts."""
    for service in services:
        if ip := of_family(service.cluster_ips, form.ipv6):
            for port in service.ports:
                yield from _Port(service, port, ip, form).lines()
    for destination, match in _node_port_targets(form):
        parts = (destination, comment(_LAST), match, f"-j {NODEPORTS}")
        yield Line("nat", SERVICES, joined(parts))


def _node_port_targets(form: Form) -> Iterator[tuple[str, str]]:
    if form.node_ips is not None:
        yield from ((f"-d {host(ip)}", "") for ip in form.node_ips)
    elif form.ipv6:
        yield "! -d ::1/128", _LOCAL_TARGET
    else:
        yield "" if form.localhost else "! -d 127.0.0.0/8", _LOCAL_TARGET


@dataclass(slots=True)
class _Port:
    """One port of a Service in one family, on one node."""

    service: ServiceSpec
    port: ServicePortSpec
    ip: Ip
    form: Form
    name: str = field(init=False)
    protocol: str = field(init=False)
    ends: Reached = field(init=False)
    hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.service.port_name(self.port)
        self.protocol = self.port.protocol.lower()
        self.ends = reached(self.service, self.port, self.form.node, self.form.ipv6)
        self.hash = hashed(self.name, self.protocol)

    @property
    def internal(self) -> str:
        """The chain that traffic to the ClusterIP goes to; empty without endpoints for it."""
        local = self.service.internal_policy == "Local"
        return self._policy_chain(local)

    @property
    def outer(self) -> str:
        """The chain that traffic from outside ends in; empty without endpoints for it."""
        return self._policy_chain(self.service.external_policy == "Local")

    def _policy_chain(self, local: bool) -> str:
        if local:
            return f"KUBE-SVL-{self.hash}" if self.ends.local else ""
        return f"KUBE-SVC-{self.hash}" if self.ends.any else ""

    @property
    def external(self) -> str:
        return f"KUBE-EXT-{self.hash}"

    def _endpoint_chain(self, endpoint: EndpointSpec) -> str:
        return f"KUBE-SEP-{hashed(self.name, self.protocol, str(endpoint))}"

    def lines(self) -> Iterator[Line]:
        yield from self._cluster_ip()
        for ip in self.service.external_ips:
            if (ip.version == 6) is self.form.ipv6:
                yield from self._external_ip(ip)
        if self.port.node_port:
            yield from self._node_port()
        if self.internal and (self.form.masquerade_all or self.form.known):
            yield self._masquerade_to_cluster_ip()
        if self.ends.any and open_outside(self.service, self.port):
            yield from (Line("nat", self.external, rule) for rule in self._external_chain())
        for chain, ends in (("SVC", self.ends.cluster), ("SVL", self.ends.local)):
            rules = self._balance(sorted(ends, key=str))
            yield from (Line("nat", f"KUBE-{chain}-{self.hash}", rule) for rule in rules)
        for endpoint in sorted(self.ends.all, key=str):
            yield from self._endpoint(endpoint)

    def _to(self, where: str, words: str, target: str, port: int, match: str = "") -> str:
        """A rule for packets to a port, where `where` matches addresses and devices."""
        dport = f"-m {self.protocol} --dport {port}"
        parts = (where, f"-p {self.protocol}", comment(words), match, dport, f"-j {target}")
        return joined(parts)

    def _refused(self, chain: str, where: str, port: int, match: str = "") -> Line:
        """A rule for what no endpoint is there for: here, or anywhere."""
        icmp = "icmp6" if self.form.ipv6 else "icmp"
        words, target = f"{self.name} has no local endpoints", "DROP"
        if not self.ends.any:
            words = f"{self.name} has no endpoints"
            target = f"REJECT --reject-with {icmp}-port-unreachable"
        return Line("filter", chain, self._to(where, words, target, port, match))

    def _cluster_ip(self) -> Iterator[Line]:
        where, port = f"-d {host(self.ip)}", self.port.port
        if self.internal:
            rule = self._to(where, f"{self.name} cluster IP", self.internal, port)
            yield Line("nat", SERVICES, rule)
        else:
            yield self._refused(SERVICES, where, port)

    def _external_ip(self, ip: Ip) -> Iterator[Line]:
        where, port = f"-d {host(ip)}", self.port.port
        if self.ends.any:
            rule = self._to(where, f"{self.name} external IP", self.external, port)
            yield Line("nat", SERVICES, rule)
        if not self.outer:
            yield self._refused(EXTERNAL_SERVICES, where, port)

    def _node_port(self) -> Iterator[Line]:
        port = self.port.node_port
        if self.ends.any:
            yield Line("nat", NODEPORTS, self._to("", self.name, self.external, port))
        if not self.outer:
            yield self._refused(EXTERNAL_SERVICES, "", port, _LOCAL_TARGET)

    def _masquerade_to_cluster_ip(self) -> Line:
        """The first rule of the internal chain: others than local pods get the node's address."""
        form, source, device = self.form, "", ""
        if not form.masquerade_all:
            source = f"! {form.source}" if form.source else ""
            device = f"! {form.device}" if form.device else ""
        where = joined((source, f"-d {host(self.ip)}", device))
        words = f"{self.name} cluster IP"
        return Line("nat", self.internal, self._to(where, words, MARK_MASQ, self.port.port))

    def _external_chain(self) -> Iterator[str]:
        """What comes from outside, and what local pods and the node itself send there."""
        to, cluster = f"{self.name} external destinations", f"-j KUBE-SVC-{self.hash}"
        if self.service.external_policy == "Cluster":
            yield f"{comment(f'masquerade traffic for {to}')} -j {MARK_MASQ}"
        else:
            if self.form.known:
                yield f"{self.form.known} {comment(f'pod traffic for {to}')} {cluster}"
            said = comment(f"masquerade LOCAL traffic for {to}")
            yield f"{said} {_LOCAL_SOURCE} -j {MARK_MASQ}"
            yield f"{comment(f'route LOCAL traffic for {to}')} {_LOCAL_SOURCE} {cluster}"
        if self.outer:
            yield f"-j {self.outer}"

    def _balance(self, endpoints: list[EndpointSpec]) -> Iterator[str]:
        """Those that a client had before, then each with the same chance."""
        chains = [self._endpoint_chain(one) for one in endpoints]
        words = [self._words(f"{self.name} -> {one}") for one in endpoints]
        if seconds := self.service.affinity:
            for chain, said in zip(chains, words, strict=True):
                recent = self._recent(f"--rcheck --seconds {seconds} --reap", chain)
                yield joined((said, recent, f"-j {chain}"))
        for place, (chain, said) in enumerate(zip(chains, words, strict=True)):
            left, chance = len(chains) - place, ""
            if left > 1:
                chance = f"-m statistic --mode random --probability {probability(left)}"
            yield joined((said, chance, f"-j {chain}"))

    def _endpoint(self, endpoint: EndpointSpec) -> Iterator[Line]:
        chain, said = self._endpoint_chain(endpoint), self._words(self.name)
        hairpin = (f"-s {host(endpoint.address)}", said, f"-j {MARK_MASQ}")
        yield Line("nat", chain, joined(hairpin))
        recent = self._recent("--set", chain) if self.service.affinity else ""
        protocol, dnat = self.protocol, f"-j DNAT --to-destination {endpoint}"
        parts = (f"-p {protocol}", said, recent, f"-m {protocol}", dnat)
        yield Line("nat", chain, joined(parts))

    def _words(self, words: str) -> str:
        return "" if self.form.large else comment(words)

    def _recent(self, action: str, name: str) -> str:
        mask = "ffff" + ":ffff" * 7 if self.form.ipv6 else "255.255.255.255"
        return f"-m recent {action} --name {name} --mask {mask} --rsource"
