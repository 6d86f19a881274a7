"""kube-proxy's modes by the names that topologies use: `kube_proxy.Nftables()`."""

from __future__ import annotations

from netlab.proxy.iptables import Iptables
from netlab.proxy.nftables import Nftables

__all__ = ["Iptables", "Nftables"]
