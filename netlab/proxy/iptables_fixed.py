"""What kube-proxy's iptables mode writes on every node, whatever Services there are.

Follows iptablesJumpChains and syncProxyRules in Kubernetes' pkg/proxy/iptables/proxier.go. Its
counters by nfacct are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.proxy.iptables_rules import MARK, MARKED, Line, comment

SERVICES, EXTERNAL_SERVICES = "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"
NODEPORTS, FIREWALL, CANARY = "KUBE-NODEPORTS", "KUBE-FIREWALL", "KUBE-PROXY-CANARY"
FORWARD, PROXY_FIREWALL = "KUBE-FORWARD", "KUBE-PROXY-FIREWALL"
POSTROUTING, MARK_MASQ = "KUBE-POSTROUTING", "KUBE-MARK-MASQ"
CHAINS = {
    "filter": (CANARY, EXTERNAL_SERVICES, FIREWALL, FORWARD, NODEPORTS, PROXY_FIREWALL, SERVICES),
    "nat": (CANARY, MARK_MASQ, NODEPORTS, POSTROUTING, SERVICES),
    "mangle": (CANARY,),
}
_NEW = "-m conntrack --ctstate NEW"
# The table, from where, to where, of what packets, and the comment. Each is put before those that
# are there already, so that the last is the first in its chain.
JUMPS = (
    ("filter", ("INPUT", "FORWARD"), EXTERNAL_SERVICES, _NEW, "externally-visible service portals"),
    ("filter", ("INPUT",), NODEPORTS, "", "health check service ports"),
    ("filter", ("FORWARD", "OUTPUT"), SERVICES, _NEW, "service portals"),
    ("filter", ("FORWARD",), FORWARD, "", "forwarding rules"),
    ("filter", ("INPUT", "OUTPUT", "FORWARD"), PROXY_FIREWALL, _NEW, "load balancer firewall"),
    ("nat", ("OUTPUT", "PREROUTING"), SERVICES, "", "service portals"),
    ("nat", ("POSTROUTING",), POSTROUTING, "", "postrouting rules"),
    ("filter", ("INPUT", "OUTPUT"), FIREWALL, "", ""),  # kubelet's too
)


def jumps() -> Iterator[Line]:
    """From the built-in chains into kube-proxy's own, as a fresh node has them."""
    for table, sources, target, match, words in reversed(JUMPS):
        said = comment(f"kubernetes {words}") if words else ""
        for source in sources:
            yield Line(table, source, " ".join(filter(None, (match, said, f"-j {target}"))))


def fixed(*, localhost: bool, liberal: bool) -> Iterator[Line]:
    """The rules of one family that no Service changes.

    `localhost` is whether NodePorts answer at 127.0.0.1: that opens what listens there to the
    neighbours, unless it is closed again (kubernetes/kubernetes#90259). `liberal` is whether
    conntrack takes packets that are out of a connection's window, so that none is invalid.
    """
    yield Line("nat", POSTROUTING, f"-m mark ! --mark {MARKED} -j RETURN")
    yield Line("nat", POSTROUTING, f"-j MARK --set-xmark {MARK}/0x0")
    said = comment("kubernetes service traffic requiring SNAT")
    yield Line("nat", POSTROUTING, f"{said} -j MASQUERADE --random-fully")
    yield Line("nat", MARK_MASQ, f"-j MARK --set-xmark {MARKED}")
    if localhost:
        said = comment("block incoming localnet connections")
        elsewhere = "! -s 127.0.0.0/8 -d 127.0.0.0/8"
        new = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
        yield Line("filter", FIREWALL, f"{elsewhere} {said} {new} -j DROP")
    if not liberal:
        yield Line("filter", FORWARD, "-m conntrack --ctstate INVALID -j DROP")
    said = comment("kubernetes forwarding rules")
    yield Line("filter", FORWARD, f"{said} -m mark --mark {MARKED} -j ACCEPT")
    said = comment("kubernetes forwarding conntrack rule")
    yield Line("filter", FORWARD, f"{said} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
