"""The underlay as namespaces: switches, the router between them, and machines on their ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netlab.plan.explanations import NETLAB, Says
from netlab.plan.links import PORT, AddrGenMode, Bridge, Peer, Veth
from netlab.plan.names import SWITCH_BRIDGE, UPLINK, link_local, mac, switch_port
from netlab.plan.processes import Container
from netlab.plan.routing import Address, Sysctl, route
from netlab.plan.types import Namespace, Role
from netlab.topology.resolved import EXTERNAL, ROUTER, ExternalSpec, Ip, Layout, SubnetSpec

IPV6_OFF = Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
# Devices made afterwards take no link-local address by themselves: where one is needed it is in
# the plan, usable at once and not after the seconds of duplicate address detection.
NO_LINK_LOCAL = Sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
FORWARDING = Sysctl("net/ipv4/ip_forward", "1")
FORWARDING6 = Sysctl("net/ipv6/conf/all/forwarding", "1")
_DEFAULT_ROUTE: tuple[tuple[Role, str], ...] = (
    (
        "node",
        "The node's default route, as an administrator, DHCP or a router's advertisement gives "
        "it. Programs of nodes need one: flanneld finds its interface by it.",
    ),
    ("external", "The client's way to the cluster's nodes, by the router."),
)
EXPLAINS = (
    Says(
        "namespace *",
        NETLAB,
        "A segment of the underlay: stands for the switch that the machines are plugged into.",
        role="switch",
    ),
    Says(
        "namespace *",
        NETLAB,
        "Stands for the router of the nodes' segments, which is also their way to the internet.",
        role="router",
    ),
    Says(
        "namespace *",
        NETLAB,
        "A client outside the cluster, behind the router: no part of Kubernetes.",
        role="external",
    ),
    Says(
        "namespace *",
        NETLAB,
        "Stands for a machine that has joined the cluster, with a network stack of its own.",
    ),
    Says(
        f"link {SWITCH_BRIDGE}",
        NETLAB,
        "The switch itself. It passes frames and has no address, as a switch in a rack.",
        role="switch",
    ),
    Says(
        "link *",
        NETLAB,
        "A port of the switch: the other end of the cable to the machine of that name (or alias).",
        role="switch",
        when=lambda link: isinstance(link, Veth),
    ),
    Says(
        "link eth*",
        NETLAB,
        "The router's network card on one segment.",
        role="router",
    ),
    Says(
        "link eth0",
        NETLAB,
        "Stands for the machine's network card; its cable leads to the segment's switch.",
        role=None,
    ),
    Says(
        "address fe80:* dev eth*",
        NETLAB,
        "A real kernel makes a device's link-local address itself. netlab writes it, without "
        "duplicate address detection, so that neighbours can be solicited from the first packet.",
        role=None,
    ),
    Says(
        "address * dev eth*",
        NETLAB,
        "The router's address on the segment: the gateway of the machines there.",
        role="router",
    ),
    Says(
        "address * dev eth0",
        NETLAB,
        "The machine's own address on the underlay, as an administrator or DHCP gives it.",
        role=None,
    ),
    *(
        Says(f"route {everything} via * dev eth0*", NETLAB, why, role=role)
        for everything in ("0.0.0.0/0", "::/0")
        for role, why in _DEFAULT_ROUTE
    ),
    Says(
        f"sysctl {FORWARDING.path}=1",
        NETLAB,
        "A router forwards what is not for itself.",
        role="router",
    ),
    Says(
        f"sysctl {FORWARDING6.path}=1",
        NETLAB,
        "A router forwards IPv6 too, where the lab has it.",
        role="router",
    ),
    Says(
        "sysctl *ratelimit=0",
        NETLAB,
        "The router tells of every packet that it cannot forward, so that no check depends on how "
        "many there were; a real one may hold some of these messages back.",
        role="router",
    ),
    Says(
        f"sysctl {IPV6_OFF.path}=1",
        NETLAB,
        "Keeps a lab of IPv4 alone silent: no router solicitations or listener reports. "
        "Real machines mostly have IPv6 on.",
        role=None,
    ),
    Says(
        f"sysctl {NO_LINK_LOCAL.path}=1",
        NETLAB,
        "New devices make no link-local address by themselves, which would take seconds to be "
        "usable; where one is needed it is written.",
        role=None,
    ),
)


def gen_mode(ipv6: bool) -> AddrGenMode:
    """The mode of a machine's devices: where IPv6 is on, by NO_LINK_LOCAL, none."""
    return "none" if ipv6 else "eui64"


def switch(subnet: SubnetSpec) -> Namespace:
    """A switch: its bridge passes IPv6 frames too, and itself speaks no IPv6."""
    bridge = Bridge(name=SWITCH_BRIDGE, mac=mac(subnet.switch, SWITCH_BRIDGE), mtu=subnet.mtu)
    return Namespace(subnet.switch, "switch", links=[bridge], sysctls=[IPV6_OFF])


def router(layout: Layout, switches: dict[str, Namespace]) -> Namespace:
    """The router of all segments, and towards the internet, where the client outside is.

    Of a subnet of nodes it has the last host address, of the internet the first. It has no default
    route: what is nowhere in the lab is answered with "net unreachable". It tells of every packet
    that it cannot forward, where a real one may hold some of these messages back.

    There is one on a single segment too: nodes have a default route, without which flanneld does
    not start, and proxy ARP for a pod's gateway does not answer.
    """
    space = _machine(ROUTER, "router", layout)
    for index, subnet in enumerate(layout.segments):
        device = f"eth{index}"
        connect(space, device, switches[subnet.switch], subnet.mtu)
        space.addresses += on_segment(subnet, subnet.gateways, device)
        space.addresses += link_locals(space, device)
    space.sysctls += [FORWARDING, Sysctl("net/ipv4/icmp_ratelimit", "0")]
    if layout.dual_stack:
        space.sysctls += [FORWARDING6, Sysctl("net/ipv6/icmp/ratelimit", "0")]
    return space


def host(
    name: str,
    role: Role,
    layout: Layout,
    subnet: SubnetSpec,
    addresses: Sequence[Ip],
    port: Namespace,
    mtu: int,
) -> Namespace:
    """A machine on the underlay: eth0 to the switch, and default routes to the router."""
    space = _machine(name, role, layout)
    connect(space, UPLINK, port, subnet.mtu, mtu)
    space.addresses += on_segment(subnet, addresses)
    space.addresses += link_locals(space, UPLINK)
    for gateway in subnet.gateways:
        everything = "::/0" if gateway.version == 6 else "0.0.0.0/0"
        space.routes.append(route(everything, UPLINK, str(gateway)))
    return space


def external(layout: Layout, spec: ExternalSpec, port: Namespace) -> Namespace:
    """The client outside the cluster, which serves too."""
    space = host(EXTERNAL, "external", layout, spec.subnet, spec.addresses, port, spec.subnet.mtu)
    server = spec.server
    space.containers.append(
        Container(
            server.name,
            EXTERNAL,
            server.command,
            server.port,
            server.local_port,
            addresses=tuple(map(str, spec.addresses)),
            namespace="",
        )
    )
    return space


def connect(
    space: Namespace, device: str, port: Namespace, mtu: int, own: int | None = None
) -> None:
    """A veth pair between a device of `space` and a port, named after `space`, of a switch.

    A port that is named by a hash has the whole name as its alias. The port's MTU is
    the switch's, that of the device may be less.
    """
    name = space.name
    outlet = switch_port(name)
    space.links.append(
        Veth(
            name=device,
            mac=mac(name, device),
            mtu=own or mtu,
            peer=Peer(port.name, outlet),
            addr_gen_mode=gen_mode(space.ipv6),
        )
    )
    port.links.append(
        Veth(
            name=outlet,
            mac=mac(port.name, name),
            mtu=mtu,
            master=SWITCH_BRIDGE,
            bridge_port=PORT,
            peer=Peer(name, device),
            alias="" if outlet == name else name,
        )
    )


def on_segment(
    subnet: SubnetSpec, addresses: Sequence[Ip], device: str = UPLINK
) -> Iterable[Address]:
    """Addresses with the prefix lengths of their networks, those of IPv6 without DAD."""
    for ip, net in zip(addresses, subnet.networks, strict=True):
        yield Address(device, f"{ip}/{net.prefixlen}", nodad=ip.version == 6)


def link_locals(space: Namespace, device: str) -> Iterable[Address]:
    """The link-local address of a device by which a namespace forwards or solicits neighbours.

    For a packet that it forwards the kernel solicits from a link-local address alone; without one
    the packet vanishes.
    """
    if space.ipv6:
        address = f"{link_local(space.link(device).mac)}/64"
        yield Address(device, address, scope="link", nodad=True)


def _machine(name: str, role: Role, layout: Layout) -> Namespace:
    setting = NO_LINK_LOCAL if layout.dual_stack else IPV6_OFF
    return Namespace(name, role, ipv6=layout.dual_stack, sysctls=[setting])
