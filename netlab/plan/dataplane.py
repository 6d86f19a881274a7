"""What a dataplane is: a frozen dataclass that tells what nodes hold and how packets look."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.plan.attach import Attach
from netlab.plan.explanations import Says
from netlab.plan.headers import BARE, Stack
from netlab.plan.probing.scenario import Scenario
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.host_local import HostLocal
from netlab.topology.resolved import Ip, Layout, NodeSpec

POD_TTL = 63  # a pod's packets are sent with 64, and its node forwards them once


@dataclass(frozen=True, slots=True)
class Dataplane:
    """Base of all dataplanes; what it says is true of plain routing between nodes.

    A subclass with a `name` is a dataplane: `name` is how commands call it, as `flannel-vxlan`.
    Its fields are the options that a user may set. A whole one is a name and `node`: see
    tests/unit/test_stranger.py for the smallest.

    >>> @dataclass(frozen=True, slots=True)
    ... class Cautious(netlab.flannel.HostGw):
    ...     name: ClassVar[str] = "cautious"
    ...     def validate(self, layout):
    ...         if len(layout.nodes) > 100:
    ...             yield "Its routing tables are kept short: at most 100 nodes."
    >>> netlab.Cluster(nodes=2, dataplane=Cautious()).dataplane.name
    'cautious'
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    # Features of the kernel (`netlab doctor`) it takes beside those that its objects show.
    requires: ClassVar[tuple[str, ...]] = ()
    # Those of them for which it has a stand-in (`without`).
    spares: ClassVar[tuple[str, ...]] = ()
    ipam: ClassVar[Ipam] = HostLocal()
    dual_stack: ClassVar[bool] = True
    # Whether its agent keeps its iptables rules before those of kube-proxy, which puts its own
    # before those of anybody who appends.
    inserts: ClassVar[bool] = False
    # Whether these rules accept what pods send to be forwarded: kube-proxy's in the same chain then
    # do not refuse it any more.
    accepts_pods: ClassVar[bool] = False
    # Who writes what `node` yields, and why, for `netlab explain`; bases add theirs. May be left
    # out: `explain` then says that nothing is told.
    explains: ClassVar[tuple[Says, ...]] = ()

    def validate(self, layout: Layout) -> Iterator[str]:
        """A sentence for each thing that cannot work on this cluster; the first is the error."""
        return iter(())

    def without(self, lacking: Collection[str]) -> Dataplane:
        """What it is on a kernel that lacks these of the features that it `spares`."""
        return self

    def carrier(self) -> str:
        """What carries packets between nodes, where it `spares` something; else empty."""
        return ""

    def allocator(self) -> Ipam:
        """Where pods' addresses come from: `ipam`, or what the options make of it."""
        return self.ipam

    def attach(self, layout: Layout, node: NodeSpec) -> Attach:
        """The way in which the node's pods are attached."""
        raise NotImplementedError

    def annotations(self, layout: Layout, node: NodeSpec) -> dict[str, str]:
        """What the real system writes about the node into its Kubernetes object."""
        return {}

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        """What the node holds beside its underlay and its pods' attachments."""
        return ()

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        """The headers around a pod's packet from one node to another, outer IP header first."""
        return BARE

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        """The MTU of a node's pods in bytes; without a node, of those where it is least."""
        return node.mtu if node else min(one.mtu for one in layout.nodes)

    def path_mtu(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> int:
        """The largest packet in bytes that crosses whole from pods of one node to another's."""
        size = self.headers(layout, source, target, ipv6).size
        return min(
            *(self.pod_mtu(layout, node) for node in (source, target)),
            *(node.mtu - size for node in (source, target)),
        )

    def wire_ttl(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> int:
        """The TTL of a pod's packet as it leaves its node for another, sent with 64."""
        return POD_TTL

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        """Why pods of `source` cannot reach those of `target` (a forced lab); None: they can."""
        return None

    def masquerades(self, layout: Layout, node: NodeSpec, target: Ip) -> bool:
        """Whether a packet of the node's pods to `target` leaves with the node's own address.

        `target` is another node or someone outside: what they see as the source is checked.
        """
        return False

    def outside_to_pods(self, layout: Layout, node: NodeSpec) -> str | None:
        """Why the client outside cannot reach the node's pods; None where it can."""
        return "outside the cluster there is no route to pods"

    def scenarios(self, layout: Layout) -> Iterable[Scenario]:
        """What else `verify` is to ask of a lab with this dataplane, beside what it asks of all."""
        return ()
