"""Layout and dataplane to Plan: the underlay, nodes and pods on it, then what the dataplane adds.

The underlay, router, nodes and external client are netlab's; everything else in a node or pod is
the dataplane's file to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface

from netlab.errors import BadInput
from netlab.plan.dataplane import Dataplane
from netlab.plan.names import mac
from netlab.plan.types import (
    LOCALHOST,
    LOOPBACK,
    Address,
    Daemon,
    Link,
    Namespace,
    Peer,
    Plan,
    Role,
    Route,
    Sysctl,
)
from netlab.topology.layout import (
    DEVICE_NAME_MAX,
    EXTERNAL,
    ROUTER,
    ContainerSpec,
    Layout,
    PodSpec,
    SubnetSpec,
)

SWITCH_BRIDGE = "br0"
UPLINK = "eth0"


def compile_plan(
    topology: str, layout: Layout, dataplane: Dataplane, *, force: bool = False
) -> Plan:
    """The plan of a whole lab.

    Raises BadInput when the dataplane refuses the cluster, unless `force`.
    """
    reason = dataplane.refuse(layout)
    if reason and not force:
        raise BadInput(reason)
    spaces: dict[str, Namespace] = {}
    for subnet in layout.subnets:
        _add(spaces, _switch(subnet, layout.underlay_mtu))
    if len(layout.subnets) > 1:
        _add(spaces, _router(layout, spaces))
    if layout.external:
        external = _host(EXTERNAL, "external", layout, layout.external.subnet, spaces)
        external.addresses.append(_on(layout.external.subnet, str(layout.external.address)))
        external.daemons.append(_daemon(layout.external.server, EXTERNAL))
        _add(spaces, external)
    for node in layout.nodes:
        space = _host(node.name, "node", layout, node.subnet, spaces)
        space.addresses.append(_on(node.subnet, str(node.address)))
        _add(spaces, space)
        for pod in node.pods:
            _add(spaces, _pod(pod))
        dataplane.configure(layout, node, spaces)
    for space in spaces.values():
        space.routes += _connected(space)
        # Last, so that the first device is the one that matters.
        space.links.append(LOOPBACK)
        space.addresses.append(LOCALHOST)
    plan = Plan(topology, ("veth", "bridge", *dataplane.requires), spaces)
    _refuse_bad_devices(plan)
    return plan


def _add(spaces: dict[str, Namespace], space: Namespace) -> None:
    spaces[space.name] = space


def _ipv6_off() -> Sysctl:
    """Duplicate address detection costs seconds and link-local addresses cost time at scale."""
    return Sysctl("net/ipv6/conf/all/disable_ipv6", "1")


def _switch(subnet: SubnetSpec, mtu: int) -> Namespace:
    bridge = Link(SWITCH_BRIDGE, "bridge", mac(subnet.switch, SWITCH_BRIDGE), mtu)
    return Namespace(subnet.switch, "switch", links=[bridge], sysctls=[_ipv6_off()])


def _router(layout: Layout, spaces: dict[str, Namespace]) -> Namespace:
    router = Namespace(ROUTER, "router")
    for index, subnet in enumerate(layout.subnets):
        device = f"eth{index}"
        _plug(router, device, spaces[subnet.switch], layout.underlay_mtu)
        router.addresses.append(_on(subnet, str(subnet.gateway), device))
    router.sysctls += [_ipv6_off(), Sysctl("net/ipv4/ip_forward", "1")]
    return router


def _host(
    name: str, role: Role, layout: Layout, subnet: SubnetSpec, spaces: dict[str, Namespace]
) -> Namespace:
    """A machine on the underlay: eth0 to the switch, and a default route if there is a router."""
    space = Namespace(name, role, sysctls=[_ipv6_off()])
    _plug(space, UPLINK, spaces[subnet.switch], layout.underlay_mtu)
    if subnet.gateway:
        space.routes.append(Route("0.0.0.0/0", UPLINK, str(subnet.gateway)))
    return space


def _plug(space: Namespace, device: str, switch: Namespace, mtu: int) -> None:
    """A cable between a device of `space` and a port, named after `space`, of a switch."""
    port = space.name
    space.links.append(
        Link(device, "veth", mac(space.name, device), mtu, peer=Peer(switch.name, port))
    )
    switch.links.append(
        Link(
            port,
            "veth",
            mac(switch.name, port),
            mtu,
            master=SWITCH_BRIDGE,
            peer=Peer(space.name, device),
        )
    )


def _on(subnet: SubnetSpec, address: str, device: str = UPLINK) -> Address:
    return Address(device, f"{address}/{subnet.network.prefixlen}")


def _connected(space: Namespace) -> Iterator[Route]:
    """The routes that the kernel makes for a namespace's addresses."""
    for address in space.addresses:
        interface = IPv4Interface(address.address)
        if interface.network.prefixlen < 32:
            yield Route(str(interface.network), address.link, source=str(interface.ip))


def _pod(pod: PodSpec) -> Namespace:
    return Namespace(
        pod.name, "pod", daemons=[_daemon(container, pod.name) for container in pod.containers]
    )


def _daemon(container: ContainerSpec, hostname: str) -> Daemon:
    return Daemon(container.name, hostname, container.command, container.port, container.local_port)


def _refuse_bad_devices(plan: Plan) -> None:
    """A node may be named like the switch's own devices, and a hash may collide."""
    for space in plan.namespaces.values():
        seen: set[str] = set()
        for link in space.links:
            if link.name in seen:
                raise BadInput(f"Two devices in {space.name} would be named '{link.name}'.")
            seen.add(link.name)
            if len(link.name) > DEVICE_NAME_MAX:
                raise BadInput(
                    f"The device name '{link.name}' in {space.name} has {len(link.name)} "
                    f"characters; the kernel allows {DEVICE_NAME_MAX}."
                )
