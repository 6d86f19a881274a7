"""Flannel with its host-gw backend: every node is the gateway to its pods, no encapsulation."""

from netlab import Cluster, flannel

topology = Cluster(nodes=3, pods_per_node=2, dataplane=flannel.HostGw())
