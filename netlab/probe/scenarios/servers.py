"""Which of a pod's containers is asked, and how: round robin over protocols and containers."""

from __future__ import annotations

from netlab.plan.probing.actions import Application, Request
from netlab.plan.probing.lab import address
from netlab.topology.resolved import ContainerSpec, PodSpec

APPLICATIONS: tuple[Application, ...] = ("tcp", "http", "udp")


def servers(pod: PodSpec) -> list[ContainerSpec]:
    """The pod's containers that run netlab's server."""
    return [container for container in pod.containers if container.port]


def application(index: int) -> Application:
    return APPLICATIONS[index % len(APPLICATIONS)]


def choose(
    source: str, pod: PodSpec, spoken: Application, index: int, ipv6: bool
) -> tuple[Request, ContainerSpec]:
    """A request for the pod, which has a server: TCP is for its first one, the others in turn."""
    able = servers(pod)
    server = able[0 if spoken == "tcp" else index % len(able)]
    return Request(source, str(address(pod, ipv6)), server.port, spoken), server
