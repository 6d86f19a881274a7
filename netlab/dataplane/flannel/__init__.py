"""Flannel (flannel-io/flannel): what its backends share, and a file for each backend.

>>> netlab.flannel.Vxlan(vni=7).name
'flannel-vxlan'
"""

from __future__ import annotations

from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.host_gw import HostGw
from netlab.dataplane.flannel.ipip import Ipip
from netlab.dataplane.flannel.udp import Udp
from netlab.dataplane.flannel.vxlan import Vxlan
from netlab.dataplane.flannel.wireguard import Wireguard

__all__ = ["Flannel", "HostGw", "Ipip", "Udp", "Vxlan", "Wireguard"]
