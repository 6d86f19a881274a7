"""Making and changing network devices. A veth is made once, with both ends where they stay."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from netlab.kernel import devices, fresh, namespaces, objects
from netlab.kernel.devices import base, offloads, tcx
from netlab.kernel.devices.base import Device, Names, Place
from netlab.kernel.local_table import NO_MULTICAST, multicast_route
from netlab.kernel.netlink import Request
from netlab.kernel.space import Space, Spaces
from netlab.plan.diff import Change
from netlab.plan.links import FALLBACK_DEVICES, PORT, AddrGenMode, Link, Veth
from netlab.plan.types import Plan

OPERATIONAL_SECONDS = 2.5
_GEN_MODE = "net/ipv6/conf/default/addr_gen_mode"
Key = tuple[str, str]  # a namespace and a device in it


class Wiring:
    """Works on the devices of a plan, in namespaces that are open."""

    def __init__(self, plan: Plan, spaces: Spaces) -> None:
        self._plan = plan
        self._spaces = spaces
        self._links = {
            (name, link.name): link
            for name, space in plan.namespaces.items()
            for link in space.links
        }

    def create(self, new: Mapping[str, Sequence[Link]]) -> None:
        """Make devices, each after those that it needs; then what none can be given when made."""
        wanted = {
            (name, link.name)
            for name, links in new.items()
            for link in links
            if devices.of(link).makes
        }
        wanted -= self._adopted({key for key in wanted if key[1] in FALLBACK_DEVICES})
        up = set()
        for batch in self._in_order(new, wanted):
            for name, keys in batch.items():
                up |= self._make(name, keys)
        for name, links in new.items():
            self._finish(name, [link for link in links if (name, link.name) in wanted], up)

    def _adopted(self, keys: Iterable[Key]) -> set[Key]:
        """Those of a plan's devices that some kernels put into every namespace, now as planned."""
        there: set[Key] = set()
        for key in keys:
            for _ in range(2):  # IPv6 knows of the device once it is up
                if self._adopt(key):
                    there.add(key)
        return there

    def _adopt(self, key: Key) -> bool:
        (name, device), link = key, self._links[key]
        space = self._spaces.get(name)
        for raw in devices.dump(space.netlink, (device,)).values():
            if (raw.name, raw.kind) == (device, link.kind):
                space.made(device, raw.index)
                have = devices.of_kind(raw.kind).read(raw, Names({}, {}, None, None, link))
                if have.addr_gen_mode is None:
                    link = msgspec.structs.replace(link, addr_gen_mode=None)
                self.change(name, [Change(name, link, have)])
                return True
        return False

    def _in_order(
        self, new: Mapping[str, Sequence[Link]], wanted: set[Key]
    ) -> Iterator[Mapping[str, list[Key]]]:
        """Devices in steps, by the namespaces from which they are made; a veth from one end."""
        depths: dict[Key, int] = {}

        def depth(key: Key) -> int:
            if key not in depths:
                depths[key] = 0  # two that need each other are made as they come
                needs = [need for need in map(self._maker, self._needs(key)) if need in wanted]
                depths[key] = max((depth(need) + 1 for need in needs), default=0)
            return depths[key]

        steps: dict[int, dict[str, list[Key]]] = defaultdict(lambda: defaultdict(list))
        for name, links in new.items():
            for link in links:
                key = (name, link.name)
                if key in wanted and self._maker(key) == key:
                    steps[depth(key)][link.link_netns or name].append(key)
        return (steps[step] for step in sorted(steps))

    def _peer(self, key: Key) -> Key | None:
        link = self._links[key]
        if isinstance(link, Veth) and link.peer:
            return link.peer.namespace, link.peer.link
        return None

    def _maker(self, key: Key) -> Key:
        """The end from which a veth is made: one with a master, as it comes enslaved then."""
        peer = self._peer(key) if key in self._links else None
        if peer is None or peer not in self._links:
            return key
        return max(key, peer, key=lambda end: (self._links[end].master is not None, end))

    def _needs(self, key: Key) -> Iterator[Key]:
        """The devices that must be there before one can be made; of a veth, before both ends."""
        peer = self._peer(key)
        for end in [key, peer] if peer in self._links else [key]:
            link = self._links[end]
            if link.master:
                yield end[0], link.master
            if parent := getattr(link, "device", None):
                yield link.link_netns or end[0], parent

    def _make(self, name: str, keys: Iterable[Key]) -> set[Key]:
        """Make devices from one namespace; returns those that come up with that."""
        space = self._spaces.get(name)
        requests: list[Request] = []
        up: set[Key] = set()
        with contextlib.ExitStack() as opened:
            for key in keys:
                link = self._links[key]
                device = devices.of(link)
                try:
                    if not device.by_netlink:
                        own = self._spaces.get(key[0])
                        with namespaces.inside(key[0]):
                            own.made(link.name, device.make(link))
                        continue
                    place = self._place(key, space, opened)
                    now = link.up and not self._needs_gen_mode(key)
                    if device.moves and place.namespace is not None:
                        requests += _made_and_moved(device, link, place, space)
                        continue
                    requests.append(base.create(device, link, place, now))
                except KeyError as missing:
                    self._spaces.problems.append(f"{name}: {link}: there is no device {missing}")
                except OSError as error:
                    self._spaces.problems.append(f"{name}: {link}: {error.strerror}")
                else:
                    up |= {key} if now else set()
            self._spaces.send(space, requests)
        return up

    def _place(self, key: Key, space: Space, opened: contextlib.ExitStack) -> Place:
        link, own = self._links[key], self._spaces.get(key[0])
        master = own.indexes[link.master] if link.master else None
        place = Place(own.new_index(link.name), space.indexes, master)
        if own is not space:
            place.namespace = _open(key[0], opened)
        if (peer := self._peer(key)) and peer in self._links:
            place.peer = self._links[peer]
            place.peer_index = self._spaces.get(peer[0]).new_index(peer[1])
            place.peer_namespace = _open(peer[0], opened)
        return place

    def _finish(self, name: str, links: Iterable[Link], up: set[Key]) -> None:
        """What a device cannot be given when it is made."""
        space = self._spaces.get(name)
        requests: list[Request] = []
        for link in links:
            if link.name not in space.indexes:
                continue  # it could not be made
            key, device = (name, link.name), devices.of(link)
            fields = self._unset(key, link, device)
            if link.up and key not in up:
                fields.add("up")
            if self._needs_gen_mode(key):
                fields.add("addr_gen_mode")
            requests += self._requests(space, device, link, fields)
            if link.bridge_port and link.bridge_port != PORT:
                index, given = space.indexes[link.name], base.differing(link.bridge_port)
                requests.append(base.port(link, index, given))
        space.queued += requests
        self._configure(name, links)

    def _unset(self, key: Key, link: Link, device: Device) -> set[str]:
        """The fields that the message which made a device did not set."""
        fields = {"alias"} if link.alias else set()
        if device.by_netlink and self._maker(key) == key:
            return fields
        fields |= {"master"} if link.master else set()
        if not device.by_netlink:
            fields |= {"mtu", "txqlen", "arp", *(["mac"] if link.mac else [])}
        elif not link.arp:
            fields.add("arp")
        return fields

    def _configure(self, name: str, links: Iterable[Link]) -> None:
        for link in links:
            device = devices.of(link)
            if not device.configures and not link.offloads:
                continue
            self._spaces.ready(name)
            with self._inside(name, link):
                if device.configures:
                    device.configure(link)
                if link.offloads:
                    offloads.write(link.name, link.offloads)

    def _requests(
        self, space: Space, device: Device, link: Link, fields: set[str]
    ) -> list[Request]:
        """The requests that set fields of a device that is there."""
        if not fields:
            return []
        try:
            master = space.indexes[link.master] if link.master else None
            parents = self._spaces.get(link.link_netns) if link.link_netns else space
            place = Place(space.indexes[link.name], parents.indexes, master)
            return list(base.change(device, link, place, fields))
        except KeyError as missing:
            self._spaces.problems.append(f"{space.name}: {link}: there is no device {missing}")
            return []

    def change(self, name: str, changes: Iterable[Change]) -> None:
        """Set what may change while a device lives."""
        space = self._spaces.get(name)
        requests: list[Request] = []
        configured: list[Link] = []
        for change in changes:
            link = change.want
            assert isinstance(link, Link)
            if link.name not in space.indexes:
                continue
            fields = set(change.fields)
            requests += self._requests(space, devices.of(link), link, fields - {"others"})
            if "others" in fields:
                index = space.indexes[link.name]
                requests += fresh.put_back(space.netlink, index, link)
                with self._inside(name, link):
                    tcx.detach(index)
                if isinstance(change.have, Link) and NO_MULTICAST in change.have.others:
                    route = multicast_route(link.name)
                    requests += [
                        kind.add(route, space.indexes) for kind in [objects.of(route)] if kind
                    ]
            if "offloads" in fields:
                self._turn_back(name, change)
            configured.append(link)
        self._spaces.send(space, requests)
        self._configure(name, configured)

    def _turn_back(self, name: str, change: Change) -> None:
        """Turn offload features that somebody changed to what a new device has."""
        assert isinstance(change.want, Link)
        assert isinstance(change.have, Link)
        turned = dict(change.have.offloads).keys() - dict(change.want.offloads).keys()
        bits = {feature: offloads.names()[feature] for feature in turned}
        with self._inside(name, change.want):
            usual = tuple(fresh.usual_features(change.want.kind, bits))
            offloads.ask(change.want.name, usual)

    @contextlib.contextmanager
    def _inside(self, name: str, link: Link) -> Iterator[None]:
        """In a namespace, for what no message does to a device; what is refused is noted."""
        try:
            with namespaces.inside(name):
                yield
        except OSError as error:
            self._spaces.problems.append(f"{name}: {link}: {error.strerror}")

    def _needs_gen_mode(self, key: Key) -> bool:
        mode = self._links[key].addr_gen_mode
        return mode is not None and mode != self._gen_mode(key[0])

    @functools.cache  # noqa: B019  # lives no longer than one piece of work
    def _gen_mode(self, name: str) -> AddrGenMode:
        """How new devices of a namespace make their link-local address."""
        for item in self._plan.namespaces[name].sysctls:
            if item.path == _GEN_MODE:
                return base.GEN_MODES[int(item.value)]
        return base.GEN_MODES[0]

    def wait(self, made: Iterable[str], changed: Mapping[str, Sequence[Change]]) -> None:
        """Wait until veths are operational, as the CNI plugin does: the kernel's link watch may
        take a second to see that a device is up. What is not then, a check will show."""
        names = {name for name in made if self._has_bridge(name)}
        for name, changes in changed.items():
            keys = [(name, change.want.key) for change in changes]
            names |= {name, *(peer[0] for key in keys if (peer := self._peer(key)))}
        deadline = time.monotonic() + OPERATIONAL_SECONDS
        for name in names:
            space = self._spaces.get(name)
            while not devices.are_operational(space.netlink) and time.monotonic() < deadline:
                time.sleep(0.005)

    def _has_bridge(self, name: str) -> bool:
        return any(link.bridge_port for link in self._plan.namespaces[name].links)


def _made_and_moved(device: Device, link: Link, place: Place, space: Space) -> Iterator[Request]:
    """Make a device, down, in the namespace of its parent, and move it to its own."""
    assert place.namespace is not None
    index = space.new_index(f"{link.name} on its way")
    yield base.create(device, link, Place(index, place.indexes), up=False)
    yield base.move(index, place.namespace, place.index, link)


def _open(namespace: str, opened: contextlib.ExitStack) -> int:
    """A descriptor of a namespace, until the requests with it are sent."""
    descriptor = namespaces.open_namespace(namespace)
    opened.callback(os.close, descriptor)
    return descriptor
