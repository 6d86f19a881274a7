"""kube-proxy's nftables table of one family on one node: what is in it whatever Services there are.

Follows setupNFTables in Kubernetes' pkg/proxy/nftables/proxier.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netlab.plan.rulesets import Chain, Hook, Map, NftTable, Set
from netlab.proxy.nftables_names import (
    MARK,
    MARKED,
    TABLE,
    UNMARK,
    UNMARKED,
    Family,
    commented,
)
from netlab.proxy.nftables_services import MARK_CHAIN, Contents, Form
from netlab.topology.resolved import Ip, Network

_PORT_TYPE = "inet_proto . inet_service : verdict"
_NEW = "ct state new jump"


def table(
    form: Form, held: Contents, service_cidr: Network | None, node_ips: tuple[Ip, ...] | None
) -> NftTable:
    """The whole table. `node_ips` are those at which NodePorts answer, None for all."""
    return NftTable(
        family=form.family.ip,
        name=TABLE,
        comment="rules for kube-proxy",
        sets=(*_sets(form, held, node_ips), *held.affinity),
        maps=tuple(_maps(form.family, held)),
        chains=(
            *_base_chains(),
            *_checks(form.family, service_cidr, node_ips is None),
            _services(form, node_ips is None),
            *_masquerading(form),
            *held.chains,
        ),
    )


def _base_chains() -> Iterator[Chain]:
    """Priorities are as nft prints them: dstnat has its name in prerouting alone."""
    firewall = f"{_NEW} firewall-check"
    endpoints, cluster_ips = f"{_NEW} service-endpoints-check", f"{_NEW} cluster-ips-check"
    yield _hooked("filter-prerouting-pre-dnat", "filter", "prerouting", "dstnat - 10", firewall)
    yield _hooked("filter-output-pre-dnat", "filter", "output", "-110", firewall)
    node_ports = f"{_NEW} nodeport-endpoints-check"
    yield _hooked("filter-input", "filter", "input", "filter", node_ports, endpoints)
    yield _hooked("filter-forward", "filter", "forward", "filter", endpoints, cluster_ips)
    yield _hooked("filter-output", "filter", "output", "filter", endpoints, cluster_ips)
    yield _hooked("nat-prerouting", "nat", "prerouting", "dstnat", "jump services")
    yield _hooked("nat-output", "nat", "output", "-100", "jump services")
    yield _hooked("nat-postrouting", "nat", "postrouting", "srcnat", "jump masquerading")


def _hooked(name: str, kind: str, hook: str, priority: str, *rules: str) -> Chain:
    return Chain(name=name, hook=Hook(type=kind, hook=hook, priority=priority), rules=rules)


def _checks(family: Family, service_cidr: Network | None, everywhere: bool) -> Iterator[Chain]:
    """What refuses and drops. A map of verdicts cannot reject: it leads to a chain that does."""
    yield Chain(
        name="reject-chain",
        comment="helper for @no-endpoint-services / @no-endpoint-nodeports",
        rules=("reject",),
    )
    where = family.not_localhost if everywhere else f"{family.ip} daddr @nodeport-ips"
    lookups = {
        "firewall-check": f"{family.target} vmap @firewall-ips",
        "service-endpoints-check": f"{family.target} vmap @no-endpoint-services",
        "nodeport-endpoints-check": f"{where} meta l4proto . th dport vmap @no-endpoint-nodeports",
    }
    for name, rule in lookups.items():
        yield Chain(name=name, rules=(rule,))
    to = f"{family.ip} daddr"
    rules = [
        commented(f"{to} @cluster-ips reject", "Reject traffic to invalid ports of ClusterIPs")
    ]
    if service_cidr:
        unallocated = "Drop traffic to unallocated ClusterIPs"
        rules.append(commented(f"{to} {service_cidr} drop", unallocated))
    yield Chain(name="cluster-ips-check", rules=tuple(rules))


def _services(form: Form, everywhere: bool) -> Chain:
    """The dispatch: by address, protocol and port, then by the port of a node's address."""
    family = form.family
    rules: list[str] = []
    if form.version == "1.36" and (mark := form.of_cluster_ip(f"{family.ip} daddr @cluster-ips")):
        rules.append(commented(mark, "masquerade clusterIP traffic from outside cluster"))
    local = f"fib daddr type local {family.not_localhost}"
    where = local if everywhere else f"{family.ip} daddr @nodeport-ips"
    rules.append(f"{family.target} vmap @service-ips")
    rules.append(f"{where} meta l4proto . th dport vmap @service-nodeports")
    return Chain(name="services", rules=tuple(rules))


def _masquerading(form: Form) -> Iterator[Chain]:
    """The mark is taken away again: a tunnel's outer packet would have it too."""
    masquerade = "masquerade fully-random"
    if form.version == "1.35":
        yield Chain(name=MARK_CHAIN, rules=(MARK,))
        yield Chain(name="masquerading", rules=(f"{UNMARKED} return", UNMARK, masquerade))
        return
    ip = form.family.ip
    itself = f"{ip} saddr . {ip} daddr . meta l4proto . th dport @hairpin-connections"
    rules = (f"{MARKED} {UNMARK} {masquerade}", f"ct status dnat {itself} {masquerade}")
    yield Chain(name="masquerading", rules=rules)


def _sets(form: Form, held: Contents, node_ips: tuple[Ip, ...] | None) -> Iterator[Set]:
    address = form.family.address
    if form.version == "1.36":
        yield Set(
            name="hairpin-connections",
            type=f"{address} . {address} . inet_proto . inet_service",
            comment="service hairpin connections",
            elements=tuple(held.hairpins),
        )
    yield Set(
        name="cluster-ips",
        type=address,
        comment="Active ClusterIPs",
        elements=tuple(held.cluster_ips),
    )
    if node_ips is not None:
        yield Set(
            name="nodeport-ips",
            type=address,
            comment="IPs that accept NodePort traffic",
            elements=tuple(map(str, node_ips)),
        )


def _maps(family: Family, held: Contents) -> Iterator[Map]:
    refused = "vmap to drop or reject packets to"
    yield Map(
        name="no-endpoint-services",
        type=family.target_type,
        comment=f"{refused} services with no endpoints",
        elements=_refusals(held.no_endpoint_services),
    )
    yield Map(
        name="no-endpoint-nodeports",
        type=_PORT_TYPE,
        comment=f"{refused} service nodeports with no endpoints",
        elements=_refusals(held.no_endpoint_node_ports),
    )
    yield Map(
        name="firewall-ips",
        type=family.target_type,
        comment="destinations that are subject to LoadBalancerSourceRanges",
    )
    yield Map(
        name="service-ips",
        type=family.target_type,
        comment="ClusterIP, ExternalIP and LoadBalancer IP traffic",
        elements=tuple(held.service_ips.items()),
    )
    yield Map(
        name="service-nodeports",
        type=_PORT_TYPE,
        comment="NodePort traffic",
        elements=tuple(held.node_ports.items()),
    )


def _refusals(elements: Mapping[str, tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((commented(key, name), verdict) for key, (verdict, name) in elements.items())
