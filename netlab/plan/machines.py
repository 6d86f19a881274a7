"""A lab on several machines: which of them has what, and the wire that joins them. Pure values.

Every machine holds the namespaces of the nodes that are placed on it, and of their pods; the first
one the router and the client outside too. What joins the machines is one of two wires:

- `macvlan`: each node's uplink, and the router's, is a macvlan device (mode bridge) on the
  machine's interface on the underlay. No machine has a switch for that segment: their own network
  is it.
- `vxlan`: every machine has a switch of its own for each segment, with the ports of its own nodes,
  and one port more, a VXLAN device whose socket is in the machine's own namespace, to all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

# Stands for the machine's own network namespace (in which netlab was started) wherever a namespace
# is named: as `link_netns` of a device whose parent or socket is there, and as a place to capture.
# Nothing can have that name: names of nodes, pods and switches have no "@".
MACHINE = "@machine"
STITCH = "stitch"  # the port of a switch that leads to the other machines
STITCH_PORT = 4789  # UDP; another would be read as another protocol by tcpdump
STITCH_OVERHEAD = 50  # bytes of outer headers, IPv4

WireKind = Literal["macvlan", "vxlan"]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of the inventory: `device` is its interface on the underlay, with this MTU (bytes).

    `address` is the IPv4 address it has there; None where it has none, which a macvlan needs not.
    """

    name: str
    device: str
    mtu: int = 1500
    address: str | None = None


def devices(machines: Iterable[Machine]) -> str:
    """Their interfaces on the underlay, in words, each name once."""
    return " and ".join(dict.fromkeys(machine.device for machine in machines))


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How a lab is spread over machines: the same value on every one of them and on the controller.

    `placement` has the machine of every namespace that is on one only: nodes, pods, router, the
    client outside and its segment's switch. `why` is why this kind of wire was chosen; `lab` is the
    lab's name, `owner` who made it, so that no other controller takes it for its own.
    """

    lab: str
    owner: str = ""
    wire: WireKind
    why: str
    machines: tuple[Machine, ...]
    placement: dict[str, str]

    def machine(self, name: str) -> Machine:
        return next(one for one in self.machines if one.name == name)

    def on(self, machine: str) -> list[str]:
        """The namespaces that are on one machine alone."""
        return [name for name, place in self.placement.items() if place == machine]

    def crosses(self, one: str, other: str) -> bool:
        """Whether two namespaces are on two machines."""
        places = self.placement.get(one), self.placement.get(other)
        return None not in places and places[0] != places[1]
