"""kube-proxy's modes by the names that topologies use.

>>> netlab.kube_proxy.Nftables(version="1.35").name
'nftables'
"""

from __future__ import annotations

from netlab.proxy.iptables import Iptables
from netlab.proxy.ipvs import Ipvs
from netlab.proxy.nftables import Nftables

__all__ = ["Iptables", "Ipvs", "Nftables"]
