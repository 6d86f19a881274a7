"""What is told of each object of kube-proxy's IPVS mode."""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.explanations import Says
from netlab.proxy.base import KUBE_PROXY

_FILTER, _NAT = "ip*tables-* table filter chain", "ip*tables-* table nat chain"
_NOBODYS = "the lab has no load balancers: it is empty."
# Of each object the first that fits. IPv6's sets begin with KUBE-6-, and long names are cut off.
_WHY = (
    (
        "link kube-ipvs0",
        "Holds the addresses of all Services, so that packets to them are for the node itself: "
        "there IPVS takes them. It is down, and nothing ever leaves by it.",
    ),
    (
        "address * dev kube-ipvs0",
        "A ClusterIP or external IP: what is sent to it is for the node, where IPVS takes it.",
    ),
    (
        "sysctl net/ipv4/vs/conntrack=1",
        "IPVS keeps connections in conntrack too, without which they could not be masqueraded.",
    ),
    (
        "sysctl net/ipv4/vs/expire_nodest_conn=1",
        "A connection whose real server is gone ends with its next packet.",
    ),
    (
        "sysctl net/ipv4/vs/expire_quiescent_template=1",
        "A client does not come back to a real server whose weight has become 0.",
    ),
    ("sysctl net/ipv4/ip_forward=1", "Nodes forward what their Services lead to pods elsewhere."),
    (
        "sysctl net/ipv4/conf/all/arp_ignore=1",
        "strictARP: ARP is answered only by the device that has the address, as the addresses of "
        "kube-ipvs0 are every node's.",
    ),
    (
        "sysctl net/ipv4/conf/all/arp_announce=2",
        "strictARP: what a node asks by ARP comes from the best address of the device.",
    ),
    ("IPVS virtual servers", "All that IPVS balances on this node; the kernel finds it by a hash."),
    (
        "virtual server * real server *",
        "An endpoint. Its address and port take the place of the Service's (masquerading), and "
        "all have the same weight.",
    ),
    (
        "virtual server *",
        "A port of a Service: at its ClusterIP, at an external IP, or as a NodePort at one of the "
        "node's addresses. With none behind it clients are refused.",
    ),
    (
        "ipset KUBE-*LOOP-BACK",
        "The node's own endpoints, each with itself as source: pods that are led to themselves.",
    ),
    ("ipset KUBE-*CLUSTER-IP", "All ClusterIPs with their ports."),
    ("ipset KUBE-*EXTERNAL-IP*", "All external IPs with their ports, those of policy Local apart."),
    ("ipset KUBE-*NODE-PORT-*SCTP-HAS*", "NodePorts of SCTP, of which the lab has none."),
    (
        "ipset KUBE-*NODE-PORT-LOCAL-*",
        "NodePorts of policy Local, whose clients keep their address.",
    ),
    ("ipset KUBE-*NODE-PORT-*", "All NodePorts of a protocol."),
    ("ipset KUBE-*LOAD-BALANCER*", f"For load balancers; {_NOBODYS}"),
    ("ipset KUBE-*HEALTH-CHECK-NODE-PORT", f"For health checks of load balancers; {_NOBODYS}"),
    ("ipset KUBE-*IPVS-IPS", "What kube-ipvs0 holds."),
    (
        f"{_NAT} OUTPUT: * -j KUBE-SERVICES",
        "What the node itself sends: IPVS leads it to an endpoint, the rules only mark it.",
    ),
    (
        f"{_NAT} PREROUTING: * -j KUBE-SERVICES",
        "What comes: IPVS leads it to an endpoint, the rules only mark it.",
    ),
    (f"{_NAT} POSTROUTING: * -j KUBE-POSTROUTING", "Before all else: what is to be masqueraded."),
    (
        f"{_FILTER} INPUT: * -j KUBE-IPVS-FILTER",
        "First: the node has the Services' addresses, and its own ports are not for them.",
    ),
    (
        f"{_FILTER} * -j KUBE-IPVS-OUT-FILTER",
        "What the node may not send to load balancers.",
    ),
    (f"{_FILTER} * -j KUBE-PROXY-FIREWALL", "For load balancers that have sources of their own."),
    (f"{_FILTER} INPUT: * -j KUBE-NODE-PORT", "For the health checks of load balancers."),
    (f"{_FILTER} FORWARD: * -j KUBE-FORWARD", "What kube-proxy says of packets that go on."),
    (
        f"{_NAT} KUBE-POSTROUTING: * KUBE-*LOOP-BACK *",
        "A pod that was led to itself (hairpin) is masqueraded, else it would answer itself "
        "directly and not know the answer.",
    ),
    (f"{_NAT} KUBE-POSTROUTING: * -j RETURN", "What has no mark keeps its address."),
    (
        f"{_NAT} KUBE-POSTROUTING: -j MARK *",
        "Clears the mark: a tunnel's outer packet would inherit it and be masqueraded once more.",
    ),
    (
        f"{_NAT} KUBE-POSTROUTING*",
        "What was marked gets the node's address, so that answers come back this way.",
    ),
    (f"{_NAT} KUBE-MARK-MASQ*", "Marks a packet (bit 14) to be masqueraded when it leaves."),
    (f"{_NAT} KUBE-SERVICES: -s * -j RETURN", "What comes from localhost is left alone."),
    (
        f"{_NAT} KUBE-SERVICES: * -j KUBE-MARK-MASQ",
        "Who is none of the pods' own asks by this node, and is masqueraded: the answer must come "
        "back this way. The node itself would ask from the Service's own address.",
    ),
    (
        f"{_NAT} KUBE-SERVICES: * -j KUBE-NODE-PORT",
        "What is for the node itself may be for a NodePort.",
    ),
    (
        f"{_NAT} KUBE-SERVICES: * -j ACCEPT",
        "What IPVS will lead elsewhere is not for anybody else's rules.",
    ),
    (
        f"{_NAT} KUBE-SERVICES",
        "Few rules for all Services: they look into sets of addresses and ports.",
    ),
    (
        f"{_NAT} KUBE-NODE-PORT: * -j RETURN",
        "Policy Local: clients keep their address.",
    ),
    (f"{_NAT} KUBE-NODE-PORT*", "NodePorts: the endpoint may be on another node, so it is marked."),
    (f"{_NAT} KUBE-LOAD-BALANCER*", "For load balancers, of which the lab has none."),
    (f"{_FILTER} KUBE-FORWARD", "What may be forwarded whatever the policy of FORWARD is."),
    (
        f"{_FILTER} KUBE-FORWARD: *",
        "What a Service led elsewhere, known by its mark, and all that belongs to it later.",
    ),
    (f"{_FILTER} KUBE-NODE-PORT*", "Health checks of load balancers, of which the lab has none."),
    (
        f"{_FILTER} KUBE-IPVS-FILTER: * -j RETURN",
        "A port of a Service.",
    ),
    (
        f"{_FILTER} KUBE-IPVS-FILTER: * -j REJECT *",
        "All else, a ping too: what listens on all of a node's addresses would answer there "
        "(kubernetes/kubernetes#72236).",
    ),
    (
        f"{_FILTER} KUBE-IPVS-FILTER",
        "Keeps the node's own ports from answering at Services' addresses.",
    ),
    (f"{_FILTER} KUBE-IPVS-OUT-FILTER", f"Refuses the node what load balancers refuse; {_NOBODYS}"),
    (f"{_FILTER} KUBE-PROXY-FIREWALL", f"For sources of load balancers; {_NOBODYS}"),
    (
        f"{_FILTER} KUBE-SOURCE-RANGES-FIREWALL*",
        "Drops what no source range of a load balancer lets in; nothing leads here.",
    ),
)


def _says() -> Iterator[Says]:
    for of, why in _WHY:
        yield Says(of, KUBE_PROXY, why)


EXPLAINS = tuple(_says())
