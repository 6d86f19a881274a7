"""What all flannel backends share: the masquerade and forward rules (flannel pkg/trafficmngr)."""

from __future__ import annotations

from netlab.plan.types import Table
from netlab.topology.layout import Layout, NodeSpec


def rules(layout: Layout, node: NodeSpec) -> Table:
    """Flannel's nftables table (`EnableNFTables`), rule by rule in the order of its source.

    kube-proxy's mark returns first; traffic inside the cluster network keeps its addresses; what
    leaves it from a pod, and what enters it from elsewhere, is masqueraded.
    """
    cluster, pods = layout.cluster_cidr, node.pod_cidr
    body = f"""\
	comment "rules for flannel-ipv4"
	chain postrtg {{
		comment "chain to manage traffic masquerading by flannel"
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x00004000 return
		ip saddr {pods} ip daddr {cluster} return
		ip saddr {cluster} ip daddr {pods} return
		ip saddr != {pods} ip daddr {cluster} return
		ip saddr {cluster} ip daddr != 224.0.0.0/4 masquerade fully-random
		ip saddr != {cluster} ip daddr {cluster} masquerade fully-random
	}}
	chain forward {{
		comment "chain to accept flannel traffic"
		type filter hook forward priority filter; policy accept;
		ip saddr {cluster} accept
		ip daddr {cluster} accept
	}}"""
    return Table("ip", "flannel-ipv4", body)
