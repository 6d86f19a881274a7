"""How a lab is: what `netlab status` shows. Plain values; the keys of its JSON are a contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from netlab.plan.names import netns
from netlab.plan.types import Plan
from netlab.topology.resolved import Layout, NodeSpec, PodSpec, ServicePortSpec, ServiceSpec

State = Literal["running", "partial", "stale"]


class DaemonStatus(msgspec.Struct, frozen=True):
    """A daemon of a node. `pid` is its process in the sandbox, None while it does not run.

    `lacks` says what it is waiting for while it is not ready; `restarts` counts how often it ended.
    """

    node: str
    name: str
    running: bool
    ready: bool
    restarts: int
    pid: int | None
    lacks: str = ""


class ContainerStatus(msgspec.Struct, frozen=True):
    """A container of a pod, which is called as in the lab (or of the client outside).

    `lacks` says what it is waiting for while it is not ready.
    """

    pod: str
    name: str
    running: bool
    ready: bool
    lacks: str = ""


class NodeStatus(msgspec.Struct, frozen=True):
    name: str
    netns: str
    underlay_ip: str
    underlay_ips: tuple[str, ...]
    pod_cidr: str
    pod_cidrs: tuple[str, ...]
    gateway: str


class PodStatus(msgspec.Struct, frozen=True):
    """A pod; `namespace` is the Kubernetes namespace."""

    name: str
    namespace: str
    node: str
    netns: str
    ip: str
    ips: tuple[str, ...]
    containers: tuple[str, ...]


class ServiceStatus(msgspec.Struct, frozen=True):
    """A port of a Service. `cluster_ip` is "None" where it is headless, `node_port` None where it
    has none; `endpoints` are those that get traffic or may, as `ip:port`.
    """

    name: str
    namespace: str
    cluster_ip: str
    cluster_ips: tuple[str, ...]
    port_name: str
    protocol: str
    port: int
    node_port: int | None
    endpoints: tuple[str, ...]


class Health(msgspec.Struct, frozen=True):
    """What does not run, or is not ready, as `TARGET/NAME`."""

    containers_down: tuple[str, ...] = ()
    containers_unready: tuple[str, ...] = ()
    daemons_down: tuple[str, ...] = ()
    ok: bool = True


class MachineStatus(msgspec.Struct, frozen=True):
    """A machine of a lab on several; `problem` is why it cannot be asked, empty where it can."""

    name: str
    device: str
    nodes: tuple[str, ...]
    problem: str = ""


class WireStatus(msgspec.Struct, frozen=True):
    """What joins the machines, and why it is that."""

    kind: str
    why: str


class Status(msgspec.Struct, frozen=True):
    """A lab. `health` is None for one that does not run.

    `carrier` is what carries packets between nodes, where kernels differ in that. `machines` and
    `wire` are of one that is on several machines.
    """

    lab: str
    topology: str
    state: State
    nodes: tuple[NodeStatus, ...]
    pods: tuple[PodStatus, ...]
    containers: tuple[ContainerStatus, ...]
    daemons: tuple[DaemonStatus, ...]
    dataplane: str
    carrier: str = ""
    services: tuple[ServiceStatus, ...] = ()
    proxy: str | None = None
    health: Health | None = None
    machines: tuple[MachineStatus, ...] = ()
    wire: WireStatus | None = None

    @property
    def document(self) -> dict[str, Any]:
        """What `netlab status --json` prints."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        if not self.machines:
            del document["machines"], document["wire"]
        if not self.carrier:
            del document["carrier"]
        return document


def describe(
    lab: str,
    state: State,
    layout: Layout,
    plan: Plan,
    dataplane: str,
    proxy: str | None = None,
    daemons: tuple[DaemonStatus, ...] | None = None,
    containers: tuple[ContainerStatus, ...] = (),
    *,
    carrier: str = "",
) -> Status:
    """The status of a lab; `daemons` None: nobody looked what runs."""
    health = None
    if daemons is not None:
        lacking = [one for one in containers if not one.ready]
        down = tuple(f"{one.pod}/{one.name}" for one in lacking if not one.running)
        unready = tuple(f"{one.pod}/{one.name}" for one in lacking if one.running)
        daemons_down = tuple(f"{one.node}/{one.name}" for one in daemons if not one.ready)
        health = Health(down, unready, daemons_down, not (lacking or daemons_down))
    return Status(
        lab=lab,
        topology=plan.topology,
        state=state,
        nodes=tuple(map(_node, layout.nodes)),
        pods=tuple(map(_pod, layout.pods)),
        containers=containers,
        daemons=daemons or (),
        dataplane=dataplane,
        carrier=carrier,
        services=services_of(layout.services),
        proxy=proxy,
        health=health,
    )


def _node(node: NodeSpec) -> NodeStatus:
    return NodeStatus(
        name=node.name,
        netns=netns(node.name),
        underlay_ip=str(node.address),
        underlay_ips=tuple(map(str, node.addresses)),
        pod_cidr=str(node.pod_cidr),
        pod_cidrs=tuple(map(str, node.pod_cidrs)),
        gateway=str(node.gateway),
    )


def services_of(services: Iterable[ServiceSpec]) -> tuple[ServiceStatus, ...]:
    """Every port of the Services."""
    return tuple(_service(service, port) for service in services for port in service.ports)


def _service(service: ServiceSpec, port: ServicePortSpec) -> ServiceStatus:
    ips = tuple(map(str, service.cluster_ips))
    return ServiceStatus(
        name=service.name,
        namespace=service.namespace,
        cluster_ip=ips[0] if ips else "None",
        cluster_ips=ips,
        port_name=port.name,
        protocol=port.protocol,
        port=port.port,
        node_port=port.node_port or None,
        endpoints=tuple(map(str, port.endpoints)),
    )


def _pod(pod: PodSpec) -> PodStatus:
    return PodStatus(
        name=pod.own_name,
        namespace=pod.namespace,
        node=pod.node,
        netns=netns(pod.name),
        ip=str(pod.address),
        ips=tuple(map(str, pod.addresses)),
        containers=tuple(container.name for container in pod.containers),
    )
