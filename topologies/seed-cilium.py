"""Six nodes of a real cluster with their names, pod CIDRs, and cilium_host and health addresses.

The workers' CIDRs run backwards: they are given in the order in which nodes join.
"""

from netlab import Cluster, Node, cilium

NODES = (
    ("cd.ops.k8s-master-01", 64, 15, 230),
    ("cd.ops.k8s-master-02", 65, 217, 119),
    ("cd.ops.k8s-master-03", 66, 34, 91),
    ("cd.ops.server.k8s-node-01", 69, 246, 171),
    ("cd.ops.server.k8s-node-02", 68, 214, 91),
    ("cd.ops.server.k8s-node-03", 67, 133, 235),
)

topology = Cluster(
    nodes=[Node(name, pod_cidr=f"10.233.{number}.0/24") for name, number, _, _ in NODES],
    pods_per_node=2,
    containers=1,
    cluster_cidr="10.233.64.0/18",
    service_cidr="10.233.0.0/18",
    underlay="192.168.50.0/24",
    dataplane=cilium.Vxlan(
        routers=tuple(f"10.233.{number}.{router}" for _, number, router, _ in NODES),
        health=tuple(f"10.233.{number}.{health}" for _, number, _, health in NODES),
    ),
)
