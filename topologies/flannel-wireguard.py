"""Flannel with its WireGuard backend: pods' packets travel encrypted between the nodes."""

from netlab import Cluster, flannel

topology = Cluster(nodes=3, pods_per_node=2, dataplane=flannel.Wireguard())
