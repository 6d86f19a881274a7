"""The chains of kube-proxy's IPVS mode, as iptables-save prints them.

Follows iptablesJumpChain and writeIptablesRules in Kubernetes' pkg/proxy/ipvs/proxier.go. What is
of load balancers alone is left out where their sets are empty, as there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netlab.proxy.iptables_fixed import (
    FORWARD,
    MARK_MASQ,
    POSTROUTING,
    PROXY_FIREWALL,
    SERVICES,
    fixed,
)
from netlab.proxy.iptables_rules import Line, comment, joined
from netlab.proxy.ipvs_sets import (
    CLUSTER_IP,
    EXTERNAL_IP,
    EXTERNAL_IP_LOCAL,
    HEALTH_CHECK_NODE_PORT,
    IPVS_IPS,
    LOAD_BALANCER,
    LOOP_BACK,
)

NODE_PORT, BALANCER, SOURCE_RANGES = (
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    "KUBE-SOURCE-RANGES-FIREWALL",
)
IPVS_FILTER, IPVS_OUT_FILTER = "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER"
CHAINS = {
    "nat": (SERVICES, POSTROUTING, NODE_PORT, BALANCER, MARK_MASQ),
    "filter": (
        FORWARD,
        NODE_PORT,
        PROXY_FIREWALL,
        SOURCE_RANGES,
        IPVS_FILTER,
        IPVS_OUT_FILTER,
    ),
}
# Each is put before those that are there already, so that the last is the first in its chain.
JUMPS = (
    ("nat", "OUTPUT", SERVICES, "kubernetes service portals"),
    ("nat", "PREROUTING", SERVICES, "kubernetes service portals"),
    ("nat", "POSTROUTING", POSTROUTING, "kubernetes postrouting rules"),
    ("filter", "FORWARD", FORWARD, "kubernetes forwarding rules"),
    ("filter", "INPUT", NODE_PORT, "kubernetes health check rules"),
    ("filter", "INPUT", PROXY_FIREWALL, "kube-proxy firewall rules"),
    ("filter", "FORWARD", PROXY_FIREWALL, "kube-proxy firewall rules"),
    ("filter", "INPUT", IPVS_FILTER, "kubernetes ipvs access filter"),
    ("filter", "OUTPUT", IPVS_OUT_FILTER, "kubernetes ipvs access filter"),
)
_COMMENTS = {
    LOOP_BACK: "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
    CLUSTER_IP: "Kubernetes service cluster ip + port for masquerade purpose",
    EXTERNAL_IP: "Kubernetes service external ip + port for masquerade and filter purpose",
    EXTERNAL_IP_LOCAL: "Kubernetes service external ip + port with externalTrafficPolicy=local",
    HEALTH_CHECK_NODE_PORT: "Kubernetes health check node port",
}
_NODE_PORT_COMMENTS = {
    "": "Kubernetes nodeport {} port for masquerade purpose",
    "LOCAL-": "Kubernetes nodeport {} port with externalTrafficPolicy=local",
}
_LOCAL_TARGET = "-m addrtype --dst-type LOCAL"


def rules(
    filled: Collection[str], *, masquerade_all: bool, local: tuple[str, str]
) -> Iterator[Line]:
    """All rules of IPv4. `filled` are the sets that are not empty.

    `local` is what matches packets that local pods did not send, by their source or their device.
    """
    for table, source, target, words in reversed(JUMPS):
        yield Line(table, source, f"{comment(words)} -j {target}")
    if LOOP_BACK in filled:
        yield Line("nat", POSTROUTING, _in(LOOP_BACK, "dst,dst,src", "-j MASQUERADE"))
    # The same as in the iptables mode, which drops what is invalid besides.
    yield from fixed(localhost=False, liberal=True)
    yield from (Line("nat", SERVICES, rule) for rule in _services(filled, masquerade_all, local))
    yield from (Line("nat", NODE_PORT, rule) for rule in _node_ports(filled))
    yield Line("nat", BALANCER, f"-j {MARK_MASQ}")
    yield from _filter()


def _set(name: str, match: str) -> str:
    return f"-m set --match-set {name} {match}"


def _in(name: str, match: str, target: str) -> str:
    """A rule with the set's own comment."""
    return f"{comment(_COMMENTS[name])} {_set(name, match)} {target}"


def _services(
    filled: Collection[str], masquerade_all: bool, local: tuple[str, str]
) -> Iterator[str]:
    yield "-s 127.0.0.0/8 -j RETURN"
    if CLUSTER_IP in filled:
        where = ("", "") if masquerade_all else local
        yield joined((*where, _in(CLUSTER_IP, "dst,dst", f"-j {MARK_MASQ}")))
    if EXTERNAL_IP in filled:
        yield _in(EXTERNAL_IP, "dst,dst", f"-j {MARK_MASQ}")
        yield from _external(EXTERNAL_IP)
    if EXTERNAL_IP_LOCAL in filled:
        yield from _external(EXTERNAL_IP_LOCAL)
    yield f"{_LOCAL_TARGET} -j {NODE_PORT}"
    if CLUSTER_IP in filled:
        yield f"{_set(CLUSTER_IP, 'dst,dst')} -j ACCEPT"


def _external(name: str) -> Iterator[str]:
    """What comes from other machines, and what the node has the address for."""
    elsewhere = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
    yield _in(name, "dst,dst", f"{elsewhere} -j ACCEPT")
    yield _in(name, "dst,dst", f"{_LOCAL_TARGET} -j ACCEPT")


def _node_ports(filled: Collection[str]) -> Iterator[str]:
    """Those of policy Local are not marked, so that clients keep their address."""
    for protocol in ("TCP", "UDP"):
        for policy, target in (("LOCAL-", "RETURN"), ("", MARK_MASQ)):
            if (name := f"{NODE_PORT}-{policy}{protocol}") in filled:
                said = comment(_NODE_PORT_COMMENTS[policy].format(protocol))
                yield f"-p {protocol.lower()} {said} {_set(name, 'dst')} -j {target}"


def _filter() -> Iterator[Line]:
    yield Line("filter", SOURCE_RANGES, "-j DROP")
    health = _in(HEALTH_CHECK_NODE_PORT, "dst", "-j ACCEPT")
    yield Line("filter", NODE_PORT, health)
    for name in (LOAD_BALANCER, CLUSTER_IP, EXTERNAL_IP, EXTERNAL_IP_LOCAL):
        yield Line("filter", IPVS_FILTER, f"{_set(name, 'dst,dst')} -j RETURN")
    yield Line("filter", IPVS_FILTER, f"{_set(HEALTH_CHECK_NODE_PORT, 'dst')} -j RETURN")
    new = f"-m conntrack --ctstate NEW {_set(IPVS_IPS, 'dst')}"
    yield Line("filter", IPVS_FILTER, f"{new} -j REJECT --reject-with icmp-port-unreachable")
