"""Three nodes in 192.168.0.0/24 with pod networks 100.12.24.0/24 to 100.12.26.0/24.

The dataplane is an option: `netlab up seed-example --set dataplane=flannel-host-gw`.
"""

from netlab import Cluster


def topology(nodes: int = 3, pods_per_node: int = 2, dataplane: str = "flannel-host-gw") -> Cluster:
    return Cluster(
        nodes=nodes,
        pods_per_node=pods_per_node,
        cluster_cidr="100.12.24.0/22",
        underlay="192.168.0.0/24",
        dataplane=dataplane,
    )
