"""What is said of containers beside their names: variables, readiness, and lines of /etc/hosts."""

from __future__ import annotations

import math
from ipaddress import ip_address

from netlab.errors import BadInput, shown
from netlab.topology.model import HostAlias, Ready
from netlab.topology.names import refuse_non_subdomain
from netlab.topology.resolved import ContainerSpec, Layout, PodSpec

LAST_PORT = 65535


def refuse_bad_containers(layout: Layout) -> None:
    """Raises BadInput for what no container could be started with, or what would do nothing."""
    for pod in layout.pods:
        for alias in pod.host_aliases:
            _refuse_bad_alias(pod.name, alias)
        for container in pod.containers:
            where = f"The container {container.name} of {pod.name}"
            _refuse_bad_port(where, container)
            for setting in container.env:
                if setting.find("=") < 1 or "\0" in setting:
                    raise BadInput(f"{where} has {shown(setting)} in its env, not NAME=VALUE.")
            if container.ready is not None:
                _refuse_bad_readiness(where, container, container.ready)
        _refuse_same_ports(pod)


def _refuse_bad_port(where: str, container: ContainerSpec) -> None:
    if container.command and container.port:
        raise BadInput(
            f"{where} has a command, so that its `port` has no effect", "leave one of them away"
        )
    if not 0 <= container.port <= LAST_PORT:
        raise BadInput(f"{where} cannot have port {shown(container.port)}.")


def _refuse_same_ports(pod: PodSpec) -> None:
    seen: dict[int, str] = {}
    for container in pod.containers:
        if container.port and (other := seen.get(container.port)):
            raise BadInput(
                f"The containers {other} and {container.name} of {pod.name} would both listen on "
                f"port {container.port}",
                "give one of them another",
            )
        seen[container.port] = container.name


def _refuse_bad_readiness(where: str, container: ContainerSpec, ready: Ready) -> None:
    if not container.command:
        raise BadInput(
            f"{where} runs netlab's server, which is ready when it is there",
            "leave its `ready` away or give it a command",
        )
    if not (ready.tcp or ready.udp or ready.command):
        raise BadInput(f"{where} has a `ready` without a condition: a port or a command.")
    for port in (ready.tcp, ready.udp):
        if not 0 <= port <= LAST_PORT:
            raise BadInput(f"{where} cannot be ready on port {shown(port)}.")
    if not (math.isfinite(ready.seconds) and ready.seconds > 0):
        raise BadInput(f"{where} cannot be waited for {shown(ready.seconds)} seconds.")


def _refuse_bad_alias(pod: str, alias: HostAlias) -> None:
    try:
        ip_address(alias.ip)
    except ValueError:
        raise BadInput(f"A host alias of {pod} is of {shown(alias.ip)}, not an address.") from None
    if not alias.hostnames:
        raise BadInput(f"The host alias of {alias.ip} in {pod} has no names.")
    for name in alias.hostnames:
        refuse_non_subdomain(name)
