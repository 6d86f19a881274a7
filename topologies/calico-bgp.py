"""Calico without encapsulation: BIRD in every node, full mesh, plain routes to pods' blocks."""

from netlab import Cluster, calico

topology = Cluster(nodes=3, pods_per_node=2, dataplane=calico.Bgp())
