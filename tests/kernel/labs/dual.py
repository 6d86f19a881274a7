"""A dual-stack cluster on flannel's VXLAN, two nodes; `--set dataplane=flannel-host-gw` too."""

from __future__ import annotations

from netlab import Cluster

topology = Cluster(
    nodes=2,
    pods_per_node=2,
    containers=1,
    cluster_cidr=("10.244.0.0/16", "fd44::/56"),
    underlay=("192.168.0.0/24", "fd30::/64"),
    dataplane="flannel-vxlan",
)
