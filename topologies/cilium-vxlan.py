"""Cilium's tunnel mode: routes with a tunnel key on one VXLAN device, pods behind lxc veths."""

from netlab import Cluster, cilium

topology = Cluster(nodes=3, pods_per_node=2, dataplane=cilium.Vxlan())
