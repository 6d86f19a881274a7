"""Flannel's masquerade and forward rules (flannel pkg/trafficmngr)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from netlab.plan.rulesets import NftTable, Ruleset
from netlab.topology.resolved import Network


def rules(
    form: Literal["nftables", "iptables"], cluster: Network, pods: Network
) -> Iterator[Ruleset]:
    """Flannel's nftables table (`EnableNFTables`), rule by rule in the order of its source."""
    ip = "ip6" if cluster.version == 6 else "ip"
    name = f"flannel-ipv{cluster.version}"
    multicast = "ff00::/8" if cluster.version == 6 else "224.0.0.0/4"
    body = f"""\
	comment "rules for {name}"
	chain postrtg {{
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x00004000 return
		{ip} saddr {pods} {ip} daddr {cluster} return
		{ip} saddr {cluster} {ip} daddr {pods} return
		{ip} saddr != {pods} {ip} daddr {cluster} return
		{ip} saddr {cluster} {ip} daddr != {multicast} masquerade fully-random
		{ip} saddr != {cluster} {ip} daddr {cluster} masquerade fully-random
	}}
	chain forward {{
		comment "chain to accept flannel traffic"
		type filter hook forward priority filter; policy accept;
		{ip} saddr {cluster} accept
		{ip} daddr {cluster} accept
	}}"""
    yield NftTable(family=ip, name=name, body=body)
