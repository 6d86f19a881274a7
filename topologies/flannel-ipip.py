"""Flannel with its IPIP backend: pods' packets travel inside IPv4 between the nodes."""

from netlab import Cluster, flannel

topology = Cluster(nodes=3, pods_per_node=2, dataplane=flannel.Ipip())
