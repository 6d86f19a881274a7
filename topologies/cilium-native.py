"""Cilium's native routing: every node is the gateway to its pods, no encapsulation."""

from netlab import Cluster, cilium

topology = Cluster(nodes=3, pods_per_node=2, dataplane=cilium.Native())
