"""What a proxy is: a frozen dataclass that tells what makes Services work on a node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from netlab.plan.explanations import Says
from netlab.plan.routing import Address
from netlab.plan.types import Object
from netlab.topology.resolved import Ip, Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Proxy:
    """Base of all modes of kube-proxy, and of what stands in its place.

    A subclass with a `name` is a proxy: `name` is how commands call it, as `nftables`. Its fields
    are the options that a user may set.

    >>> @dataclass(frozen=True, slots=True)
    ... class Cautious(netlab.kube_proxy.Nftables):
    ...     name: ClassVar[str] = "cautious"
    ...     def validate(self, layout):
    ...         if len(layout.services) > 100:
    ...             yield "Its rules are kept few: at most 100 Services."
    >>> netlab.Cluster(nodes=2, proxy=Cautious()).proxy.name
    'cautious'
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    # Features of the kernel (`netlab doctor`) it takes beside those that its objects show.
    requires: ClassVar[tuple[str, ...]] = ()
    # Who writes what `node` yields, and why, for `netlab explain`; bases add theirs.
    explains: ClassVar[tuple[Says, ...]] = ()
    # Why a ping to a ClusterIP is not answered; empty where it is.
    no_ping: ClassVar[str] = "a ClusterIP is no device's, and its rules are for its ports"
    # Whether a client of a ClusterIP's port that no Service has is refused at once.
    refuses_other_ports: ClassVar[bool] = False
    # Whether policy Local is of the node alone, whoever asks: without an endpoint of its own it
    # sends to those of others, which only its own pods and itself are answered from.
    falls_back: ClassVar[bool] = False

    def validate(self, layout: Layout) -> Iterator[str]:
        """A sentence for each thing that cannot work on this cluster; the first is the error."""
        return iter(())

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        """What a node holds so that the Services of `layout` work on it."""
        raise NotImplementedError

    def at_addresses(
        self, layout: Layout, node: NodeSpec, addresses: Sequence[Address]
    ) -> Iterable[Object]:
        """What a node holds besides that depends on its `addresses`, whoever planned them."""
        return ()

    def is_local_pod(self, layout: Layout, node: NodeSpec, source: Ip, device: str) -> bool:
        """Whether it takes what comes from `source` into the node by `device` for a pod's.

        `device` is empty for what the node itself sends.
        """
        return source in layout.cluster_cidr_of(source.version == 6)

    def masquerades(self, layout: Layout, node: NodeSpec, source: Ip, device: str) -> bool:
        """Whether what so comes to a ClusterIP gets the node's address, for its endpoint to see."""
        return not self.is_local_pod(layout, node, source, device)

    def refuses_by_iptables(self) -> bool:
        """Whether its refusals stand in the chains where a dataplane's rules stand too."""
        return False

    def serves_node_ports(self, layout: Layout, node: NodeSpec, ip: Ip) -> bool:
        """Whether the node's NodePorts answer at `ip`, which is one of its own addresses."""
        return not ip.is_loopback
