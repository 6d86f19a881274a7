"""Flannel VXLAN, dual-stack: IPv4 and IPv6 in pods, nodes and on the underlay."""

from netlab import Cluster, flannel

topology = Cluster(
    cluster_cidr=("10.244.0.0/16", "fd44::/56"),
    underlay=("192.168.0.0/24", "fd30::/64"),
    dataplane=flannel.Vxlan(),
)
