"""The kernel's state as the plan's own values, so that comparing the two is `==`.

What the kernel makes by itself is left out: tunnels' fallback devices that are not planned, the
local routing table as it follows from the addresses, what is learned (neighbours, FDB entries, path
MTUs), what devices without ARP have instead, link-local addresses made from a MAC.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netlab.kernel import (
    devices,
    extras,
    fresh,
    local_table,
    namespaces,
    objects,
    rulesets,
    settings,
)
from netlab.kernel.devices import offloads, tcx, vxlan
from netlab.kernel.devices.base import IFF_NOARP, OFFLOADS, UNUSUAL, Names, Raw
from netlab.kernel.netlink import Netlink, open_netlink, request
from netlab.kernel.processes import Processes
from netlab.kernel.pyroute import nsidmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.links import AnyLink, Link, Macvlan, Peer, Veth
from netlab.plan.machines import MACHINE
from netlab.plan.names import netns
from netlab.plan.processes import Container, Daemon
from netlab.plan.routing import ANY_MAC, FdbEntry, Neighbour, is_ipv6
from netlab.plan.types import Namespace, Plan

Raws = Mapping[int, Raw]
_NO_NUMBER = 0xFFFFFFFF  # NETNSA_NSID_NOT_ASSIGNED
_LINK_LOCAL = "fe80::/64"
_WAITS = (0.01, 0.05, 0.2)  # seconds; the kernel brings a new IPv6 address into use a little later
_read_number = Reader(nsidmsg, {"NETNSA_NSID"})


def observe(
    plan: Plan, processes: Processes, look: settings.Look | None, *, others: bool = True
) -> dict[str, Namespace]:
    """Every namespace of the sandbox, with what it holds; without `others`, the plan's alone.

    `look` is one at their settings; without, these are taken to be as planned.
    """
    planned = {netns(name): name for name in plan.namespaces}
    present = {planned.get(file, file) for file in namespaces.existing()}
    names = [name for name in plan.namespaces if name in present]
    if look:
        look.begin(names)
    if others:
        names += sorted(present - set(plan.namespaces))
    canonical = rulesets.prepare(
        item for space in plan.namespaces.values() for item in space.ruleset
    )
    found: dict[str, Namespace] = {}
    seen: dict[str, _Seen] = {}
    for name in names:
        wanted = plan.namespaces.get(name) or Namespace(name, "pod")
        space = found[name] = Namespace(name, wanted.role, wanted.ipv6, rules=[])
        with namespaces.inside(name):
            seen[name] = _look(space, wanted, names, look)
            space.ruleset = rulesets.observe(wanted.ruleset, canonical)
        _add_processes(space, processes)
        if not _kernel_has_ipv6():
            _adopt_ipv6(space, wanted)
    machine = functools.cache(_names_of_machine)
    for name, space in found.items():
        space.links = list(_named(seen, name, machine))
        if name in plan.namespaces:
            wanted = plan.namespaces[name]
            configured = _configured(seen[name])
            space.sysctls = look.found(wanted, configured) if look else wanted.sysctls
    _leave_out_macvlans(found)
    return found


def _configured(seen: _Seen) -> Iterator[settings.Device]:
    """The settings of a namespace's devices."""
    for raw in seen.raws.values():
        wanted = seen.wanted.get(raw.name)
        planned = wanted if wanted and wanted.kind == raw.kind else None
        numbers = settings.numbers(raw, seen.parameters)
        yield settings.Device(raw.name, raw.values["IFLA_MTU"], numbers, planned)


@dataclass(slots=True)
class _Seen:
    """A namespace's devices as dumped, their names, and where those were made that say so.

    `parameters` are those of neighbour tables by a device's index.
    """

    raws: Raws
    names: Mapping[int, str]
    made_in: Mapping[int, str]
    wanted: Mapping[str, Link]
    parameters: Mapping[int, settings.Numbers]


def _look(
    space: Namespace, wanted: Namespace, names: Iterable[str], look: settings.Look | None
) -> _Seen:
    """Read what netlink tells of the current namespace."""
    with contextlib.closing(open_netlink()) as netlink:
        raws = _links(netlink, {link.name for link in wanted.links})
        by_index = {index: raw.name for index, raw in raws.items()}
        without = _fill(space, netlink, raws, by_index, wanted.neighbours)
        made_in = _made_in(netlink, raws, wanted, names)
        parameters = look.parameters(netlink, space.name) if look else {}
        _add_unusual(netlink, raws, wanted, without)
    return _Seen(raws, by_index, made_in, {link.name: link for link in wanted.links}, parameters)


def _add_unusual(netlink: Netlink, raws: Raws, wanted: Namespace, without: Collection[str]) -> None:
    """What no field says of a device, or a plan only if it is asked to; `without` as of `judge`."""
    planned = {link.name: link.offloads for link in wanted.links}
    for raw in raws.values():
        words, changed = fresh.differing(raw, offloads.features(netlink, raw.name))
        said = planned.get(raw.name, ())
        found = [item for item in offloads.told(changed) if item[0] not in dict(said)]
        if said:
            with contextlib.suppress(OSError):
                found += offloads.read(raw.name, dict(said))
        raw.values[OFFLOADS] = tuple(found)
        if raw.name in without:
            words = (*words, local_table.NO_MULTICAST)
        raw.values[UNUSUAL] = (*words, *tcx.words(raw.index))


def _named(
    seen: Mapping[str, _Seen], name: str, machine: Callable[[], Mapping[int, str]]
) -> Iterator[AnyLink]:
    """The devices of a namespace, with names for the indexes that they refer to.

    `machine` tells those of the machine's own namespace, which only a lab on several asks for.
    """
    here = seen[name]
    for raw in here.raws.values():
        wanted, origin = here.wanted.get(raw.name), here.made_in.get(raw.index)
        parents: Mapping[int, str] = here.names
        if origin == MACHINE:
            parents = machine()
        elif origin is not None:
            parents = seen[origin].names if origin in seen else {}
        peer = _peer(raw, wanted, seen) if isinstance(wanted, Veth) else None
        names = Names(here.names, parents, origin, peer, wanted)
        yield devices.of_kind(raw.kind).read(raw, names)


def _names_of_machine() -> Mapping[int, str]:
    """The devices of the machine's own namespace, on which some of the lab's are made."""
    with namespaces.inside(MACHINE), contextlib.closing(open_netlink()) as netlink:
        return {index: raw.name for index, raw in devices.dump(netlink).items()}


def _leave_out_macvlans(found: Mapping[str, Namespace]) -> None:
    """A device receives what is for the macvlan devices on it, by entries that the kernel made."""
    for name, space in found.items():
        for link in space.links:
            if isinstance(link, Macvlan) and (parent := found.get(link.link_netns or name)):
                parent.fdb = [
                    item for item in parent.fdb if (item.link, item.mac) != (link.device, link.mac)
                ]


def _links(netlink: Netlink, planned: Collection[str]) -> Raws:
    found = devices.dump(netlink, planned)
    for raw in found.values():
        devices.of_kind(raw.kind).look(raw)
    return found


def _fill(
    space: Namespace,
    netlink: Netlink,
    raws: Raws,
    names: Mapping[int, str],
    planned: Collection[Neighbour],
) -> Collection[str]:
    """Read the objects of a namespace; returns the devices without multicast routes of IPv6."""
    up = {raw.name for raw in raws.values() if raw.up}
    multicast = {raw.name for raw in raws.values() if local_table.has_multicast(raw)}
    for seconds in (*_WAITS, 0):
        for kind in objects.TYPES.values():
            setattr(space, kind.field, list(kind.read(netlink, names)))
        new, there = local_table.judge(space, up)
        without = multicast - there if space.ipv6 else set()
        if not (new or without):
            break
        time.sleep(seconds)
    space.extras = list(extras.read(netlink, names, {raw.kind for raw in raws.values()}))
    by_name = {raw.name: raw for raw in raws.values()}
    space.fdb = [item for item in space.fdb if not _follows(item, by_name[item.link], raws)]
    space.neighbours = [
        item
        for item in space.neighbours
        if not _is_its_own(item, by_name[item.link]) or item in planned
    ]
    # The route of a link-local address that the kernel made is left out as the address is.
    own = {item.link for item in space.addresses if item.ip.startswith("fe80:")}
    space.routes = [
        way
        for way in space.routes
        if not (way.connected and way.destination == _LINK_LOCAL and way.link not in own)
    ]
    return without


def _follows(entry: FdbEntry, raw: Raw, raws: Raws) -> bool:
    """Whether the kernel has an entry on a device by itself.

    A VXLAN device has one for its remote end; a bridge and its ports for their own MACs.
    """
    if entry.destination:
        return (entry.mac, entry.destination) == (ANY_MAC, vxlan.remote(raw))
    master = raws.get(raw.values.get("IFLA_MASTER", 0), raw)
    macs = [item.values.get("IFLA_ADDRESS") for item in (raw, master)]
    return entry.state == "permanent" and entry.mac in macs


def _is_its_own(entry: Neighbour, raw: Raw) -> bool:
    """Whether the kernel made an entry of a device without ARP for a packet that it sent there.

    It has the device's own address (arp_constructor and ndisc_constructor), or none if that has
    none.
    """
    address = raw.values.get("IFLA_ADDRESS", "")
    return bool(raw.flags & IFF_NOARP) and (entry.state, entry.mac) == ("noarp", address)


def _add_processes(space: Namespace, processes: Processes) -> None:
    for process in processes.running(space.name):
        if isinstance(process, Container):
            space.containers.append(process)
        elif isinstance(process, Daemon):
            space.daemons.append(process)


@functools.cache
def _kernel_has_ipv6() -> bool:
    return os.path.exists("/proc/sys/net/ipv6")


def _adopt_ipv6(space: Namespace, wanted: Namespace) -> None:
    """A kernel without IPv6 holds nothing of it, and nobody expects otherwise."""
    space.addresses += [item for item in wanted.addresses if is_ipv6(item.ip)]
    space.routes += [item for item in wanted.routes if is_ipv6(item.destination)]
    space.rules += [item for item in wanted.rules if item.ipv6]


def _made_in(
    netlink: Netlink, raws: Raws, wanted: Namespace, names: Iterable[str]
) -> Mapping[int, str]:
    """The namespaces in which devices were made, for those that are not at home, by index.

    The kernel tells a number that means something in the device's own namespace only.
    """
    numbers = {
        index: raw.values["IFLA_LINK_NETNSID"]
        for index, raw in raws.items()
        if "IFLA_LINK_NETNSID" in raw.values and raw.kind != "veth"
    }
    if not numbers:
        return {}
    planned = [link.link_netns for link in wanted.links if link.link_netns]
    known: dict[int, str] = {}
    for name in dict.fromkeys([*planned, *names]):
        if set(numbers.values()) <= set(known):
            break
        with contextlib.suppress(OSError):
            known[_number(netlink, name)] = name
    return {index: known.get(number, f"namespace {number}") for index, number in numbers.items()}


def _number(netlink: Netlink, name: str) -> int:
    """The number of a namespace as seen from that of a socket."""
    descriptor = namespaces.open_namespace(name)
    try:
        question = request(nsidmsg, rtnl.RTM_GETNSID, 0, {}, (("NETNSA_FD", descriptor),))
        _, values = _read_number(netlink.ask(question))
    finally:
        os.close(descriptor)
    return int(values.get("NETNSA_NSID", _NO_NUMBER))


def _peer(raw: Raw, wanted: Veth, seen: Mapping[str, _Seen]) -> Peer | None:
    """A veth's peer, looked for where the plan has it.

    The kernel gives the peer's index in its own namespace; it is that peer if the device there has
    this one's index as its own peer in turn.
    """
    if wanted.peer is None or wanted.peer.namespace not in seen:
        return None
    there = seen[wanted.peer.namespace].raws.get(raw.values.get("IFLA_LINK", 0))
    if there and there.kind == "veth" and there.values.get("IFLA_LINK") == raw.index:
        return Peer(wanted.peer.namespace, there.name)
    return None
