"""Services of every kind, as they are first and as they are later."""

from __future__ import annotations

from netlab import Cluster, Service, ServicePort

AFFINITY = 3  # seconds
ALL = ("pod-1-1", "pod-1-2", "pod-2-1", "pod-2-2")
BOTH = ("pod-1-1", "pod-2-1")
ECHO = (
    ServicePort(7, 8080, "TCP", 30007, "echo"),
    ServicePort(7, 8081, "UDP", 30007, "echo-udp"),
)
ELSEWHERE = "198.51.100.7"


def topology(proxy: str = "iptables", *, later: bool = False) -> Cluster:
    """Two nodes; `later` other endpoints, ports and NodePorts, and another affinity."""
    return Cluster(
        nodes=2,
        pods_per_node=2,
        dataplane="flannel-vxlan",
        proxy=proxy,
        services=(*_always(), *(_later() if later else _first())),
    )


def _always() -> tuple[Service, ...]:
    local = {"external_traffic_policy": "Local", "internal_traffic_policy": "Local"}
    return (
        Service("near", 80, 8080, node_port=30081, pods=("pod-1-1",), **local),
        Service("unready", 80, 8080, node_port=30083, pods=BOTH, unready=BOTH),
        Service("published", 80, 8080, pods=BOTH, unready=BOTH, publish_not_ready=True),
        Service("ending", 80, 8080, node_port=30084, pods=BOTH, terminating=BOTH),
        Service("ending-near", 80, 8080, node_port=30085, pods=BOTH, terminating=BOTH, **local),
        Service("outside", 80, 8080, external_ips=(ELSEWHERE,)),
        Service("pods", 8080, cluster_ip="None"),
    )


def _first() -> tuple[Service, ...]:
    sticky = (
        ServicePort(80, 8080, "TCP", 30090, "web"),
        ServicePort(80, 8081, "UDP", 30090, "udp"),
    )
    return (
        Service("web", 80, 8080, node_port=30080),
        Service("twin", 80, 8080),
        Service("echo", ports=ECHO),
        Service("sticky", ports=sticky, affinity=AFFINITY),
        Service("empty", 80, 8080, node_port=30082, pods=()),
    )


def _later() -> tuple[Service, ...]:
    more = ServicePort(8, 8081, "TCP", 0, "more")
    return (
        Service("web", 80, 8080, node_port=30088, pods=ALL[:3]),
        Service("echo", ports=(ECHO[0], more)),
        Service("sticky", 80, 8080, node_port=30090),
        Service("empty", 80, 8080, node_port=30082, pods=("pod-2-2",)),
    )
