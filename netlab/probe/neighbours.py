"""Probing in batches that leave room in the kernel's neighbour table.

The table's limit (`gc_thresh3`, 1,024 entries) is one for all namespaces of the kernel, the host's
own included. A probe of one pair leaves up to six entries: pod and gateway in either direction,
node and node in either direction. So a large lab is probed in batches, and the entries of a batch
are deleted before the next: they would expire anyway, only later, and the lab learns them again
when it needs them. Entries of the plan are permanent, don't count, and are left alone.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from netlab.plan.compile import UPLINK
from netlab.plan.types import Plan
from netlab.probe.sockets import Unavailable, open_in
from netlab.topology.layout import Layout, SubnetSpec

T = TypeVar("T")
R = TypeVar("R")

ROOM = 400  # entries that one batch may leave; the rest of the limit is for others

_SIOCGIFINDEX = 0x8933
_RTM_DELNEIGH = 29
_NLM_F_REQUEST = 1
_NDA_DST = 1
_MESSAGE = struct.Struct("=IHHIIBBHiHBBHH4s")  # nlmsghdr, ndmsg, one rtattr with an address


class Entry(NamedTuple):
    namespace: str
    device: str
    address: str


class Neighbours:
    """Knows which entries a probe between two addresses of a lab leaves behind."""

    def __init__(self, layout: Layout, plan: Plan) -> None:
        self.left: set[Entry] = set()
        self.owners = {
            address.address.split("/")[0]: space.name
            for space in plan.namespaces.values()
            for address in space.addresses
        }
        self.planned = {
            Entry(space.name, item.link, item.address)
            for space in plan.namespaces.values()
            for item in space.neighbours
        }
        self.machines: dict[str, tuple[str, SubnetSpec]] = {
            node.name: (str(node.address), node.subnet) for node in layout.nodes
        }
        if layout.external:
            external = layout.external
            self.machines[external.name] = (str(external.address), external.subnet)
        self.pods = {
            pod.name: (str(pod.address), node.name, str(node.gateway))
            for node in layout.nodes
            for pod in node.pods
        }
        self.devices = {
            name: (space.links[0].name, _bridge(plan, name))
            for name, space in plan.namespaces.items()
            if name in self.pods
        }

    def batches(
        self,
        items: Sequence[T],
        ends: Callable[[T], tuple[str, str]],
        work: Callable[[Sequence[T]], Sequence[R]],
    ) -> list[R]:
        """Do `work` on all items, cut where the room is used up, and clean up between.

        `ends` tells an item's source namespace and target address. What earlier calls have left
        counts too.
        """
        results: list[R] = []
        batch: list[T] = []
        for item in items:
            new = self.left_by(*ends(item)) - self.left
            if len(self.left) + len(new) > ROOM:
                results += work(batch)
                forget(self.left)
                batch = []
                self.left = new = self.left_by(*ends(item))
            batch.append(item)
            self.left |= new
        return results + list(work(batch))

    def cool(self, more: Iterable[Entry] = ()) -> None:
        """Forget what the underlay's machines know of each other, so that they have to ask again.

        An entry that works is forgotten without loss: the next packet waits for the answer.
        """
        known = (
            entry
            for entry in self.left
            if entry.namespace in self.machines and entry.device == UPLINK
        )
        forget({*known, *more})

    def left_by(self, source: str, address: str) -> set[Entry]:
        """The entries that a probe from a namespace to an address leaves."""
        target = self.owners.get(address)
        if target is None or target == source:
            return set()
        entries = {*self._near(source, target), *self._near(target, source)}
        return entries - self.planned

    def _near(self, here: str, there: str) -> Iterator[Entry]:
        """Those on the way from `here` to `there` in the half that is nearer to here."""
        machine = self._machine(here)
        if here in self.pods:
            address, node, gateway = self.pods[here]
            device, bridge = self.devices[here]
            if there in self.pods and self.pods[there][1] == node:
                yield Entry(here, device, self.pods[there][0])
                return
            yield Entry(here, device, gateway)
            yield Entry(node, bridge, address)
        other = self._machine(there)
        if machine == other or machine not in self.machines or other not in self.machines:
            return
        subnet = self.machines[machine][1]
        address, other_subnet = self.machines[other]
        if subnet == other_subnet:
            yield Entry(machine, UPLINK, address)
        elif subnet.gateway:
            yield Entry(machine, UPLINK, str(subnet.gateway))

    def _machine(self, name: str) -> str:
        return self.pods[name][1] if name in self.pods else name


def forget(entries: Iterable[Entry]) -> None:
    """Delete entries from the kernel's table; those that are not there are no error."""
    by_namespace: dict[str, list[Entry]] = {}
    for entry in entries:
        by_namespace.setdefault(entry.namespace, []).append(entry)
    for namespace, listed in by_namespace.items():
        try:
            opened = open_in(namespace, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except Unavailable:
            continue
        with opened:
            try:
                numbers = {name: _number(opened, name) for name in {e.device for e in listed}}
                opened.send(b"".join(_delete(numbers[e.device], e.address) for e in listed))
            except OSError:
                continue  # a device is gone, and its entries with it


def _bridge(plan: Plan, pod: str) -> str:
    """The device in the node by which a pod is reached: its port's bridge, or the port."""
    peer = plan.namespaces[pod].links[0].peer
    if peer is None:
        return ""
    port = plan.namespaces[peer.namespace].link(peer.link)
    return port.master or port.name


def _number(opened: socket.socket, device: str) -> int:
    request = struct.pack("16si12x", device.encode(), 0)
    answer: bytes = fcntl.ioctl(opened.fileno(), _SIOCGIFINDEX, request)
    number: int = struct.unpack_from("i", answer, 16)[0]
    return number


def _delete(device: int, address: str) -> bytes:
    return _MESSAGE.pack(
        _MESSAGE.size,
        _RTM_DELNEIGH,
        _NLM_F_REQUEST,
        0,
        0,
        socket.AF_INET,
        0,
        0,
        device,
        0,
        0,
        0,
        8,
        _NDA_DST,
        socket.inet_aton(address),
    )
