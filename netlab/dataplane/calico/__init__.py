"""Calico v3.32 (projectcalico/calico): what its modes share, and a file for each mode.

>>> netlab.calico.Bgp(timers="calico").name
'calico-bgp'
"""

from __future__ import annotations

from netlab.dataplane.calico.base import Calico
from netlab.dataplane.calico.bgp import Bgp
from netlab.dataplane.calico.ipip import Ipip
from netlab.dataplane.calico.rr import RouteReflectors
from netlab.dataplane.calico.vxlan import Vxlan

__all__ = ["Bgp", "Calico", "Ipip", "RouteReflectors", "Vxlan"]
