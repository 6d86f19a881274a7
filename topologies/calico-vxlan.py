"""Calico with its VXLAN: pods' packets travel inside UDP between the nodes, no BGP."""

from netlab import Cluster, calico

topology = Cluster(nodes=3, pods_per_node=2, dataplane=calico.Vxlan())
