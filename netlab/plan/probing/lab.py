"""What a scenario may know of a lab: its layout and plan, and what its dataplane promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import ClassVar, Protocol

from netlab.plan.attachment import Attachment
from netlab.plan.egress import masquerade_addresses, source_address
from netlab.plan.headers import Stack
from netlab.plan.links import AnyLink, Macvlan, Veth
from netlab.plan.machines import MACHINE, STITCH, Spread
from netlab.plan.probing.actions import Device
from netlab.plan.proxy import Proxy
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

    accepts_pods: ClassVar[bool]

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack: ...

    def path_mtu(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> int: ...

    def wire_ttl(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> int: ...

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None: ...

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool: ...

    def outside_to_pods(self, layout: Layout, node: NodeSpec) -> str | None: ...


@dataclass(frozen=True)
class Lab:
    """One lab to be verified. Questions of either family are asked with `ipv6`.

    Where it is spread over machines, `plan` is the whole of it, and `machine` the one that asks.
    """

    layout: Layout
    datapath: Datapath
    plan: Plan
    spread: Spread | None = None
    machine: str = ""
    proxy: Proxy | None = None
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

    def here(self, namespace: str) -> bool:
        """Whether a namespace is on this machine; a switch may be on every one."""
        return (
            self.spread is None
            or self.spread.placement.get(namespace, self.machine) == self.machine
        )

    def crosses(self, source: str, target: str) -> bool:
        """Whether packets between two of the lab go from one machine to another.

        They may do so though both ends are on one: to another segment, where the router is not.
        """
        if self.spread is None or not {source, target} <= self.spread.placement.keys():
            return False
        one, other = self._host(source), self._host(target)
        passed = [ROUTER] if one and other and one.subnet != other.subnet else []
        return any(self.spread.crosses(source, name) for name in (target, *passed))

    def _host(self, name: str) -> Host | None:
        """What is on the underlay of a name: for a pod its node."""
        pod = self.attachments.get(name)
        external, name = self.layout.external, pod.node if pod else name
        return self.nodes.get(name) or (external if external and external.name == name else None)

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

    def masquerade_addresses(self, namespace: str, target: Ip) -> tuple[str, ...]:
        """The addresses of which the namespace's masquerade gives one to a packet to a target."""
        return masquerade_addresses(self.namespace(namespace), target)

    def mac(self, namespace: str, device: str) -> str:
        return self.namespace(namespace).link(device).mac

    def pod_mac(self, pod: str) -> str:
        return self.mac(pod, self.attachments[pod].device)

    def uplink(self, host: Host) -> AnyLink:
        """The host's device on its segment of the underlay."""
        return self._on_segment(host.name, host.subnet)

    def port(self, host: Host) -> Device:
        """Where the host's frames are seen: at its port on the switch of its segment.

        Of a host on another machine, at this machine's port to the others; where no machine has a
        switch, at its own device on the underlay.
        """
        return self._port(host.name, self.uplink(host))

    def router(self, subnet: SubnetSpec) -> tuple[str, Device]:
        """The MAC of the router on a segment, and where its frames are seen, as `port` says."""
        link = self.routers_link(subnet)
        return link.mac, self._port(ROUTER, link)

    @property
    def captured(self) -> dict[str, str | None]:
        """The namespaces where the underlay is captured: all devices, or the one that is named."""
        if self.spread is None:
            return {subnet.switch: None for subnet in self.layout.segments}
        found: dict[str, str | None] = {
            subnet.switch: None
            for subnet in self.layout.segments
            if subnet.switch in self.plan.namespaces and self.here(subnet.switch)
        }
        if self.spread.wire == "macvlan":
            found[MACHINE] = self.spread.machine(self.machine).device
        return found

    def routers_link(self, subnet: SubnetSpec) -> AnyLink:
        """The router's device on a segment."""
        return self._on_segment(ROUTER, subnet)

    def _on_segment(self, name: str, subnet: SubnetSpec) -> AnyLink:
        """By a cable to its switch; where it has none, known by its address there."""
        space = self.namespace(name)

        def leads_there(link: AnyLink) -> bool:
            if isinstance(link, Veth):
                return link.peer is not None and link.peer.namespace == subnet.switch
            return (
                isinstance(link, Macvlan)
                and link.link_netns == MACHINE
                and any(
                    item.link == link.name and ip_address(item.ip) in subnet.network
                    for item in space.addresses
                )
            )

        return next(link for link in space.links if leads_there(link))

    def _port(self, name: str, link: AnyLink) -> Device:
        if isinstance(link, Macvlan):
            assert self.spread is not None
            return MACHINE, self.spread.machine(self.machine).device
        assert isinstance(link, Veth)
        assert link.peer is not None
        return link.peer.namespace, link.peer.link if self.here(name) else STITCH


def address(owner: Host | PodSpec, ipv6: bool) -> Ip:
    """The owner's address of a family; the cluster must have that family."""
    found = of_family(owner.addresses, ipv6)
    assert found is not None, f"{owner.name} has no address of IPv{6 if ipv6 else 4}"
    return found
