"""What is told of the objects of kube-proxy's iptables mode, for `netlab explain`."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.explanations import Says
from netlab.proxy.base import KUBE_PROXY
from netlab.proxy.iptables_fixed import JUMPS

_FILTER, _NAT = "ip*tables-* table filter chain", "ip*tables-* table nat chain"
_FIRST = "Each of kube-proxy's jumps is put first, and the later ones before those."
# Why the built-in chains lead to kube-proxy's own.
_JUMPS = {
    ("filter", "KUBE-EXTERNAL-SERVICES"): "What may be for a NodePort or an external IP without "
    f"endpoints; a connection's first packet is enough. {_FIRST}",
    ("filter", "KUBE-NODEPORTS"): f"For the health checks of load balancers. {_FIRST}",
    ("filter", "KUBE-SERVICES"): "What may be for a ClusterIP without endpoints; a connection's "
    f"first packet is enough. {_FIRST}",
    ("filter", "KUBE-FORWARD"): f"What kube-proxy says of packets that are forwarded. {_FIRST}",
    ("filter", "KUBE-PROXY-FIREWALL"): "For load balancers that have sources of their own. "
    f"{_FIRST}",
    ("filter", "KUBE-FIREWALL"): "Before all else: kubelet and kube-proxy both see to it.",
    ("nat", "KUBE-SERVICES"): "Where a Service's address becomes that of an endpoint: before the "
    f"route is chosen, for packets that come and for the node's own. {_FIRST}",
    ("nat", "KUBE-POSTROUTING"): "What was marked for it is masqueraded as it leaves, before "
    "anybody else's rules.",
}
# Of a chain, and of the rules in it by their ends, the first that fits.
_FIXED = (
    (
        f"{_NAT} KUBE-POSTROUTING",
        "What is masqueraded, by the mark that packets got on their way.",
    ),
    (f"{_NAT} KUBE-POSTROUTING: * -j RETURN", "What has no mark keeps its address."),
    (
        f"{_NAT} KUBE-POSTROUTING: -j MARK *",
        "Clears the mark: a tunnel's outer packet would inherit it and be masqueraded once more.",
    ),
    (
        f"{_NAT} KUBE-POSTROUTING: * -j MASQUERADE --random-fully",
        "What was marked gets the node's address, so that answers come back this way; ports are "
        "chosen at random, as two connections could choose the same at once.",
    ),
    (f"{_NAT} KUBE-MARK-MASQ*", "Marks a packet (bit 14) to be masqueraded when it leaves."),
    (
        "ip*tables-* table * chain KUBE-PROXY-CANARY",
        "Empty. When it has vanished somebody flushed the rules, and kube-proxy writes all anew.",
    ),
    (
        f"{_FILTER} KUBE-FIREWALL*",
        "Nothing from outside may reach what listens on 127.0.0.1 alone, which route_localnet "
        "would allow; empty where NodePorts do not answer there. kubelet writes the same.",
    ),
    (f"{_FILTER} KUBE-FORWARD", "What may be forwarded whatever the policy of FORWARD is."),
    (
        f"{_FILTER} KUBE-FORWARD: * INVALID -j DROP",
        "A packet of no connection that conntrack knows would go on with the pod's own address, "
        "and the client would end its connection.",
    ),
    (
        f"{_FILTER} KUBE-FORWARD: * -j ACCEPT",
        "What a Service led elsewhere, known by its mark, and all that belongs to it later.",
    ),
    (
        f"{_FILTER} KUBE-PROXY-FIREWALL",
        "For loadBalancerSourceRanges of load balancers, of which the lab has none: it is empty.",
    ),
    (
        f"{_FILTER} KUBE-NODEPORTS",
        "Accepts health checks of load balancers, of which the lab has none: it is empty.",
    ),
    (
        f"{_FILTER} KUBE-SERVICES",
        "ClusterIPs of Services that have no endpoint for this node.",
    ),
    (
        f"{_FILTER} KUBE-EXTERNAL-SERVICES",
        "NodePorts and external IPs of Services that have no endpoint for this node.",
    ),
    (
        f"{_FILTER} KUBE-*SERVICES: * -j REJECT *",
        "The Service has no endpoints at all: clients are told at once that nobody is there.",
    ),
    (
        f"{_FILTER} KUBE-*SERVICES: * -j DROP",
        "The Service has endpoints, none of them on this node, and its policy is Local: load "
        "balancers are to ask another node.",
    ),
)
_SERVICES = (
    (
        f"{_NAT} KUBE-SERVICES",
        "All Services: each packet's destination is looked for, rule by rule.",
    ),
    (
        f"{_NAT} KUBE-SERVICES: * cluster IP* -j KUBE-SV*",
        "A port of a Service: to the chain of its endpoints.",
    ),
    (
        f"{_NAT} KUBE-SERVICES: * external IP* -j KUBE-EXT-*",
        "The same for an external IP of the Service, to the chain for what comes from outside.",
    ),
    (
        f"{_NAT} KUBE-SERVICES: * -j KUBE-NODEPORTS",
        "What is for the node itself may be for a NodePort; last, as a ClusterIP that is also an "
        "address of the node goes first.",
    ),
    (f"{_NAT} KUBE-NODEPORTS*", "Each NodePort, to the Service's chain for outside traffic."),
    (
        f"{_NAT} KUBE-EXT-*: * masquerade LOCAL *",
        "What the node itself sends has an address that is of no use to an endpoint elsewhere.",
    ),
    (
        f"{_NAT} KUBE-EXT-*: * route LOCAL *",
        "The node itself is served by all endpoints: the policy is of what comes from outside.",
    ),
    (
        f"{_NAT} KUBE-EXT-*: * pod traffic *",
        "The node's pods are served by all endpoints, with their own address.",
    ),
    (
        f"{_NAT} KUBE-EXT-*: * -j KUBE-MARK-MASQ",
        "Policy Cluster: the endpoint may be on another node, so that answers must come back this "
        "way. It does not see who asks.",
    ),
    (f"{_NAT} KUBE-EXT-*: -j KUBE-SV*", "All else goes to the endpoints of the policy."),
    (f"{_NAT} KUBE-EXT-*", "What comes to a Service from outside: by NodePort or external IP."),
    (
        f"{_NAT} KUBE-SV*: * cluster IP* -j KUBE-MARK-MASQ",
        "Who is none of the pods' own asks for the ClusterIP by this node, and is masqueraded: the "
        "answer must come back this way.",
    ),
    (
        f"{_NAT} KUBE-SV*: *-m recent *",
        "Affinity: a client that this endpoint has served lately comes back to it.",
    ),
    (
        f"{_NAT} KUBE-SV*: *-m statistic *",
        "One endpoint by chance: of those that are left, each has the same.",
    ),
    (f"{_NAT} KUBE-SV*: *-j KUBE-SEP-*", "The last endpoint: whoever came this far."),
    (f"{_NAT} KUBE-SVL-*", "The endpoints of one port on this node, for policy Local."),
    (f"{_NAT} KUBE-SVC-*", "The endpoints of one port of a Service."),
    (
        f"{_NAT} KUBE-SEP-*: *-j KUBE-MARK-MASQ",
        "A pod that is led to itself (hairpin) is masqueraded, else it would answer itself "
        "directly and not know the answer.",
    ),
    (
        f"{_NAT} KUBE-SEP-*: *-m recent *",
        "Remembers the client for affinity, and leads to the endpoint.",
    ),
    (f"{_NAT} KUBE-SEP-*: *-j DNAT *", "To the endpoint: its address and port in the place."),
    (f"{_NAT} KUBE-SEP-*", "One endpoint of one port."),
)


def _says() -> Iterator[Says]:
    yield Says(
        "sysctl net/ipv4/conf/all/route_localnet=1",
        KUBE_PROXY,
        "So that NodePorts answer at 127.0.0.1: packets from there may leave by a device.",
    )
    yield Says(
        "sysctl net/netfilter/nf_conntrack_tcp_be_liberal=1",
        KUBE_PROXY,
        "conntrack.tcpBeLiberal: a packet out of its connection's window is not invalid.",
    )
    for table, sources, target, _, _ in JUMPS:
        for source in sources:
            rule = f"ip*tables-* table {table} chain {source}: *-j {target}"
            yield Says(rule, KUBE_PROXY, _JUMPS[table, target])
    for of, why in (*_FIXED, *_SERVICES):
        yield Says(of, KUBE_PROXY, why)


EXPLAINS = tuple(_says())
