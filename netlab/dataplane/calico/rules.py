"""Felix's iptables rules (felix/rules/static.go, nat.go) as far as a lab without policies has them.

Left out are the chains that dispatch to policies, and the comments with a hash of each rule, by
which Felix finds what it has written.
"""

from __future__ import annotations

from collections.abc import Iterator

from netlab.plan.rulesets import Ipset, IptablesChain, IptablesTable, Ruleset
from netlab.plan.rulesets.iptables import Family
from netlab.topology.resolved import Network

VXLAN_PORT = 4789
# What a tunnel device's packets are to the node's firewall, and the set of who may send them.
_TUNNELS = {
    "tunl0": ("-p 4", "cali40all-hosts-net"),
    "vxlan.calico": (f"-p udp -m udp --dport {VXLAN_PORT}", "cali40all-vxlan-net"),
}


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
