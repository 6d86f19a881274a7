"""What a dataplane must tell: what its nodes hold, what it needs, how its packets look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from netlab.plan.types import Namespace
from netlab.topology.layout import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Frame:
    """How a pod's packet between two nodes must look on the underlay, where it leaves its node.

    Without encapsulation (`vxlan` False) it is the bare packet, whose frame goes to the remote
    node's MAC. With it, `outer` are source and destination of the outer IP header, `udp_port` and
    `vni` are in the headers between, and `inner_macs` are those of the inner frame.
    """

    vxlan: bool = False
    outer: tuple[str, str] | None = None
    udp_port: int | None = None
    vni: int | None = None
    inner_macs: tuple[str, str] | None = None


class Dataplane(Protocol):
    """A dataplane's file in `netlab/dataplane/` defines one frozen dataclass of this shape.

    Its fields are the options that a user may set; `name` is how commands call it, as
    `flannel-vxlan`, and `family` and `title` how Python does, as `flannel.Vxlan`.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]

    def pod_mtu(self, layout: Layout) -> int:
        """The MTU of pods in bytes."""
        ...

    def refuse(self, layout: Layout) -> str | None:
        """Why this cluster cannot work on this dataplane, in one sentence; None when it can."""
        ...

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        """Why pods of `source` cannot reach those of `target` (a forced lab); None: they can."""
        ...

    def configure(self, layout: Layout, node: NodeSpec, spaces: Mapping[str, Namespace]) -> None:
        """Add to the namespaces of the node and its pods what the real system would make there."""
        ...

    def frame(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> Frame:
        """How a packet from a pod of `source` to one of `target` looks on the underlay."""
        ...
