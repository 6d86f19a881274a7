"""The chains of kube-proxy's IPVS mode, as iptables-save prints them.

Follows iptablesJumpChain and writeIptablesRules in Kubernetes' pkg/proxy/ipvs/proxier.go. What is
of load balancers alone is left out where their sets are empty, as there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

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
    named,
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


@dataclass(frozen=True, slots=True)
class Form:
    """How one family's rules are written on one node.

    `filled` are the sets that are not empty, by the names of IPv4's. `local` is what matches
    packets that local pods did not send, by their source or their device.
    """

    ipv6: bool
    filled: Collection[str]
    masquerade_all: bool
    local: tuple[str, str]

    def lines(self) -> Iterator[Line]:
        """All rules of the family."""
        for table, source, target, words in reversed(JUMPS):
            yield Line(table, source, f"{comment(words)} -j {target}")
        if LOOP_BACK in self.filled:
            hairpin = self._told(LOOP_BACK, "dst,dst,src", "-j MASQUERADE")
            yield Line("nat", POSTROUTING, hairpin)
        # The same as in the iptables mode, which drops what is invalid besides.
        yield from fixed(localhost=False, liberal=True)
        yield from (Line("nat", SERVICES, rule) for rule in self._services())
        yield from (Line("nat", NODE_PORT, rule) for rule in self._node_ports())
        yield Line("nat", BALANCER, f"-j {MARK_MASQ}")
        yield from self._filter()

    def _in(self, name: str, match: str) -> str:
        return f"-m set --match-set {named(name, self.ipv6)} {match}"

    def _told(self, name: str, match: str, target: str) -> str:
        """A rule with the set's own comment."""
        return f"{comment(_COMMENTS[name])} {self._in(name, match)} {target}"

    def _services(self) -> Iterator[str]:
        yield f"-s {'::1/128' if self.ipv6 else '127.0.0.0/8'} -j RETURN"
        if CLUSTER_IP in self.filled:
            where = ("", "") if self.masquerade_all else self.local
            yield joined((*where, self._told(CLUSTER_IP, "dst,dst", f"-j {MARK_MASQ}")))
        if EXTERNAL_IP in self.filled:
            yield self._told(EXTERNAL_IP, "dst,dst", f"-j {MARK_MASQ}")
            yield from self._external(EXTERNAL_IP)
        if EXTERNAL_IP_LOCAL in self.filled:
            yield from self._external(EXTERNAL_IP_LOCAL)
        yield f"{_LOCAL_TARGET} -j {NODE_PORT}"
        if CLUSTER_IP in self.filled:
            yield f"{self._in(CLUSTER_IP, 'dst,dst')} -j ACCEPT"

    def _external(self, name: str) -> Iterator[str]:
        """What comes from other machines, and what the node has the address for."""
        elsewhere = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
        yield self._told(name, "dst,dst", f"{elsewhere} -j ACCEPT")
        yield self._told(name, "dst,dst", f"{_LOCAL_TARGET} -j ACCEPT")

    def _node_ports(self) -> Iterator[str]:
        """Those of policy Local are not marked, so that clients keep their address."""
        for protocol in ("TCP", "UDP"):
            for policy, target in (("LOCAL-", "RETURN"), ("", MARK_MASQ)):
                if (name := f"{NODE_PORT}-{policy}{protocol}") in self.filled:
                    said = comment(_NODE_PORT_COMMENTS[policy].format(protocol))
                    yield f"-p {protocol.lower()} {said} {self._in(name, 'dst')} -j {target}"

    def _filter(self) -> Iterator[Line]:
        yield Line("filter", SOURCE_RANGES, "-j DROP")
        health = self._told(HEALTH_CHECK_NODE_PORT, "dst", "-j ACCEPT")
        yield Line("filter", NODE_PORT, health)
        for name in (LOAD_BALANCER, CLUSTER_IP, EXTERNAL_IP, EXTERNAL_IP_LOCAL):
            yield Line("filter", IPVS_FILTER, f"{self._in(name, 'dst,dst')} -j RETURN")
        health = self._in(HEALTH_CHECK_NODE_PORT, "dst")
        yield Line("filter", IPVS_FILTER, f"{health} -j RETURN")
        new = f"-m conntrack --ctstate NEW {self._in(IPVS_IPS, 'dst')}"
        refusal = f"icmp{'6' if self.ipv6 else ''}-port-unreachable"
        yield Line("filter", IPVS_FILTER, f"{new} -j REJECT --reject-with {refusal}")
