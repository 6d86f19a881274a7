"""Felix's iptables rules (felix/rules/static.go, nat.go) as far as a lab without policies has them.

Left out are the chains that dispatch to policies, and the comments with a hash of each rule, by
which Felix finds what it has written.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.explanations import Says
from netlab.plan.names import UPLINK
from netlab.plan.rulesets import Ipset, IptablesChain, IptablesTable, Ruleset
from netlab.plan.rulesets.iptables import Family
from netlab.topology.resolved import Network

VXLAN_PORT = 4789
# What a tunnel device's packets are to the node's firewall, and the set of who may send them.
_TUNNELS = {
    "tunl0": ("-p 4", "cali40all-hosts-net"),
    "vxlan.calico": (f"-p udp -m udp --dport {VXLAN_PORT}", "cali40all-vxlan-net"),
}
FELIX = "felix"
CROSS_SUBNET = Says(
    f"route * dev {UPLINK} * proto 80",
    FELIX,
    "CrossSubnet: the block of a node in the same subnet, without the tunnel.",
)
_TABLE = "ip*tables-nft table"
_HOOKS = (
    ("nat", "POSTROUTING"),
    ("filter", "INPUT"),
    ("filter", "FORWARD"),
    ("raw", "PREROUTING"),
    ("raw", "OUTPUT"),
)
EXPLAINS = (
    Says(
        "ipset cali?0masq-ipam-pools",
        FELIX,
        "The pools with natOutgoing: what leaves them gets the node's address.",
    ),
    Says(
        "ipset cali?0all-ipam-pools",
        FELIX,
        "All pools: pods' addresses, which nothing is hidden from.",
    ),
    Says(
        "ipset cali40all-*-net",
        FELIX,
        "The nodes' addresses: from these the tunnel takes packets, and from nobody else.",
    ),
    Says(
        f"{_TABLE} filter chain cali-INPUT*",
        FELIX,
        "A tunnel's packets are taken from Calico's nodes alone: anyone could send others.",
    ),
    *(
        Says(
            f"{_TABLE} {table} chain {chain}: -j cali-{chain}",
            FELIX,
            "Leads into felix's own chain; all of felix's begin with `cali-`.",
        )
        for table, chain in _HOOKS
    ),
    Says(
        f"{_TABLE} nat chain cali-POSTROUTING",
        FELIX,
        "Under which address packets leave the node.",
    ),
    Says(
        f"{_TABLE} nat chain cali-fip-snat",
        FELIX,
        "For floating addresses of pods, of which the lab has none: it is empty.",
    ),
    Says(
        f"{_TABLE} nat chain cali-nat-outgoing",
        FELIX,
        "What natOutgoing of the pools asks for; empty where none has it, as IPv6 pools.",
    ),
    Says(
        f"{_TABLE} nat chain cali-POSTROUTING: -j cali-*",
        FELIX,
        "Leads into the chain for one purpose.",
    ),
    Says(
        f"{_TABLE} nat chain cali-nat-outgoing: *",
        FELIX,
        "natOutgoing: what leaves a pool for an address that is in none, another node's too, gets "
        "the node's address, as nobody outside knows a way to pods.",
    ),
    Says(
        f"{_TABLE} nat chain cali-POSTROUTING: -o * -j MASQUERADE --random-fully",
        FELIX,
        "What the node sends by the tunnel under another of its addresses gets that of the tunnel, "
        "so that the answer comes back by it.",
    ),
    Says(
        f"{_TABLE} filter chain cali-FORWARD",
        FELIX,
        "What may be forwarded. With policies it leads to their chains; the lab has none.",
    ),
    Says(
        f"{_TABLE} filter chain cali-FORWARD: * -j ACCEPT",
        FELIX,
        "From and to pods everything may pass. In Calico the chains of policies come first and "
        "mark what is allowed; a lab without policies allows all.",
    ),
    Says(
        f"{_TABLE} raw chain cali-*",
        FELIX,
        "VXLAN's own packets are not tracked (NOTRACK): a connection for each would cost and "
        "tell nothing.",
    ),
)


def rules(
    pool: Network, *, masquerade: bool, tunnel: str, hosts: tuple[str, ...] = ()
) -> Iterator[Ruleset]:
    """The rules of one family in a node, and the sets of pools that they match.

    `tunnel` is the node's tunnel device: what leaves by it under another of the node's addresses
    gets that of the device, so that the answer comes back the same way. Of VXLAN's own packets no
    connection is kept (raw table). `hosts` are the nodes whose packets the tunnel takes.
    """
    ipv6 = pool.version == 6
    family: Family = "ip6" if ipv6 else "ip"
    prefix = f"cali{'60' if ipv6 else '40'}"
    masq, every = f"{prefix}masq-ipam-pools", f"{prefix}all-ipam-pools"
    if masquerade:
        for name in (masq, every):
            yield Ipset(
                name=name,
                type="hash:net",
                family="inet6" if ipv6 else "inet",
                maxelem=1048576,  # felix's own default (MaxIpsetSize)
                entries=(str(pool),),
            )
    outgoing = (
        f"-m set --match-set {masq} src -m set ! --match-set {every} dst "
        "-j MASQUERADE --random-fully"
    )
    own_address = (
        f"-o {tunnel} -m addrtype ! --src-type LOCAL --limit-iface-out "
        "-m addrtype --src-type LOCAL -j MASQUERADE --random-fully"
    )
    through = (own_address,) if tunnel else ()
    yield _table(
        family,
        "nat",
        ("POSTROUTING", ("-j cali-POSTROUTING",)),
        ("cali-POSTROUTING", ("-j cali-fip-snat", "-j cali-nat-outgoing", *through)),
        ("cali-fip-snat", ()),
        ("cali-nat-outgoing", (outgoing,) if masquerade else ()),
    )
    forward = (
        ("FORWARD", ("-j cali-FORWARD",)),
        ("cali-FORWARD", ("-i cali+ -j ACCEPT", "-o cali+ -j ACCEPT")),
    )
    if tunnel:
        packets, known = _TUNNELS[tunnel]
        yield Ipset(name=known, type="hash:net", maxelem=1048576, entries=hosts)
        local = "-m addrtype --dst-type LOCAL"
        accepted = f"{packets} -m set --match-set {known} src {local} -j ACCEPT"
        dropped = f"{packets} -j DROP" if tunnel == "tunl0" else f"{packets} {local} -j DROP"
        firewall = (("INPUT", ("-j cali-INPUT",)), ("cali-INPUT", (accepted, dropped)))
        yield _table(family, "filter", *firewall, *forward)
    else:
        yield _table(family, "filter", *forward)
    if tunnel == "vxlan.calico":
        untracked = f"-p udp -m udp --dport {VXLAN_PORT} -j NOTRACK"
        yield _table(
            family,
            "raw",
            ("PREROUTING", ("-j cali-PREROUTING",)),
            ("OUTPUT", ("-j cali-OUTPUT",)),
            ("cali-PREROUTING", (untracked,)),
            ("cali-OUTPUT", (untracked,)),
        )


def _table(family: Family, name: str, *chains: tuple[str, tuple[str, ...]]) -> IptablesTable:
    return IptablesTable(
        family=family,
        name=name,
        chains=tuple(
            IptablesChain(name=chain, policy="ACCEPT" if chain.isupper() else None, rules=lines)
            for chain, lines in chains
        ),
    )
