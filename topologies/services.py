"""Services of each kind on every node: NodePort, policies, affinity, TCP and UDP, empty; names."""

from netlab import Cluster, Service, ServicePort, flannel

topology = Cluster(
    nodes=3,
    pods_per_node=2,
    dataplane=flannel.Vxlan(),
    proxy="iptables",
    dns=True,
    services=[
        Service("web", port=80, target_port=8080, node_port=30080),
        Service(
            "echo",
            ports=(
                ServicePort(7, 8080, "TCP", 30007, "echo"),
                ServicePort(7, 8081, "UDP", 30007, "echo-udp"),
            ),
        ),
        Service(
            "near",
            port=80,
            target_port=8080,
            node_port=30081,
            pods=("pod-1-1", "pod-2-1"),
            external_traffic_policy="Local",
            internal_traffic_policy="Local",
        ),
        Service("sticky", port=80, target_port=8080, affinity=10),
        Service("empty", port=80, pods=(), node_port=30082),
        Service("pods", port=8080, cluster_ip="None"),
    ],
)
