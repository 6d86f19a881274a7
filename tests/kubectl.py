"""What kubectl prints of clusters, for tests: small objects, and a whole cluster of kubespray's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

Json = dict[str, Any]


def text(items: list[Json], *, form: str = "yaml") -> str:
    """As `kubectl get … -o yaml` or `-o json` prints several objects."""
    whole = {
        "apiVersion": "v1",
        "items": items,
        "kind": "List",
        "metadata": {"resourceVersion": ""},
    }
    return json.dumps(whole, indent=4) if form == "json" else yaml.dump(whole, Dumper=_Plain)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def node(name: str, address: str, cidr: str = "", **meta: Any) -> Json:
    labels = {"kubernetes.io/hostname": name, **meta.pop("labels", {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, **meta},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {},
        "status": {
            "addresses": [
                {"address": address, "type": "InternalIP"},
                {"address": name, "type": "Hostname"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.29.5", "osImage": "Debian GNU/Linux 12 (bookworm)"},
        },
    }


def pod(name: str, node: str, address: str, *ports: tuple[str, int, str], **more: Any) -> Json:
    """`ports` are names, numbers and protocols, of its only container."""
    namespace, host = more.pop("namespace", "default"), more.pop("host", False)
    container = {
        "name": more.pop("container", "main"),
        "image": "registry.example/main:1",
        "command": ["/bin/sh", "-c", "touch /tmp/never-run-by-netlab"],
        "ports": [{"name": n, "containerPort": p, "protocol": k} for n, p, k in ports],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": more.pop("labels", {})},
        "spec": {
            "nodeName": node,
            "containers": [container, *more.pop("sidecars", [])],
            "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
            **({"hostNetwork": True} if host else {}),
        },
        "status": {
            "phase": more.pop("phase", "Running"),
            "conditions": [{"type": "Ready", "status": more.pop("ready", "True")}],
            "podIP": address,
            "podIPs": [{"ip": address}],
        },
        **more,
    }


def service(name: str, ip: str, *ports: Json, namespace: str = "default", **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": list(ports),
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            **spec,
        },
    }


def endpoints(
    name: str, ports: list[Json], *addresses: str, namespace: str = "default", unready: str = ""
) -> Json:
    return {
        "addressType": "IPv4",
        "apiVersion": "discovery.k8s.io/v1",
        "endpoints": [
            {
                "addresses": [one],
                "conditions": {"ready": one != unready, "serving": one != unready},
            }
            for one in addresses
        ],
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-x7k2p",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "ports": ports,
    }


def config_map(name: str, namespace: str = "kube-system", **data: str) -> Json:
    return {
        "apiVersion": "v1",
        "data": {key.replace("_", "-"): value for key, value in data.items()},
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
    }


# The name, InternalIP, number of the pod CIDR, cilium_host and health address of each node.
NODES = (
    ("cd.ops.k8s-master-01", "192.168.50.11", 64, 15, 230),
    ("cd.ops.k8s-master-02", "192.168.50.12", 65, 217, 119),
    ("cd.ops.k8s-master-03", "192.168.50.13", 66, 34, 91),
    ("cd.ops.server.k8s-node-01", "192.168.50.21", 69, 246, 171),
    ("cd.ops.server.k8s-node-02", "192.168.50.22", 68, 214, 91),
    ("cd.ops.server.k8s-node-03", "192.168.50.23", 67, 133, 235),
)
MASTERS = NODES[:3]
_DNS = [
    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": "dns-tcp"},
    {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
]


def kubespray(*, mode: str = "iptables") -> list[Json]:
    """A cluster of three masters and three workers as kubespray makes it, with Cilium."""
    return [*_nodes(), *_static_pods(mode), *_pods(), *_services(), *_config_maps(mode)]


def _nodes() -> Iterator[Json]:
    for name, address, number, router, health in NODES:
        cidr, master = f"10.233.{number}.0/24", "master" in name
        own = {
            "ipv4-pod-cidr": cidr,
            "ipv4-cilium-host": f"10.233.{number}.{router}",
            "ipv4-health-ip": f"10.233.{number}.{health}",
        }
        made = node(
            name,
            address,
            cidr,
            labels={"node-role.kubernetes.io/control-plane": ""} if master else {},
            annotations={f"io.cilium.network.{key}": value for key, value in own.items()},
        )
        if master:
            taint = {"effect": "NoSchedule", "key": "node-role.kubernetes.io/control-plane"}
            made["spec"]["taints"] = [taint]
        yield made


def _static_pods(mode: str) -> Iterator[Json]:
    """Those in their nodes' networks: static pods, kube-proxy, Cilium, nodelocaldns."""
    system: Json = {"namespace": "kube-system", "host": True}
    for name, address, *_ in MASTERS:
        for part, port in (
            ("apiserver", 6443),
            ("controller-manager", 10257),
            ("scheduler", 10259),
        ):
            made = pod(f"kube-{part}-{name}", name, address, ("https", port, "TCP"), **system)
            flags = ["--service-cluster-ip-range=10.233.0.0/18", "--node-cidr-mask-size=24"]
            flags += ["--cluster-cidr=10.233.64.0/18", "--service-node-port-range=30000-32767"]
            made["spec"]["containers"][0]["command"] = [f"kube-{part}", *flags]
            yield made
    for number, (name, address, *_) in enumerate(NODES):
        for part in ("kube-proxy", "cilium", "nodelocaldns"):
            yield pod(f"{part}-b7x{number}q", name, address, **system, labels={"k8s-app": part})


def _pods() -> Iterator[Json]:
    system = {"namespace": "kube-system"}
    dns = {"k8s-app": "kube-dns"}
    ports = (("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP"))
    for name, at, ip in (("coredns-5c469774b8-4x2vj", 0, 64), ("coredns-5c469774b8-q8gzn", 1, 65)):
        address = f"10.233.{ip}.{77 + at}"
        yield pod(name, NODES[at][0], address, *ports, labels=dns, **system, container="coredns")
    yield pod("dns-autoscaler-7b6c8f-xk2", NODES[2][0], "10.233.66.5", **system)
    sidecar = {"name": "exporter", "ports": [{"containerPort": 9113, "name": "metrics"}]}
    for number, (name, _, cidr, *_) in enumerate(NODES[3:], 1):
        web = {"labels": {"app": "web", "tier": "front"}, "namespace": "shop"}
        own = f"10.233.{cidr}.{100 + number}"
        http = ("http", 80, "TCP")
        yield pod(f"web-6d4cf56db6-{number}", name, own, http, **web, sidecars=[sidecar])
    yield pod("db-0", NODES[3][0], "10.233.69.9", ("pg", 5432, "TCP"), labels={"app": "db"})
    yield pod("migrate-28x", NODES[4][0], "10.233.68.200", phase="Succeeded")


def _services() -> Iterator[Json]:
    https = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}
    yield service("kubernetes", "10.233.0.1", https)
    masters = [address for _, address, *_ in MASTERS]
    yield endpoints("kubernetes", [{"name": "https", "port": 6443, "protocol": "TCP"}], *masters)
    dns = {"namespace": "kube-system", "selector": {"k8s-app": "kube-dns"}}
    yield service("coredns", "10.233.0.3", *_DNS, **dns)
    ports = [{**port, "port": 9153 if port["port"] == 9153 else 53} for port in _DNS]
    coredns = ("10.233.64.77", "10.233.65.78")
    yield endpoints("coredns", ports, *coredns, namespace="kube-system")
    web = {"port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080}
    front = {"type": "NodePort", "selector": {"app": "web"}, "externalTrafficPolicy": "Local"}
    yield service("web", "10.233.12.7", web, namespace="shop", **front)
    behind = [f"10.233.{cidr}.{100 + number}" for number, cidr in enumerate((69, 68, 67), 1)]
    port = [{"name": "", "port": 80, "protocol": "TCP"}]
    yield endpoints("web", port, *behind, namespace="shop", unready=behind[2])
    pg = {"port": 5432, "protocol": "TCP", "targetPort": 5432}
    yield service("db", "None", pg, selector={"app": "db"})
    yield endpoints("db", [{"port": 5432, "protocol": "TCP"}], "10.233.69.9")


def _config_maps(mode: str) -> Iterator[Json]:
    config = f'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nmode: "{mode}"\nclusterCIDR: ""\n'
    yield config_map("kube-proxy", config_conf=config) | {
        "data": {"config.conf": config, "kubeconfig.conf": "apiVersion: v1\n"}
    }
    yield config_map(
        "cilium-config",
        tunnel="vxlan",
        cluster_pool_ipv4_cidr="10.233.64.0/18",
        cluster_pool_ipv4_mask_size="24",
    )
