"""What a scenario may know of a lab: its layout and plan, and what its dataplane promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from netlab.plan.attachment import Attachment
from netlab.plan.egress import source_address
from netlab.plan.headers import Stack
from netlab.plan.links import AnyLink, Veth
from netlab.plan.probing.actions import Device
from netlab.plan.types import Namespace, Plan
from netlab.topology.resolved import (
    ROUTER,
    ExternalSpec,
    Ip,
    Layout,
    NodeSpec,
    PodSpec,
    SubnetSpec,
    of_family,
)

Host = NodeSpec | ExternalSpec  # what is on the underlay


class Datapath(Protocol):
    """What a dataplane says of its packets; see `netlab.plan.dataplane.Dataplane`."""

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack: ...

    def path_mtu(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> int: ...

    def wire_ttl(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> int: ...

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None: ...

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool: ...

    def outside_to_pods(self, layout: Layout, node: NodeSpec) -> str | None: ...


@dataclass(frozen=True)
class Lab:
    """One lab to be verified. Questions of either family are asked with `ipv6`."""

    layout: Layout
    datapath: Datapath
    plan: Plan
    attachments: dict[str, Attachment] = field(init=False)
    nodes: dict[str, NodeSpec] = field(init=False)
    _reasons: dict[tuple[str, str], str | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        # A pod with several devices is probed by its first.
        first = {item.pod: item for item in reversed(self.plan.attachments)}
        object.__setattr__(self, "attachments", first)
        object.__setattr__(self, "nodes", {node.name: node for node in self.layout.nodes})

    @property
    def families(self) -> tuple[bool, ...]:
        """For each address family of the cluster whether it is IPv6."""
        return self.layout.families

    @property
    def hosts(self) -> tuple[Host, ...]:
        """What is on the underlay: the nodes, and the client outside if there is one."""
        external = self.layout.external
        return (*self.layout.nodes, *([external] if external else []))

    def namespace(self, name: str) -> Namespace:
        return self.plan.namespaces[name]

    def unreachable(self, source: str, target: str) -> str | None:
        """Why pods of one node cannot reach those of another, by the dataplane's own word.

        A reply has to come back, so what stops one direction stops both.
        """
        if source == target:
            return None
        key = (source, target)
        if key not in self._reasons:
            a, b = self.nodes[source], self.nodes[target]
            paths = self.datapath
            reason = paths.unreachable(self.layout, a, b) or paths.unreachable(self.layout, b, a)
            self._reasons[key] = reason
        return self._reasons[key]

    def unanswered(self, pod: PodSpec, host: Host, ipv6: bool) -> str | None:
        """Why a host of the underlay has no way back to a pod that asks it; None where it has.

        Under the address of its node a pod is answered as that is.
        """
        node = self.nodes[pod.node]
        if host.name == node.name or self._masquerades(node, host, ipv6):
            return None
        if host.name in self.nodes:
            return self.unreachable(node.name, host.name)
        if self.datapath.outside_to_pods(self.layout, node) is None:
            return None
        return "the client has no route back to pods"

    def seen_as(self, pod: PodSpec, host: Host, ipv6: bool) -> str:
        """The address under which a host of the underlay sees a pod."""
        node = self.nodes[pod.node]
        hidden = host.name != node.name and self._masquerades(node, host, ipv6)
        return str(address(node if hidden else pod, ipv6))

    def _masquerades(self, node: NodeSpec, host: Host, ipv6: bool) -> bool:
        return self.datapath.masquerades(self.layout, node, address(host, ipv6))

    def source_address(self, namespace: str, target: Ip) -> str | None:
        """The source address of the namespace's own packets to a target."""
        return source_address(self.namespace(namespace), target)

    def mac(self, namespace: str, device: str) -> str:
        return self.namespace(namespace).link(device).mac

    def pod_mac(self, pod: str) -> str:
        return self.mac(pod, self.attachments[pod].device)

    def uplink(self, host: Host) -> AnyLink:
        """The host's device on its segment of the underlay."""
        return self._on_segment(host.name, host.subnet)

    def port(self, host: Host) -> Device:
        """The host's port on the switch of its segment."""
        return _port(self.uplink(host))

    def router(self, subnet: SubnetSpec) -> tuple[str, Device]:
        """The MAC of the router on a segment, and its port on the switch there."""
        link = self.routers_link(subnet)
        return link.mac, _port(link)

    def routers_link(self, subnet: SubnetSpec) -> AnyLink:
        """The router's device on a segment."""
        return self._on_segment(ROUTER, subnet)

    def _on_segment(self, name: str, subnet: SubnetSpec) -> AnyLink:
        return next(
            link
            for link in self.namespace(name).links
            if isinstance(link, Veth) and link.peer and link.peer.namespace == subnet.switch
        )


def address(owner: Host | PodSpec, ipv6: bool) -> Ip:
    """The owner's address of a family; the cluster must have that family."""
    found = of_family(owner.addresses, ipv6)
    assert found is not None, f"{owner.name} has no address of IPv{6 if ipv6 else 4}"
    return found


def _port(link: AnyLink) -> Device:
    assert isinstance(link, Veth)
    assert link.peer is not None
    return link.peer.namespace, link.peer.link
