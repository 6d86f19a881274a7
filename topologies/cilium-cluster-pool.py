"""Cilium with the pool that its operator has by default, 10.0.0.0/8, in parts of /24.

Kubernetes' usual Services (10.96.0.0/12) lie in that pool, so that they have to be elsewhere.
"""

from netlab import Cluster, cilium

topology = Cluster(
    nodes=3,
    pods_per_node=2,
    service_cidr="172.20.0.0/16",
    dataplane=cilium.Vxlan(ipam_mode="cluster-pool"),
)
