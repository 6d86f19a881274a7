"""Flannel with its VXLAN backend: pods' packets travel inside UDP between the nodes."""

from netlab import Cluster, flannel

topology = Cluster(nodes=3, pods_per_node=2, dataplane=flannel.Vxlan())
