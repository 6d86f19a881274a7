"""What is told of the objects of kube-proxy's nftables table, for `netlab explain`."""

from __future__ import annotations

from netlab.plan.explanations import Says
from netlab.proxy.base import KUBE_PROXY
from netlab.proxy.nftables_names import TABLE

_TABLE = f"nftables table ip* {TABLE}"
# Of what a piece of the table is called, as `set cluster-ips`; a rule follows its chain.
_WORDS = (
    (
        "set hairpin-connections",
        "Each endpoint as who asks and who is asked: a pod that is led to itself is masqueraded, "
        "else it would answer itself directly and not know the answer.",
    ),
    (
        "set cluster-ips",
        "All ClusterIPs: what is still for one after the translation asks for a port that the "
        "Service does not have.",
    ),
    ("set nodeport-ips", "The node's addresses at which NodePorts answer (nodePortAddresses)."),
    (
        "set affinity-*",
        "Which clients this endpoint keeps (sessionAffinity ClientIP). Rules fill it, and each "
        "entry ends after the time of the Service.",
    ),
    (
        "map no-endpoint-services",
        "Addresses and ports of Services without an endpoint for this node: refused where there is "
        "none at all, dropped where policy Local finds none here.",
    ),
    (
        "map no-endpoint-nodeports",
        "NodePorts without an endpoint for this node: refused, or dropped with policy Local.",
    ),
    ("map firewall-ips", "Load balancers' addresses with loadBalancerSourceRanges; here none."),
    (
        "map service-ips",
        "The dispatch: address, protocol and port, and the Service's chain. One look-up, however "
        "many Services there are.",
    ),
    ("map service-nodeports", "The same for NodePorts: protocol and port of a node's address."),
    (
        "chain filter-*-pre-dnat*",
        "Before the translation, when the load balancer's address is still there: from here only "
        "loadBalancerSourceRanges are looked at.",
    ),
    (
        "chain filter-input*",
        "What is for the node itself: a NodePort without endpoints is refused.",
    ),
    (
        "chain filter-*",
        "After the translation: what is still for a Service has no endpoint, port or owner.",
    ),
    (
        "chain nat-postrouting*",
        "After routing, when the device is known whose address the node gives the packet.",
    ),
    ("chain nat-*", "Where new connections meet the Services: from pods and outside, or the node."),
    (
        "chain reject-chain*",
        "Answers with an ICMP error, so that a client knows at once. A map's element can lead to a "
        "chain, but not reject by itself.",
    ),
    ("chain firewall-check*", "Looks the load balancer's address up; here there is none."),
    (
        "chain *-endpoints-check*",
        "Refuses or drops, by one look-up, what asks for a Service without endpoints.",
    ),
    (
        "chain cluster-ips-check: *@cluster-ips*",
        "A port that no Service has at this ClusterIP, and ping: refused. kube-proxy's iptables "
        "mode lets such packets run into the void.",
    ),
    (
        "chain cluster-ips-check: *",
        "An address of the service network that no Service has: dropped, lest it go to the "
        "default gateway.",
    ),
    ("chain cluster-ips-check", "What is left for ClusterIPs after the translation is nobody's."),
    (
        "chain services: * meta mark set *",
        "Who is no pod of the node asks a ClusterIP: marked, so that the answer comes back this "
        "way to be translated.",
    ),
    ("chain services*", "The dispatch of all Services, by address first and NodePort then."),
    (
        "chain m*",
        "What was marked (0x4000), and what is led back to itself, gets the node's address. The "
        "mark is taken away, as a tunnel would hand it on to the outer packet.",
    ),
    (
        "chain external-*",
        "What comes by NodePort or external IP. It is masqueraded, as the endpoint may be on "
        "another node; with policy Local only the node's own is, and the client's address stays.",
    ),
    ("chain local-*", "Chooses among the endpoints of this node (policy Local)."),
    (
        "chain service-*",
        "Chooses an endpoint at random for a new connection, and translates the address to its "
        "own; conntrack does so with what follows.",
    ),
    (
        "chain endpoint-*",
        "Leads to one endpoint. Since 1.36 only those have a chain which remember their clients.",
    ),
)
EXPLAINS = (
    Says(
        _TABLE,
        KUBE_PROXY,
        "kube-proxy's own table; each change of Services and endpoints is one transaction of the "
        "elements and chains that it concerns.",
    ),
    *(Says(f"{_TABLE} {words}", KUBE_PROXY, why) for words, why in _WORDS),
)
