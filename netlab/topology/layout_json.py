"""A `Layout` as JSON and back, exactly: a running lab's state folder holds it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from netlab.topology.layout import (
    ContainerSpec,
    ExternalSpec,
    Layout,
    NodeSpec,
    PodSpec,
    SubnetSpec,
)

Json = dict[str, Any]


def layout_to_json(layout: Layout) -> Json:
    """Plain values for `json`: addresses as text, and nodes name their subnet by its switch."""
    external = layout.external
    return {
        "cluster_cidr": str(layout.cluster_cidr),
        "node_mask": layout.node_mask,
        "service_cidr": str(layout.service_cidr),
        "node_port_range": list(layout.node_port_range),
        "underlay_mtu": layout.underlay_mtu,
        "subnets": [
            {
                "switch": subnet.switch,
                "network": str(subnet.network),
                "gateway": str(subnet.gateway) if subnet.gateway else None,
            }
            for subnet in layout.subnets
        ],
        "nodes": [_node_to_json(node) for node in layout.nodes],
        "external": external
        and {
            "name": external.name,
            "address": str(external.address),
            "subnet": external.subnet.switch,
            "server": _container_to_json(external.server),
        },
    }


def layout_from_json(data: Json) -> Layout:
    """The inverse of `layout_to_json`."""
    subnets = {
        item["switch"]: SubnetSpec(
            item["switch"],
            IPv4Network(item["network"]),
            IPv4Address(item["gateway"]) if item["gateway"] else None,
        )
        for item in data["subnets"]
    }
    first, last = data["node_port_range"]
    external = data["external"]
    return Layout(
        cluster_cidr=IPv4Network(data["cluster_cidr"]),
        node_mask=data["node_mask"],
        service_cidr=IPv4Network(data["service_cidr"]),
        node_port_range=(first, last),
        underlay_mtu=data["underlay_mtu"],
        subnets=tuple(subnets.values()),
        nodes=tuple(_node_from_json(node, subnets) for node in data["nodes"]),
        external=external
        and ExternalSpec(
            external["name"],
            IPv4Address(external["address"]),
            subnets[external["subnet"]],
            _container_from_json(external["server"]),
        ),
    )


def _node_to_json(node: NodeSpec) -> Json:
    return {
        "name": node.name,
        "address": str(node.address),
        "subnet": node.subnet.switch,
        "pod_cidr": str(node.pod_cidr),
        "pods": [
            {
                "name": pod.name,
                "address": str(pod.address),
                "containers": [_container_to_json(container) for container in pod.containers],
            }
            for pod in node.pods
        ],
    }


def _node_from_json(data: Json, subnets: dict[str, SubnetSpec]) -> NodeSpec:
    return NodeSpec(
        name=data["name"],
        address=IPv4Address(data["address"]),
        subnet=subnets[data["subnet"]],
        pod_cidr=IPv4Network(data["pod_cidr"]),
        pods=tuple(
            PodSpec(
                name=pod["name"],
                node=data["name"],
                address=IPv4Address(pod["address"]),
                containers=tuple(map(_container_from_json, pod["containers"])),
            )
            for pod in data["pods"]
        ),
    )


def _container_to_json(container: ContainerSpec) -> Json:
    return {
        "name": container.name,
        "command": None if container.command is None else list(container.command),
        "port": container.port,
        "local_port": container.local_port,
    }


def _container_from_json(data: Json) -> ContainerSpec:
    command = data["command"]
    return ContainerSpec(
        data["name"],
        None if command is None else tuple(command),
        data["port"],
        data["local_port"],
    )
