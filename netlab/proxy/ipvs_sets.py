"""The ip sets of kube-proxy's IPVS mode (ipsetInfo in Kubernetes' pkg/proxy/ipvs/proxier.go).

All of them are always there, those of load balancers and SCTP empty, as a lab has neither.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from netlab.plan.rulesets import Ipset
from netlab.proxy.ipvs_servers import balanced, each_of
from netlab.topology.resolved import Ip, NodeSpec, ServicePortSpec, ServiceSpec

LOOP_BACK, CLUSTER_IP, IPVS_IPS = "KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-IPVS-IPS"
EXTERNAL_IP, EXTERNAL_IP_LOCAL = "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL"
LOAD_BALANCER = "KUBE-LOAD-BALANCER"
HEALTH_CHECK_NODE_PORT = "KUBE-HEALTH-CHECK-NODE-PORT"
_LONGEST = 31  # characters of a set's name (IPSET_MAXNAMELEN)
_IP_PORT, _IP_PORT_IP, _PORT = "hash:ip,port", "hash:ip,port,ip", "bitmap:port"
TYPES = {
    LOOP_BACK: _IP_PORT_IP,
    CLUSTER_IP: _IP_PORT,
    EXTERNAL_IP: _IP_PORT,
    EXTERNAL_IP_LOCAL: _IP_PORT,
    LOAD_BALANCER: _IP_PORT,
    "KUBE-LOAD-BALANCER-FW": _IP_PORT,
    "KUBE-LOAD-BALANCER-LOCAL": _IP_PORT,
    "KUBE-LOAD-BALANCER-SOURCE-IP": _IP_PORT_IP,
    "KUBE-LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
    "KUBE-NODE-PORT-TCP": _PORT,
    "KUBE-NODE-PORT-LOCAL-TCP": _PORT,
    "KUBE-NODE-PORT-UDP": _PORT,
    "KUBE-NODE-PORT-LOCAL-UDP": _PORT,
    "KUBE-NODE-PORT-SCTP-HASH": _IP_PORT,
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH": _IP_PORT,
    HEALTH_CHECK_NODE_PORT: _PORT,
    IPVS_IPS: "hash:ip",
}


def named(name: str, ipv6: bool) -> str:
    """What a set is called for a family: IPv6's have other names, cut off where they are too long.

    As NewIPSet in Kubernetes' pkg/proxy/ipvs/ipset.go.
    """
    return name.replace("KUBE-", "KUBE-6-", 1)[:_LONGEST] if ipv6 else name


def entries(
    services: Iterable[ServiceSpec],
    node: NodeSpec,
    addresses: Iterable[Ip],
    *,
    ipv6: bool,
    node_ports: bool,
) -> dict[str, tuple[str, ...]]:
    """What each set of a node and family holds, whose device has these `addresses`.

    Sets are known by the names of IPv4's. `node_ports` is whether NodePorts answer at any address
    of the node.
    """
    held: dict[str, dict[str, None]] = defaultdict(dict)
    for service in services:
        for port in balanced(service, ipv6):
            for name, entry in _entries(service, port, node, ipv6):
                held[name][entry] = None
            if node_ports and port.node_port:
                for name in _node_port_sets(service, port):
                    held[name][str(port.node_port)] = None
    held[IPVS_IPS] = dict.fromkeys(map(str, addresses))
    return {name: tuple(held[name]) for name in TYPES}


def ipsets(held: Mapping[str, tuple[str, ...]], ipv6: bool) -> Iterator[Ipset]:
    """All sets of a family, with what they hold."""
    for name, kind in TYPES.items():
        yield Ipset(
            name=named(name, ipv6),
            type=kind,
            family="inet6" if ipv6 and kind != _PORT else "inet",
            range="0-65535" if kind == _PORT else "",
            entries=held[name],
        )


def _entries(
    service: ServiceSpec, port: ServicePortSpec, node: NodeSpec, ipv6: bool
) -> Iterator[tuple[str, str]]:
    protocol, local = port.protocol.lower(), service.external_policy == "Local"
    for one in port.of_family(ipv6):
        # Those of the API server name no node, so that they are nobody's own.
        if one.node == node.name != one.target:
            yield LOOP_BACK, f"{one.address},{protocol}:{one.port},{one.address}"
    for ip in each_of(service.cluster_ips, ipv6):
        yield CLUSTER_IP, f"{ip},{protocol}:{port.port}"
    for ip in each_of(service.external_ips, ipv6):
        yield EXTERNAL_IP_LOCAL if local else EXTERNAL_IP, f"{ip},{protocol}:{port.port}"


def _node_port_sets(service: ServiceSpec, port: ServicePortSpec) -> Iterator[str]:
    yield f"KUBE-NODE-PORT-{port.protocol}"
    if service.external_policy == "Local":
        yield f"KUBE-NODE-PORT-LOCAL-{port.protocol}"
