"""What answers on a node where a Service leads to the node itself, as that of the API server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from netlab.topology.resolved import ContainerSpec, NodeSpec, ServiceSpec

API_SERVICE, API_SERVER = "default/kubernetes", "kube-apiserver"
_LONGEST_NAME = 57  # of a Service, so that a hyphen and a port after it make a DNS label


def with_servers(
    nodes: Sequence[NodeSpec], services: Sequence[ServiceSpec], local_port: int
) -> tuple[NodeSpec, ...]:
    """The nodes with what answers where Services lead to nodes, as to the API server.

    Each server has a loopback port too, from `local_port` downwards.
    """
    names: dict[str, dict[int, str]] = {node.name: {} for node in nodes}
    for service in services:
        for port in service.ports:
            api = service.full_name == API_SERVICE
            name = API_SERVER if api else f"{service.name[:_LONGEST_NAME]}-{port.target_port}"
            for one in port.endpoints:
                if one.target in names:
                    names[one.target].setdefault(port.target_port, name)
    return tuple(
        replace(node, containers=(*node.containers, *_servers(names[node.name], local_port)))
        for node in nodes
    )


def _servers(names: Mapping[int, str], local_port: int) -> Iterator[ContainerSpec]:
    free = (port for port in range(local_port, 0, -1) if port not in names)
    known: set[str] = set()
    for port, name in names.items():
        own = f"{name}-{port}" if name in known else name
        known.add(own)
        yield ContainerSpec(own, None, port, next(free))
