"""Pods with what runs in them: for every container one of netlab's servers, on a port of its."""

from __future__ import annotations

from collections.abc import Iterable

from netlab.topology import model
from netlab.topology.dns import PORT
from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import Container, Pod
from netlab.topology.layout import SERVER_PORT
from netlab.topology.resolved import Ip

_LONGEST_NAME = 57  # so that a hyphen and a port after it make a DNS label


def pod(
    one: Pod, ips: tuple[Ip, ...], wanted: Iterable[int], notes: Notes, *, dns: bool = False
) -> model.Pod:
    """A pod with its own address, labels and aliases; `wanted` are ports that Services need.

    With `dns` netlab's DNS server is in it.
    """
    return model.Pod(
        name=one.name,
        namespace=one.namespace or "default",
        containers=_containers(one, list(wanted), {PORT: ""} if dns else {}, notes),
        host_aliases=tuple(
            model.HostAlias(alias.ip, tuple(alias.hostnames))
            for alias in one.spec.host_aliases or ()
            if alias.hostnames
        ),
        labels=tuple(f"{key}={value}" for key, value in one.metadata.labels.items()),
        address=tuple(map(str, ips)) or None,
        dns=dns,
    )


def _containers(
    one: Pod, wanted: list[int], taken: dict[int, str], notes: Notes
) -> tuple[model.Container, ...]:
    """A server listens on one port: what Services need beside is a further server's. `taken` are
    ports that none is to have, with who has them.

    A container is on the first of its ports that a Service leads to, or on its first; one that
    tells none is on one that nobody else has, as a Service may lead there.
    """
    own = one.spec.containers or []
    for container in own:
        ports = [port for port in _ports(container) if port not in taken]
        chosen = next((port for port in ports if port in wanted), ports[0] if ports else 0)
        if chosen:
            taken[chosen] = container.name
    placed = {name: port for port, name in taken.items()}
    undeclared = [port for port in wanted if port not in taken]
    result = []
    for number, container in enumerate(own):
        port = placed.get(container.name, 0)
        if not port:
            port = undeclared.pop(0) if undeclared else _free(SERVER_PORT + number, taken)
            taken[port] = container.name
        result.append(model.Container(container.name, port=port))
    if undeclared and own:
        notes.say(
            "Containers with several ports to which Services lead are several servers, each named "
            "after its container and port."
        )
    by_port = {port: container.name for container in own for port in _ports(container)}
    for port in undeclared if own else ():
        name = by_port.get(port, own[0].name)[:_LONGEST_NAME].rstrip("-")
        result.append(model.Container(f"{name}-{port}", port=port))
    return tuple(result)


def _ports(container: Container) -> list[int]:
    found = [p for p in container.ports or () if (p.protocol or "TCP") in ("TCP", "UDP")]
    return list(dict.fromkeys(port.container_port for port in found))


def _free(port: int, taken: Iterable[int]) -> int:
    known = set(taken)
    while port in known:
        port += 1
    return port
