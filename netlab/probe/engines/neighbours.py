"""Probing in batches that leave room in the kernel's neighbour tables.

A table's limit (`gc_thresh3`, 1,024 entries) is one for all namespaces of the kernel, the host's
own included; ARP and neighbour discovery have one table each. A probe of one pair leaves up to six
entries: pod and gateway in either direction, host and host in either direction. So a large lab is
probed in batches, and the entries of a batch are flushed before the next: they would expire anyway,
only later, and the lab learns them again when it needs them. Entries of the plan are permanent,
don't count, and are left alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from netlab.kernel import held, neighbour_tables
from netlab.plan.attachment import Attachment
from netlab.plan.probing.lab import Host, Lab, address
from netlab.plan.routing import Neighbour, is_ipv6
from netlab.probe.engines.flush import Entry, flush
from netlab.topology.resolved import ROUTER, of_family

T = TypeVar("T")
R = TypeVar("R")

ROOM = 400  # entries of a table that one batch may leave; the rest of the limit is for others
_LEAST_ROOM = 50
_BEHIND = 40  # endpoints of a port; a connection to one leaves up to six entries
# Seconds before what had no room is asked again; the kernel makes room of entries 5 seconds old.
_PAUSES = (0.0, 1.0, 5.0)


class Neighbours:
    """Knows which entries a probe between two addresses of a lab leaves behind."""

    def __init__(self, lab: Lab, tell: Callable[[str], None] = lambda words: None) -> None:
        self.tell = tell
        self.room = ROOM
        self.refusals = neighbour_tables.refusals()
        self._known: dict[tuple[str, str], set[Entry]] = {}
        # What is left so far, in the table of IPv4 and in that of IPv6.
        self.left: dict[bool, set[Entry]] = {False: set(), True: set()}
        self.here = lab.here
        self.attachments = lab.attachments
        self.hosts: dict[str, Host] = {host.name: host for host in lab.hosts}
        self.uplinks = {name: lab.uplink(host).name for name, host in self.hosts.items()}
        self.router = (
            {one.switch: lab.routers_link(one).name for one in lab.layout.segments}
            if ROUTER in lab.plan.namespaces
            else {}
        )
        self.owners = {
            item.ip: namespace.name
            for namespace in lab.plan.namespaces.values()
            for item in namespace.addresses
        }
        self.macs = {
            item.ip: namespace.link(item.link).mac
            for namespace in lab.plan.namespaces.values()
            for item in namespace.addresses
            if item.scope != "link"
        }
        # Who may answer at a ClusterIP, as far as a batch has room for.
        self.behind = {
            str(ip): tuple(dict.fromkeys(one.target for one in port.endpoints))[:_BEHIND]
            for service in lab.layout.services
            for port in service.ports
            for ip in service.cluster_ips
        }
        self.planned = {
            Entry(namespace.name, item.link, item.address)
            for namespace in lab.plan.namespaces.values()
            for item in namespace.neighbours
        }
        # The link-local addresses from which hosts ask for the MACs of what they forward to.
        self.link_locals = {
            (namespace.name, item.link): item.ip
            for namespace in lab.plan.namespaces.values()
            for item in namespace.addresses
            if item.scope == "link" and is_ipv6(item.address)
        }

    def batches(
        self,
        items: Sequence[T],
        ends: Callable[[T], tuple[str, str]],
        work: Callable[[Sequence[T]], Sequence[R]],
    ) -> list[R]:
        """Do `work` on all items, cut where the room is used up, and clean up between.

        `ends` tells an item's source namespace and target address. What earlier calls have left
        counts too. What fails while a table is full is no fault of the lab: it is done again.
        """
        results: list[R] = []
        for batch in self._cut(items, ends):
            part = list(work(batch))
            for pause in _PAUSES:
                failed = [index for index, one in enumerate(part) if _error(one)]
                if not failed or not self._overflowed():
                    break
                self._make_room(len(failed), pause)
                again = self._cut([batch[index] for index in failed], ends)
                outcomes = (one for smaller in again for one in work(smaller))
                for index, outcome in zip(failed, outcomes, strict=True):
                    part[index] = outcome
            else:
                part = [_doubted(one) for one in part] if self._overflowed() else part
            results += part
        return results

    def _cut(
        self, items: Sequence[T], ends: Callable[[T], tuple[str, str]]
    ) -> Iterator[Sequence[T]]:
        """Batches for which there is room; what one leaves is flushed before the next."""
        batch: list[T] = []
        for item in items:
            source, ip = ends(item)
            table = self.left[is_ipv6(ip)]
            new = self.left_by(source, ip) - table
            if len(table) + len(new) > self.room:
                if batch:
                    yield batch
                self._flush_all()
                batch = []
                new = self.left_by(source, ip)
            batch.append(item)
            table |= new
        if batch:
            yield batch

    def _overflowed(self) -> bool:
        """Whether a table had no room for something since this was last asked."""
        before, self.refusals = self.refusals, neighbour_tables.refusals()
        return self.refusals > before

    def _make_room(self, count: int, pause: float) -> None:
        self.room = max(self.room // 2, _LEAST_ROOM)
        self.tell(f"{count} probes again: the kernel's neighbour table had no room for them")
        self._flush_all()
        time.sleep(pause)

    @contextlib.contextmanager
    def held(self, sources: Sequence[str], targets: Sequence[str], ipv6: bool) -> Iterator[None]:
        """Hold as permanent entries all that probes between pods leave, in either direction.

        They need no room, and nobody has to ask. Where the kernel knows something of an address
        already, that stays.
        """
        self._flush_all()
        wanted: dict[str, list[Neighbour]] = {}
        for entry in self._between(sources, targets, ipv6) - self.planned:
            if mac := self._mac(entry):
                wanted.setdefault(entry.namespace, []).append(
                    Neighbour(entry.device, entry.address, mac, protocol=held.PROTOCOL)
                )
        made = held.put(wanted)
        try:
            yield
        finally:
            held.take_out(made)

    def _between(self, sources: Sequence[str], targets: Sequence[str], ipv6: bool) -> set[Entry]:
        """The entries of both ends of all probes between pods.

        What is near a pod is the same for all others of one node, unless that is its own.
        """
        found: set[Entry] = set()
        for here, there in ((sources, targets), (targets, sources)):
            nodes = self._by_node(there)
            for pod in here:
                own = self.attachments[pod].node
                for node, others in nodes.items():
                    for other in others if node == own else others[:1]:
                        if other != pod:
                            found.update(self._near(pod, other, ipv6))
        return self._here(found)

    def _by_node(self, pods: Sequence[str]) -> dict[str, list[str]]:
        nodes: dict[str, list[str]] = {}
        for pod in pods:
            nodes.setdefault(self.attachments[pod].node, []).append(pod)
        return nodes

    def _mac(self, entry: Entry) -> str | None:
        """The MAC that the plan has for an entry; a link-local address's is left to be asked."""
        pod = self.attachments.get(entry.namespace)
        if pod and entry.address in pod.gateways:
            return pod.gateway_mac
        return self.macs.get(entry.address)

    def _flush_all(self) -> None:
        for table in self.left.values():
            flush(table)
            table.clear()

    def flush_underlay(self, more: Iterable[Entry] = ()) -> None:
        """Flush what the underlay's hosts know of each other, so that they have to ask again.

        An entry that works is flushed without loss: the next packet waits for the answer.
        """
        known = (
            entry
            for table in self.left.values()
            for entry in table
            if self.uplinks.get(entry.namespace) == entry.device
        )
        flush({*known, *more})

    def left_by(self, source: str, ip: str) -> set[Entry]:
        """The entries that a probe from a namespace to an address leaves."""
        key = (source, ip)
        if key not in self._known:
            owner = self.owners.get(ip)
            targets = [owner] if owner else self.behind.get(ip, ())
            entries = {one for to in targets for one in self._between_two(source, to, is_ipv6(ip))}
            self._known[key] = self._here(entries) - self.planned
        return self._known[key]

    def _between_two(self, source: str, target: str, ipv6: bool) -> Iterator[Entry]:
        if target != source:
            yield from self._near(source, target, ipv6)
            yield from self._near(target, source, ipv6)

    def _here(self, entries: Iterable[Entry]) -> set[Entry]:
        """Those of this machine: on the others nothing can be made or flushed from here."""
        return {entry for entry in entries if self.here(entry.namespace)}

    def _near(self, here: str, there: str, ipv6: bool) -> Iterator[Entry]:
        """Those on the way from `here` to `there` in the half that is nearer to here."""
        pod, other_pod = self.attachments.get(here), self.attachments.get(there)
        if pod:
            if other_pod and other_pod.node == pod.node and pod.bridge:
                yield Entry(here, pod.device, _own(other_pod, ipv6))
                return
            yield from self._to_node(pod, ipv6)
        host, other = self._host(here), self._host(there)
        if host is None or other is None or host is other:
            return
        device = self.uplinks[host.name]
        if host.subnet == other.subnet:
            yield Entry(host.name, device, str(address(other, ipv6)))
            if ipv6:
                asker = self.uplinks[other.name]
                yield from self._link_local(host.name, device, other.name, asker)
        elif gateway := of_family(host.subnet.gateways, ipv6):
            yield Entry(host.name, device, str(gateway))
            port = self.router[host.subnet.switch]
            yield Entry(ROUTER, port, str(address(host, ipv6)))
            if ipv6:
                yield from self._link_local(host.name, device, ROUTER, port)
                yield from self._link_local(ROUTER, port, host.name, device)

    def _to_node(self, pod: Attachment, ipv6: bool) -> Iterator[Entry]:
        """A pod and its gateway."""
        device = pod.bridge or pod.port
        for gateway in pod.gateways:
            if is_ipv6(gateway) is ipv6:
                yield Entry(pod.pod, pod.device, gateway)
        yield Entry(pod.node, device, _own(pod, ipv6))
        if ipv6:
            yield from self._link_local(pod.pod, pod.device, pod.node, device)

    def _link_local(self, here: str, device: str, there: str, asker: str) -> Iterator[Entry]:
        """Who is asked for its MAC learns that of the asker."""
        own = self.link_locals.get((there, asker))
        if own:
            yield Entry(here, device, own)

    def _host(self, name: str) -> Host | None:
        pod = self.attachments.get(name)
        return self.hosts.get(pod.node if pod else name)


def _error(outcome: Any) -> str | None:
    found: str | None = getattr(outcome, "error", None)
    return found


def _doubted(outcome: Any) -> Any:
    """An outcome whose error may be that of the instrument says so."""
    words = "while the kernel's neighbour table was full"
    return outcome._replace(error=f"{outcome.error}, {words}") if outcome.error else outcome


def _own(pod: Attachment, ipv6: bool) -> str:
    """The pod's address of a family."""
    return next(text.partition("/")[0] for text in pod.addresses if is_ipv6(text) is ipv6)
