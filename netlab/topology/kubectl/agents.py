"""What dataplanes' agents keep in Kubernetes and are configured with; `dataplanes` reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from netlab.topology.kubectl.dataplanes import BACKENDS, CALICO
from netlab.topology.model import Named
from netlab.topology.resolved import Layout, NodeSpec

_CRD = "crd.projectcalico.org/v1"
_TUNNELS = {"calico-ipip": "IPv4IPIPTunnelAddr", "calico-vxlan": "IPv4VXLANTunnelAddr"}
# The options of each family that stand in its objects; of Flannel's backends there are more.
_TOLD = {
    "flannel": {"rules", "mtu"},
    "calico": {"nat_outgoing", "mode", "cross_subnet", "tunnels", "reflectors"},
    "cilium": {"routers", "health", "ipam_mode", "pool", "pool_mask_size"},
}


def family(dataplane: Named) -> str:
    """Flannel's, Calico's or Cilium's; empty for a dataplane of none of these."""
    name = dataplane.name.partition("-")[0]
    return name if name in _TOLD else ""


def in_blocks(dataplane: Named) -> bool:
    """Whether its nodes' pod CIDRs are blocks, of which Kubernetes knows nothing."""
    return family(dataplane) == "calico"


def untold(dataplane: Named) -> list[str]:
    """Those of the given options that stand in no object, so that nobody can read them back."""
    told = set(_TOLD.get(family(dataplane), ()))
    told |= set(BACKENDS.get(dataplane.name.removeprefix("flannel-"), {}).values())
    return sorted(dataplane.options.keys() - told)


def node_annotations(layout: Layout, node: NodeSpec, dataplane: Named) -> dict[str, str]:
    """What calico-node writes on its node (libcalico-go/lib/backend/k8s/resources/node.go)."""
    if family(dataplane) != "calico":
        return {}
    length = node.subnet.network.prefixlen
    found = {f"{CALICO}IPv4Address": f"{node.address}/{length}"}
    tunnel = dict(node.reserved).get("tunnel")
    if tunnel and (key := _TUNNELS.get(dataplane.name)):
        found[f"{CALICO}{key}"] = str(tunnel)
    reflectors = layout.nodes[: dataplane.options.get("reflectors", 1)]
    if dataplane.name == "calico-rr" and node in reflectors:
        found[f"{CALICO}RouteReflectorClusterID"] = "224.0.0.1"
    return found


def objects(layout: Layout, dataplane: Named) -> Iterator[dict[str, Any]]:
    """The agents' configuration, and what they keep."""
    kind, options = family(dataplane), dataplane.options
    if kind == "flannel":
        yield config_map("kube-flannel-cfg", "kube-flannel", _net_conf(layout, dataplane))
    elif kind == "cilium":
        native = dataplane.name == "cilium-native"
        tunnel = {} if native else {"tunnel-protocol": "vxlan"}
        data = {
            "cluster-pool-ipv4-cidr": str(layout.cluster_cidr),
            "cluster-pool-ipv4-mask-size": str(layout.node_mask),
            "ipam": options.get("ipam_mode", "kubernetes"),
            "routing-mode": "native" if native else "tunnel",
            **tunnel,
        }
        yield config_map("cilium-config", "kube-system", data)
    elif kind == "calico":
        yield from _pools(layout, dataplane.name, options)
        for node in layout.nodes:
            for block in node.pod_cidrs:
                plain = str(block).replace(".", "-").replace(":", "-").replace("/", "-")
                spec = {"cidr": str(block), "node": node.name, "state": "confirmed"}
                yield _custom("BlockAffinity", f"{node.name}-{plain}", spec)


def config_map(name: str, namespace: str, data: Mapping[str, str]) -> dict[str, Any]:
    """A ConfigMap as kubectl prints it."""
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(data)}


def _custom(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _CRD, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def _net_conf(layout: Layout, dataplane: Named) -> dict[str, str]:
    kind, options = dataplane.name.removeprefix("flannel-"), dataplane.options
    backend: dict[str, Any] = {"Type": kind}
    backend |= {key: options[own] for key, own in BACKENDS.get(kind, {}).items() if own in options}
    backend |= {"MTU": options["mtu"]} if options.get("mtu") else {}
    conf: dict[str, Any] = {"Network": str(layout.cluster_cidr), "Backend": backend}
    conf["EnableNFTables"] = options.get("rules", "nftables") == "nftables"
    if layout.dual_stack:
        conf |= {"EnableIPv6": True, "IPv6Network": str(layout.cluster_cidrs[1])}
    return {"net-conf.json": json.dumps(conf, indent=2) + "\n"}


def _pools(layout: Layout, name: str, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    crossing = "CrossSubnet" if options.get("cross_subnet") else "Always"
    for cidr in layout.cluster_cidrs:
        ipv6 = cidr.version == 6
        spec = {
            "cidr": str(cidr),
            "ipipMode": options.get("mode", "Always") if name == "calico-ipip" else "Never",
            "natOutgoing": not ipv6 and options.get("nat_outgoing", True),
            "vxlanMode": crossing if name == "calico-vxlan" else "Never",
        }
        yield _custom("IPPool", f"default-ipv{cidr.version}-ippool", spec)
