"""One plan spread over several machines: who has what, and the wire that joins them. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from netlab.errors import BadInput, unknown
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.links import PORT, AnyLink, Macvlan, Veth, Vxlan
from netlab.plan.machines import (
    MACHINE,
    STITCH,
    STITCH_OVERHEAD,
    STITCH_PORT,
    Machine,
    Spread,
    WireKind,
    devices,
)
from netlab.plan.names import SWITCH_BRIDGE, mac
from netlab.plan.routing import ANY_MAC, FdbEntry
from netlab.plan.types import Namespace, Plan
from netlab.topology.resolved import ROUTER, Layout

EXPLAINS = (
    Says(
        f"link {STITCH}",
        NETLAB,
        "The switch's port to the lab's other machines: a VXLAN that joins their switches to one "
        "segment. Real nodes share a switch, or a router does it.",
        role="switch",
    ),
    Says(
        f"fdb * dev {STITCH} *",
        NETLAB,
        "Frames to all, and to whom the switch does not know, go to this other machine too.",
        role="switch",
    ),
)
Placement = dict[str, str]  # a namespace's machine


def place(layout: Layout, machines: Sequence[str]) -> Placement:
    """The machine of every namespace that is on one only. Raises BadInput.

    Nodes that name none are dealt out, each to the machine that has the fewest so far. The router
    and what is behind it are on the first machine.
    """
    nodes: Placement = {}
    for node in layout.nodes:
        if node.host is not None:
            if node.host not in machines:
                raise unknown(f"machine of {node.name}", node.host, machines)
            nodes[node.name] = node.host
    loads = Counter(nodes.values())
    for node in layout.nodes:
        if node.name not in nodes:
            nodes[node.name] = min(machines, key=loads.__getitem__)
            loads[nodes[node.name]] += 1
    placement = nodes | {pod.name: nodes[pod.node] for pod in layout.pods}
    placement[ROUTER] = machines[0]
    if layout.external:
        placement[layout.external.name] = placement[layout.external.subnet.switch] = machines[0]
    return placement


def choose_wire(
    layout: Layout, machines: Sequence[Machine], shares_segment: bool
) -> tuple[WireKind, str]:
    """The kind of wire, and why it is that one.

    A macvlan device is a port of the machines' own segment, as real as a node's; a VXLAN costs room
    in each packet. So that is for what a segment cannot do: be several, or reach over a router.
    """
    links = devices(machines)
    if len(machines) == 1:
        return "vxlan", f"{machines[0].name} has all nodes, so that its switch is the underlay"
    if len(layout.subnets) > 1:
        return "vxlan", (
            f"the underlay has {len(layout.subnets)} segments, each a VXLAN between the machines' "
            "switches"
        )
    if not shares_segment:
        return (
            "vxlan",
            f"the machines share no segment, so that a VXLAN over {links} joins them",
        )
    return "macvlan", f"the machines share the segment of {links}, on which nodes are macvlans"


def underlay_mtus(layout: Layout, machines: Sequence[Machine], wire: WireKind) -> tuple[int, ...]:
    """What the segments' MTUs (bytes) must be, so that every packet fits that a node sends."""
    overhead = STITCH_OVERHEAD if wire == "vxlan" and len(machines) > 1 else 0
    carries = min(machine.mtu for machine in machines) - overhead
    if wire == "vxlan" and len(machines) == 1:
        return tuple(subnet.mtu for subnet in layout.subnets)
    return tuple(min(subnet.mtu, carries) for subnet in layout.subnets)


def spread(
    plan: Plan,
    layout: Layout,
    machines: Sequence[Machine],
    wire: WireKind,
    why: str,
    lab: str | None = None,
) -> tuple[Plan, Spread]:
    """The whole plan with uplinks as they are on their machines, and who has what of it.

    Raises BadInput for a machine that cannot be joined by that wire.
    """
    if wire == "vxlan" and len(machines) > 1:
        for machine in machines:
            if machine.address is None:
                raise BadInput(
                    f"{machine.name} has no IPv4 address on {machine.device}, from which a VXLAN "
                    "to the other machines could be sent",
                    "give it one, or join the machines by one segment",
                )
    placement = place(layout, [machine.name for machine in machines])
    placement |= {item.pod: placement[item.node] for item in plan.attachments}
    how = Spread(
        lab=lab or plan.topology,
        wire=wire,
        why=why,
        machines=tuple(machines),
        placement=placement,
    )
    if wire == "vxlan":
        return plan, how
    switches = {subnet.switch for subnet in layout.subnets}
    spaces = {}
    for name, space in plan.namespaces.items():
        if name not in switches:
            device = how.machine(placement[name]).device
            links = [_on_machine(link, device, switches) for link in space.links]
            spaces[name] = msgspec.structs.replace(space, links=links)
    requires = _with(plan.requires, "macvlan")
    return msgspec.structs.replace(plan, namespaces=spaces, requires=requires), how


def _on_machine(link: AnyLink, device: str, switches: set[str]) -> AnyLink:
    """A cable to a switch becomes a device of its own on the machine's interface."""
    if not (isinstance(link, Veth) and link.peer and link.peer.namespace in switches):
        return link
    return Macvlan(
        name=link.name,
        mac=link.mac,
        mtu=link.mtu,
        addr_gen_mode=link.addr_gen_mode,
        device=device,
        link_netns=MACHINE,
    )


def part(plan: Plan, how: Spread, machine: str) -> Plan:
    """What one machine builds of a whole plan that was spread."""
    own = how.machine(machine)
    spaces = {}
    for name, space in plan.namespaces.items():
        if name not in how.placement:
            spaces[name] = _switch(space, how, own)
        elif how.placement[name] == machine:
            spaces[name] = space
    stitched = how.wire == "vxlan" and len(how.machines) > 1
    return Plan(
        plan.topology,
        _with(plan.requires, "vxlan") if stitched else plan.requires,
        spaces,
        [item for item in plan.attachments if item.pod in spaces],
    )


def _switch(space: Namespace, how: Spread, own: Machine) -> Namespace:
    """A machine's copy of a switch: the ports of its own, and one to all other machines."""
    links = [link for link in space.links if _is_here(link, how.placement, own.name)]
    others = [machine for machine in how.machines if machine.name != own.name]
    if not others:
        return msgspec.structs.replace(space, links=links)
    # The bridge comes first, and loopback last.
    links.insert(-1, _stitch(space, how, own))
    fdb = [*space.fdb, *_floods(others)]
    return msgspec.structs.replace(space, links=links, fdb=fdb)


def _is_here(link: AnyLink, placement: Placement, machine: str) -> bool:
    peer = link.peer if isinstance(link, Veth) else None
    return peer is None or placement[peer.namespace] == machine


def _stitch(space: Namespace, how: Spread, own: Machine) -> Vxlan:
    return Vxlan(
        name=STITCH,
        mac=mac(space.name, how.lab, own.name, STITCH),
        mtu=space.link(SWITCH_BRIDGE).mtu,
        master=SWITCH_BRIDGE,
        bridge_port=PORT,
        vni=vni(how.lab, space.name),
        port=STITCH_PORT,
        local=own.address,
        device=own.device,
        link_netns=MACHINE,
    )


def _floods(others: Iterable[Machine]) -> Iterator[FdbEntry]:
    for machine in others:
        assert machine.address is not None
        yield FdbEntry(STITCH, ANY_MAC, machine.address)


def vni(lab: str, switch: str) -> int:
    """The VNI of a lab's segment: of 16 million, so that two labs hardly meet; never 0 or 1.

    1 is flannel's, which somebody who reads a capture expects it to be.
    """
    digest = hashlib.blake2b(f"{lab}/{switch}".encode(), digest_size=3).digest()
    return max(int.from_bytes(digest, "big"), 2)


def _with(requires: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*requires, *more]))
