"""Cilium's iptables rules (pkg/datapath/iptables/iptables.go), those that work without its marks.

Left out are the chains for its L7 proxy and the marks of host traffic, which nothing here sets.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.explanations import Says
from netlab.plan.rulesets import Ipset, IptablesChain, IptablesTable, Ruleset
from netlab.topology.resolved import Layout, NodeSpec

NODES = "cilium_node_set_v4"
AGENT = "cilium-agent"
_TABLE = "iptables-nft table"
_NAT, _FILTER = f"{_TABLE} nat chain", f"{_TABLE} filter chain"
EXPLAINS = (
    Says(
        f"ipset {NODES}",
        AGENT,
        "The addresses of the cluster's nodes, to which pods keep their own.",
    ),
    Says(
        f"{_TABLE} * chain *: * -j CILIUM_*",
        AGENT,
        "Leads into Cilium's own chain, which is made anew when the agent starts.",
    ),
    Says(
        f"{_NAT} CILIUM_POST_nat",
        AGENT,
        "Masquerade by iptables. With enable-bpf-masquerade it is eBPF on the uplink, and no rule.",
    ),
    Says(
        f"{_NAT} CILIUM_POST_nat: * -j ACCEPT",
        AGENT,
        "Native routing: to the cluster's nodes pods keep their addresses. Chains of others that "
        "come later do not see these packets.",
    ),
    Says(
        f"{_NAT} CILIUM_POST_nat: * -j MASQUERADE",
        AGENT,
        "What a pod sends to elsewhere gets the node's address. With a tunnel elsewhere is all "
        "that does not leave by a cilium_ device, another node's address too.",
    ),
    Says(
        f"{_NAT} CILIUM_POST_nat: -s 127.0.0.1/32 *",
        AGENT,
        "What the node sends to pods from 127.0.0.1 gets its router address.",
    ),
    Says(
        f"{_NAT} CILIUM_POST_nat: ! -s * -j SNAT *",
        AGENT,
        "Tunnel: what enters the cluster by cilium_host from elsewhere gets the node's router "
        "address, so that the answer comes back by the tunnel.",
    ),
    Says(f"{_FILTER} CILIUM_FORWARD", AGENT, "What may be forwarded."),
    Says(
        f"{_FILTER} CILIUM_FORWARD: * -j ACCEPT",
        AGENT,
        "From and to pods everything may pass here: policies are no matter of iptables in Cilium, "
        "but of eBPF, and netlab has none.",
    ),
)


def rules(layout: Layout, node: NodeSpec, *, tunnel: bool) -> Iterator[Ruleset]:
    """What leaves a node's pod for elsewhere gets the node's address.

    With a `tunnel` elsewhere is all but the node's own CIDR, as what stays in the cluster leaves by
    `cilium_vxlan`: so another node's address too. With native routing it is all but the cluster's
    CIDR (`ipv4-native-routing-cidr`) and the nodes' addresses.
    """
    own, router = node.pod_cidr, node.gateway
    spared = own if tunnel else layout.cluster_cidr
    lines = []
    if not tunnel:
        addresses = tuple(sorted(str(one.address) for one in layout.nodes))
        yield Ipset(name=NODES, type="hash:ip", entries=addresses)
        words = _comment("exclude traffic to cluster nodes from masquerade")
        lines.append(f"-s {own} -m set --match-set {NODES} dst {words} -j ACCEPT")
    words = _comment("cilium masquerade non-cluster")
    lines.append(f"-s {own} ! -d {spared} ! -o cilium_+ {words} -j MASQUERADE")
    if tunnel:
        words = _comment("cilium host->cluster masquerade")
        snat = f"-j SNAT --to-source {router}"
        lines.append(f"! -s {own} ! -d {own} -o cilium_host {words} {snat}")
    words = _comment("cilium host->cluster from 127.0.0.1 masquerade")
    lines.append(f"-s 127.0.0.1/32 -o cilium_host {words} -j SNAT --to-source {router}")
    yield _table("nat", "POSTROUTING", "CILIUM_POST_nat", tuple(lines))
    forward = (
        ("-o cilium_host", "cilium: any->cluster on cilium_host forward accept"),
        ("-i cilium_host", "cilium: cluster->any on cilium_host forward accept (nodeport)"),
        ("-i lxc+", "cilium: cluster->any on lxc+ forward accept"),
        ("-i cilium_net", "cilium: cluster->any on cilium_net forward accept (nodeport)"),
    )
    accepted = tuple(f"{match} {_comment(words)} -j ACCEPT" for match, words in forward)
    yield _table("filter", "FORWARD", "CILIUM_FORWARD", accepted)


def _comment(words: str) -> str:
    return f'-m comment --comment "{words}"'


def _table(name: str, builtin: str, chain: str, lines: tuple[str, ...]) -> IptablesTable:
    jump = f"{_comment(f'cilium-feeder: {chain}')} -j {chain}"
    return IptablesTable(
        name=name,
        chains=(
            IptablesChain(name=builtin, policy="ACCEPT", rules=(jump,)),
            IptablesChain(name=chain, rules=lines),
        ),
    )
