"""Flannel's masquerade and forward rules (flannel pkg/trafficmngr), in both of its forms.

kube-proxy's mark returns first; traffic inside the cluster network keeps its addresses; what leaves
it from a pod, and what enters it from elsewhere, is masqueraded. The two forms are not the same
rule set: see where they differ below.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from netlab.plan.explanations import Says
from netlab.plan.rulesets import Chain, Hook, IptablesChain, IptablesTable, NftTable, Ruleset
from netlab.topology.resolved import Network

FLANNELD = "flanneld"
_NFT, _IPT = "nftables table ip* flannel-ipv? chain", "ip*tables-nft table"
# What the chain that masquerades says, by the ends of its rules in either form, in their order.
_MASQUERADE = (
    (
        ("meta mark * return", "-m mark * -j RETURN"),
        "What kube-proxy marked it masquerades itself. The nftables form compares the whole mark, "
        "that of iptables one bit of it.",
    ),
    (
        ("ip* saddr != * daddr * return", "! -s * -d * -j RETURN"),
        "What comes from elsewhere for pods keeps its address: the pod sees who asks. The nftables "
        "form spares the whole cluster network so, that of iptables the node's own pods.",
    ),
    (
        ("ip* saddr * daddr * return", "-s * -d * -j RETURN"),
        "Between the node's own pods and the cluster network addresses stay as they are, in either "
        "direction.",
    ),
    (
        ("ip* saddr != * masquerade fully-random", "! -s * -j MASQUERADE --random-fully"),
        "What enters the cluster network from outside gets the node's address, so that the answer "
        "comes back this way. In the nftables form a rule before it spares all of that.",
    ),
    (
        ("ip* saddr * masquerade fully-random", "-s * ! -d * -j MASQUERADE --random-fully"),
        "What leaves the cluster network for elsewhere, another node's address too, gets the "
        "node's address (--ip-masq): nobody outside knows a way to pods.",
    ),
)
# Of what carries IP packets; a VTEP's address is a gateway too.
TUNNEL_ADDRESS = Says(
    "address * dev flannel*",
    FLANNELD,
    "The first address of the node's pod CIDR, alone. It is the source of the node's own packets "
    "to other nodes' pods.",
)
EXPLAINS = (
    Says(
        "nftables table ip* flannel-ipv?",
        FLANNELD,
        "flannel's own table (EnableNFTables): what is masqueraded, and what may be forwarded.",
    ),
    Says(f"{_NFT} postrtg", FLANNELD, "Under which address pods' packets leave the node."),
    Says(
        f"{_NFT} forward*",
        FLANNELD,
        "What is from or for the cluster network may pass this chain. What another one drops, as "
        "by the policy that Docker sets, is dropped: in nftables every chain has its say.",
    ),
    *(Says(f"{_NFT} postrtg: {nft}", FLANNELD, why) for (nft, _), why in _MASQUERADE),
    Says(
        f"{_IPT} * chain *: * -j FLANNEL-*",
        FLANNELD,
        "Leads into flannel's own chain. flanneld adds it at the end, and looks every 5 seconds "
        "whether it is there.",
    ),
    Says(
        f"{_IPT} nat chain FLANNEL-POSTRTG",
        FLANNELD,
        "Under which address pods' packets leave the node.",
    ),
    Says(
        f"{_IPT} filter chain FLANNEL-FWD*",
        FLANNELD,
        "What is from or for the cluster network may pass, also where another program (Docker) "
        "set the policy of FORWARD to DROP.",
    ),
    *(
        Says(f"{_IPT} nat chain FLANNEL-POSTRTG: {iptables}", FLANNELD, why)
        for (_, iptables), why in _MASQUERADE
    ),
)


def rules(
    form: Literal["nftables", "iptables"],
    cluster: Network,
    pods: Network,
    *,
    masquerade: bool = True,
) -> Iterator[Ruleset]:
    """The rules of one family in a node: its cluster CIDR, and the node's own pod CIDR.

    Without `masquerade` (flanneld without `--ip-masq`) those that accept what is forwarded remain.
    """
    make = _nftables if form == "nftables" else _iptables
    return make(cluster, pods, masquerade)


def _multicast(cluster: Network) -> str:
    return "ff00::/8" if cluster.version == 6 else "224.0.0.0/4"


def _nftables(cluster: Network, pods: Network, masquerades: bool) -> Iterator[NftTable]:
    """The table of `EnableNFTables`, rule by rule in the order of its source.

    Unlike iptables' form, the whole mark is compared and not its bit; and all that enters for the
    cluster network returns, so that the last rule never matches: a client outside that comes in by
    another node than the pod's keeps its address.
    """
    ip = "ip6" if cluster.version == 6 else "ip"
    masquerade = Chain(
        name="postrtg",
        comment="chain to manage traffic masquerading by flannel",
        hook=Hook(type="nat", hook="postrouting", priority="srcnat"),
        rules=(
            "meta mark 0x00004000 return",
            f"{ip} saddr {pods} {ip} daddr {cluster} return",
            f"{ip} saddr {cluster} {ip} daddr {pods} return",
            f"{ip} saddr != {pods} {ip} daddr {cluster} return",
            f"{ip} saddr {cluster} {ip} daddr != {_multicast(cluster)} masquerade fully-random",
            f"{ip} saddr != {cluster} {ip} daddr {cluster} masquerade fully-random",
        ),
    )
    forward = Chain(
        name="forward",
        comment="chain to accept flannel traffic",
        hook=Hook(type="filter", hook="forward", priority="filter"),
        rules=(f"{ip} saddr {cluster} accept", f"{ip} daddr {cluster} accept"),
    )
    name = f"flannel-ipv{cluster.version}"
    chains = (masquerade, forward) if masquerades else (forward,)
    yield NftTable(family=ip, name=name, comment=f"rules for {name}", chains=chains)


def _iptables(cluster: Network, pods: Network, masquerades: bool) -> Iterator[IptablesTable]:
    """The chains of flannel's own default form, jumped to from the end of the built-in ones."""
    masq, forward = (f'-m comment --comment "flanneld {w}"' for w in ("masq", "forward"))
    masquerade = IptablesChain(
        name="FLANNEL-POSTRTG",
        rules=(
            f"-m mark --mark 0x4000/0x4000 {masq} -j RETURN",
            f"-s {pods} -d {cluster} {masq} -j RETURN",
            f"-s {cluster} -d {pods} {masq} -j RETURN",
            f"! -s {cluster} -d {pods} {masq} -j RETURN",
            f"-s {cluster} ! -d {_multicast(cluster)} {masq} -j MASQUERADE --random-fully",
            f"! -s {cluster} -d {cluster} {masq} -j MASQUERADE --random-fully",
        ),
    )
    accept = IptablesChain(
        name="FLANNEL-FWD",
        rules=(f"-s {cluster} {forward} -j ACCEPT", f"-d {cluster} {forward} -j ACCEPT"),
    )
    tables = [("filter", "FORWARD", accept, forward)]
    if masquerades:
        tables.insert(0, ("nat", "POSTROUTING", masquerade, masq))
    for table, builtin, chain, words in tables:
        jump = IptablesChain(name=builtin, policy="ACCEPT", rules=(f"{words} -j {chain.name}",))
        yield IptablesTable(
            family="ip6" if cluster.version == 6 else "ip", name=table, chains=(jump, chain)
        )
