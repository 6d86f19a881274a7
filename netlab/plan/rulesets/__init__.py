"""Rulesets as objects: nftables tables, iptables tables of both backends, ip sets, IPVS.

A rule stays one line in the words of its tool; what a change touches are chains, rules and
elements (the shape is that of knftables). Each type knows how to become another state of itself.
"""

from __future__ import annotations

from netlab.plan.rulesets.base import Ruleset
from netlab.plan.rulesets.ipset import Ipset
from netlab.plan.rulesets.iptables import IptablesChain, IptablesTable, merged
from netlab.plan.rulesets.ipvs import IpvsTable, RealServer, VirtualServer
from netlab.plan.rulesets.nft import Chain, Hook, Map, NftObject, NftTable, Set

AnyRuleset = NftTable | IptablesTable | Ipset | IpvsTable

__all__ = [
    "AnyRuleset",
    "Chain",
    "Hook",
    "Ipset",
    "IptablesChain",
    "IptablesTable",
    "IpvsTable",
    "Map",
    "NftObject",
    "NftTable",
    "RealServer",
    "Ruleset",
    "Set",
    "VirtualServer",
    "merged",
]
