"""Calico with IP in IP: pods' packets travel in a second IP header between the nodes."""

from netlab import Cluster, calico

topology = Cluster(nodes=3, pods_per_node=2, dataplane=calico.Ipip())
