"""A layout as the objects that kubectl would print of such a cluster: what `read` reads back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from netlab.topology.kubectl import agents
from netlab.topology.model import Named
from netlab.topology.node_servers import API_SERVICE
from netlab.topology.resolved import (
    ContainerSpec,
    EndpointSpec,
    Layout,
    NodeSpec,
    PodSpec,
    ServicePortSpec,
    ServiceSpec,
)
from netlab.topology.services import HEADLESS

Object = dict[str, Any]
Annotations = Callable[[NodeSpec], Mapping[str, str]]
_SYSTEM = "kube-system"


def export(
    layout: Layout, dataplane: Named, proxy: Named | None, annotations: Annotations
) -> Object:
    """A List of the cluster's objects, as `kubectl get … -o json` has it.

    `annotations` are what the dataplane's agent writes on a node.
    """
    masters = {
        one.target
        for service in layout.services
        if service.full_name == API_SERVICE
        for port in service.ports
        for one in port.endpoints
    }
    items = [
        *(
            _node(layout, node, node.name in masters, dataplane, annotations(node))
            for node in layout.nodes
        ),
        *(_pod(pod) for pod in layout.pods),
        *(item for service in layout.services for item in _service(layout, service)),
        agents.config_map("kubeadm-config", _SYSTEM, _kubeadm(layout)),
        *([agents.config_map("kube-proxy", _SYSTEM, _kube_proxy(layout, proxy))] if proxy else []),
        *agents.objects(layout, dataplane),
    ]
    return {
        "apiVersion": "v1",
        "items": items,
        "kind": "List",
        "metadata": {"resourceVersion": ""},
    }


def to_yaml(document: Object) -> str:
    """As kubectl prints it: keys in the order of the alphabet."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(json.loads(json.dumps(document)), Dumper=dumper, width=1000)
    return text


def _meta(name: str, namespace: str = "", **more: Any) -> Object:
    where = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, **{key: value for key, value in more.items() if value}}


def _node(
    layout: Layout, node: NodeSpec, master: bool, dataplane: Named, own: Mapping[str, str]
) -> Object:
    labels = {"kubernetes.io/hostname": node.name}
    if master:
        labels["node-role.kubernetes.io/control-plane"] = ""
    notes = {**agents.node_annotations(layout, node, dataplane), **own}
    cidrs = list(map(str, node.pod_cidrs))
    # Calico's blocks are not what Kubernetes gives its nodes.
    spec = {} if agents.in_blocks(dataplane) else {"podCIDR": cidrs[0], "podCIDRs": cidrs}
    addresses = [{"type": "InternalIP", "address": str(ip)} for ip in node.addresses]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": _meta(node.name, labels=labels, annotations=notes),
        "spec": spec,
        "status": {"addresses": [*addresses, {"type": "Hostname", "address": node.name}]},
    }


def _pod(pod: PodSpec) -> Object:
    aliases = [{"ip": one.ip, "hostnames": list(one.hostnames)} for one in pod.host_aliases]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _meta(pod.own_name, pod.namespace, labels=_pairs(pod.labels)),
        "spec": {
            "containers": [_container(one) for one in pod.containers],
            "nodeName": pod.node,
            **({"hostAliases": aliases} if aliases else {}),
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "podIP": str(pod.address),
            "podIPs": [{"ip": str(ip)} for ip in pod.addresses],
        },
    }


def _container(one: ContainerSpec) -> Object:
    found: Object = {"name": one.name}
    if one.command:
        found["command"] = list(one.command)
    if one.env:
        found["env"] = [{"name": k, "value": v} for k, v in _pairs(one.env).items()]
    if one.port:
        found["ports"] = [{"containerPort": one.port, "protocol": "TCP"}]
    return found


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _service(layout: Layout, service: ServiceSpec) -> Iterator[Object]:
    ips = [str(ip) for ip in service.cluster_ips] or [HEADLESS]
    outside = any(port.node_port for port in service.ports)
    every = [one for port in service.ports for one in port.endpoints]
    spec: Object = {
        "type": "NodePort" if outside else "ClusterIP",
        "clusterIP": ips[0],
        "clusterIPs": ips,
        "ports": [_service_port(port) for port in service.ports],
        "internalTrafficPolicy": service.internal_policy,
        "sessionAffinity": "ClientIP" if service.affinity else "None",
    }
    if service.affinity:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": service.affinity}}
    if outside or service.external_ips:
        spec["externalTrafficPolicy"] = service.external_policy
    if service.external_ips:
        spec["externalIPs"] = [str(ip) for ip in service.external_ips]
    if service.selector:
        spec["selector"] = _pairs(service.selector)
    if any(one.ready and not one.serving for one in every):
        spec["publishNotReadyAddresses"] = True
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(service.name, service.namespace),
        "spec": spec,
    }
    for ipv6 in layout.families:
        yield _slice(layout, service, ipv6)


def _service_port(port: ServicePortSpec) -> Object:
    found: Object = {"port": port.port, "protocol": port.protocol, "targetPort": port.target_port}
    found |= {"name": port.name} if port.name else {}
    return found | ({"nodePort": port.node_port} if port.node_port else {})


def _slice(layout: Layout, service: ServiceSpec, ipv6: bool) -> Object:
    """The EndpointSlice of one family: every port has the same endpoints."""
    own_names = {pod.name: pod.own_name for pod in layout.pods}
    endpoints = service.ports[0].of_family(ipv6) if service.ports else ()
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(
            f"{service.name}-ipv{6 if ipv6 else 4}",
            service.namespace,
            labels={"kubernetes.io/service-name": service.name},
        ),
        "addressType": f"IPv{6 if ipv6 else 4}",
        "endpoints": [_endpoint(one, service.namespace, own_names) for one in endpoints],
        "ports": [
            {"name": port.name, "port": port.target_port, "protocol": port.protocol}
            for port in service.ports
        ],
    }


def _endpoint(one: EndpointSpec, namespace: str, own_names: Mapping[str, str]) -> Object:
    kind, name = ("Pod", own_names[one.target]) if one.target in own_names else ("Node", one.node)
    target = {"kind": kind, "name": name}
    return {
        "addresses": [str(one.address)],
        "conditions": {
            "ready": one.ready,
            "serving": one.serving,
            "terminating": one.terminating,
        },
        "nodeName": one.node,
        "targetRef": target | ({"namespace": namespace} if kind == "Pod" else {}),
    }


def _kubeadm(layout: Layout) -> dict[str, str]:
    """The ranges, where kubeadm keeps them: flags of the API server and of the node IPAM."""
    first, last = layout.node_port_range
    masks = ["node-cidr-mask-size"]
    if layout.dual_stack:
        masks = ["node-cidr-mask-size-ipv4", "node-cidr-mask-size-ipv6"]
    lines = [
        "apiServer:",
        "  extraArgs:",
        f"    service-node-port-range: {first}-{last}",
        "apiVersion: kubeadm.k8s.io/v1beta3",
        "controllerManager:",
        "  extraArgs:",
        *(f'    {key}: "{mask}"' for key, mask in zip(masks, layout.node_masks, strict=True)),
        "kind: ClusterConfiguration",
        "networking:",
        f"  podSubnet: {','.join(map(str, layout.cluster_cidrs))}",
        f"  serviceSubnet: {','.join(map(str, layout.service_cidrs))}",
    ]
    return {"ClusterConfiguration": "\n".join(lines) + "\n"}


def _kube_proxy(layout: Layout, proxy: Named) -> dict[str, str]:
    options = proxy.options
    lines = [
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1",
        f"clusterCIDR: {','.join(map(str, layout.cluster_cidrs))}",
    ]
    if local := options.get("detect_local"):
        lines.append(f"detectLocalMode: {local}")
    if device := options.get("local_device"):
        key = "bridgeInterface" if local == "BridgeInterface" else "interfaceNamePrefix"
        lines += ["detectLocal:", f'  {key}: "{device}"']
    lines.append("kind: KubeProxyConfiguration")
    if options.get("masquerade_all"):
        section = "nftables" if proxy.name == "nftables" else "iptables"
        lines += [f"{section}:", "  masqueradeAll: true"]
    lines.append(f'mode: "{proxy.name}"')
    return {"config.conf": "\n".join(lines) + "\n"}
