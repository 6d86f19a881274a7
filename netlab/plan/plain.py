"""Two pods beside a dataplane's, which plain routes join: what its path is compared with.

Each is behind a veth of its own and has an address of 198.18.0.0/15, which RFC 2544 gives to
benchmarks, so that no dataplane's rules or tunnels are about it. Its packets take the same steps as
a pod's that is routed: out of a namespace, through a node, over the underlay and the same in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netlab.plan.links import LOOPBACK, Peer, Veth
from netlab.plan.names import POD_DEVICE, UPLINK, mac
from netlab.plan.routing import LOCALHOST, Address, Route, connected, route
from netlab.plan.types import Namespace, Plan
from netlab.plan.underlay import FORWARDING, IPV6_OFF
from netlab.topology.resolved import ROUTER, Layout, NodeSpec

DEVICE = "plain0"  # the node's end


class PlainPods(NamedTuple):
    """The names of the two, and the address of the second."""

    source: str
    target: str
    address: str


def add_plain_pods(plan: Plan, layout: Layout) -> PlainPods:
    """Put one on each of the first two nodes of a plan, and into its nodes and router the routes.

    The plan is changed.
    """
    nodes = layout.nodes[:2]
    for number, node in enumerate(nodes):
        plan.namespaces[_name(number)] = _pod(number, node)
        space = plan.namespaces[node.name]
        space.links.insert(
            -1,
            Veth(
                name=DEVICE,
                mac=mac(node.name, DEVICE),
                mtu=node.mtu,
                peer=Peer(_name(number), POD_DEVICE),
            ),
        )
        _add(space, Address(DEVICE, f"{_network(number)}.1/24"))
        space.routes.append(_route(number, 1 - number, layout, nodes))
        if FORWARDING not in space.sysctls:
            space.sysctls.append(FORWARDING)
    if nodes[0].subnet != nodes[1].subnet:
        plan.namespaces[ROUTER].routes += _of_router(layout, nodes)
    return PlainPods(_name(0), _name(1), f"{_network(1)}.2")


def _name(number: int) -> str:
    return f"plain-{number + 1}"


def _network(number: int) -> str:
    return f"198.18.{number}"


def _pod(number: int, node: NodeSpec) -> Namespace:
    name = _name(number)
    device = Veth(
        name=POD_DEVICE,
        mac=mac(name, POD_DEVICE),
        mtu=node.mtu,
        peer=Peer(node.name, DEVICE),
    )
    space = Namespace(name, "pod", links=[device, LOOPBACK], sysctls=[IPV6_OFF])
    space.routes.append(route("0.0.0.0/0", POD_DEVICE, f"{_network(number)}.1"))
    _add(space, Address(POD_DEVICE, f"{_network(number)}.2/24"))
    _add(space, LOCALHOST)
    return space


def _add(space: Namespace, address: Address) -> None:
    """An address, with the route that the kernel makes for it."""
    space.addresses.append(address)
    if way := connected(address):
        space.routes.append(way)


def _route(number: int, other: int, layout: Layout, nodes: tuple[NodeSpec, ...]) -> Route:
    own, remote = nodes[number].subnet, nodes[other]
    gateway = remote.address if remote.subnet == own else own.gateway
    return route(f"{_network(other)}.0/24", UPLINK, str(gateway))


def _of_router(layout: Layout, nodes: tuple[NodeSpec, ...]) -> Iterator[Route]:
    for number, node in enumerate(nodes):
        device = f"eth{layout.segments.index(node.subnet)}"
        yield route(f"{_network(number)}.0/24", device, str(node.address))
