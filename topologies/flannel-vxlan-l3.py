"""Flannel VXLAN over a routed underlay: nodes in two subnets behind a real router."""

from netlab import Cluster, flannel

topology = Cluster(
    nodes=3,
    pods_per_node=2,
    underlay=["192.168.1.0/24", "192.168.2.0/24"],
    dataplane=flannel.Vxlan(),
)
