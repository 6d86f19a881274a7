"""Flannel with its UDP backend: a program of each node carries pods' packets inside UDP."""

from netlab import Cluster, flannel

topology = Cluster(nodes=3, pods_per_node=2, dataplane=flannel.Udp())
