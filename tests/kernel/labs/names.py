"""Services that are asked for by name; one more with `late`."""

from netlab import Cluster, Node, Pod, Service


def topology(late: bool = False) -> Cluster:
    services = [
        Service("web", port=80, target_port=8080, cluster_ip="10.96.0.80"),
        Service("pods", port=8080, cluster_ip="None"),
    ]
    return Cluster(
        nodes=[Node(pods=1), Node(pods=[Pod("web-0", namespace="prod")])],
        containers=1,
        dataplane="flannel-host-gw",
        dns=True,
        proxy="nftables",
        services=[*services, *([Service("late", port=80, target_port=8080)] if late else [])],
    )
