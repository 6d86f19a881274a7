"""Cilium (cilium/cilium), with the kernel's routing in the place of its eBPF programs.

Addresses, devices, routes and masquerade are Cilium's. What it decides in eBPF (which endpoint a
packet is for, which tunnel it takes) is here a route for each pod and for each node, so that a
packet loses one more from its TTL than there: pods of two nodes see 62 and not 63.

>>> netlab.cilium.Vxlan(identity=4711).name
'cilium-vxlan'
"""

from __future__ import annotations

from netlab.dataplane.cilium.base import Cilium
from netlab.dataplane.cilium.native import Native
from netlab.dataplane.cilium.vxlan import Vxlan

__all__ = ["Cilium", "Native", "Vxlan"]
