"""What the kernel takes of devices, whoever asks for more: a dataplane of a user's, or `--force`.

A plan that goes beyond is refused, since the kernel would refuse a part of the lab, or a request
could not even be written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netlab.errors import BadInput, shown
from netlab.plan.links import AnyLink, Bridge, Vxlan, Wireguard
from netlab.plan.names import DEVICE_NAME_MAX
from netlab.plan.types import Namespace

BRIDGE_PORTS_MAX = 1023  # BR_MAX_PORTS (net/bridge/br_private.h) less number 0
MTU_MIN, MTU_MAX = 68, 65535  # ETH_MIN_MTU and ETH_MAX_MTU (linux/if_ether.h)
VNI_MAX = 2**24 - 1  # the VXLAN header has 24 bits for it (RFC 7348)
PORT_MAX = 65535
PRIORITY_MAX = 65535  # of a bridge in its identity (IEEE 802.1D)


def refuse_impossible(space: Namespace) -> None:
    """Raise BadInput for a device that the kernel would not make."""
    seen: set[str] = set()
    for link in space.links:
        if link.name in seen:  # hashes may collide, and a dataplane gives names of its own
            raise BadInput(f"Two devices in {space.name} would be named {shown(link.name)}.")
        seen.add(link.name)
        if len(link.name) > DEVICE_NAME_MAX:
            raise BadInput(
                f"The device name {shown(link.name)} in {space.name} has {len(link.name)} "
                f"characters; the kernel allows {DEVICE_NAME_MAX}."
            )
        for what, value, least, most in _numbers(link):
            if not least <= value <= most:
                raise BadInput(
                    f"The {what} {value} of {link.name} in {space.name} must lie between {least} "
                    f"and {most}."
                )
    _refuse_same_tunnels(space)
    _refuse_too_many_ports(space)


def _numbers(link: AnyLink) -> Iterator[tuple[str, int, int, int]]:
    """The numbers of a device, each with its least and its greatest value."""
    if link.kind != "loopback":
        yield "MTU", link.mtu, MTU_MIN, MTU_MAX
    if isinstance(link, Vxlan):
        yield "VNI", link.vni, 0, VNI_MAX
        yield "VXLAN port", link.port, 0, PORT_MAX
        yield "TTL", link.ttl, 0, 255
    elif isinstance(link, Bridge):
        yield "priority", link.priority, 0, PRIORITY_MAX
    elif isinstance(link, Wireguard):
        yield "port", link.listen_port, 0, PORT_MAX


def _refuse_same_tunnels(space: Namespace) -> None:
    """A namespace has one VXLAN device of a VNI on a port and device (vxlan_vni_in_use)."""
    seen: dict[tuple[object, ...], str] = {}
    for link in space.links:
        if isinstance(link, Vxlan):
            ipv6 = ":" in (link.local or link.remote or "")
            key = (link.vni, link.port, link.device, link.external, ipv6)
            if other := seen.get(key):
                raise BadInput(
                    f"The devices {other} and {link.name} in {space.name} would have the same VNI "
                    f"{link.vni} and port {link.port}; the kernel allows one."
                )
            seen[key] = link.name


def _refuse_too_many_ports(space: Namespace) -> None:
    ports = Counter(link.master for link in space.links if link.bridge_port)
    for bridge, count in ports.items():
        if count > BRIDGE_PORTS_MAX:
            raise BadInput(
                f"The bridge {bridge} in {space.name} would have {count} ports; the kernel allows "
                f"{BRIDGE_PORTS_MAX}",
                "use more subnets" if space.role == "switch" else "use more nodes",
            )
