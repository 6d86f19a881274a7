"""Labs as scenarios see them, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from netlab import Cluster
from netlab.dataplane import make
from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.attach.ptp import Ptp
from netlab.plan.compile import compile_plan
from netlab.plan.dataplane import Dataplane
from netlab.plan.names import UPLINK
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe
from netlab.plan.routing import Route, route
from netlab.probe.scenarios import registry
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class PlainRoutes(Dataplane):
    """Routes between nodes and nothing else: no masquerade, no hairpin."""

    name: ClassVar[str] = "plain-routes"

    def attach(self, layout: Layout, node: NodeSpec) -> Any:
        return Bridge(self.pod_mtu(layout), hairpin=False)

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        for other in layout.others(node):
            for cidr in other.pod_cidrs:
                yield route(str(cidr), UPLINK, str(other.address_of(cidr.version == 6)))


@dataclass(frozen=True, slots=True)
class HostRoutes(PlainRoutes):
    """The same with pods behind a veth of their own, as Calico's."""

    name: ClassVar[str] = "host-routes"

    def attach(self, layout: Layout, node: NodeSpec) -> Any:
        return Ptp(self.pod_mtu(layout))


@dataclass(frozen=True, slots=True)
class ReachedFromOutside(PlainRoutes):
    """The same where somebody tells the client the way to the pods."""

    name: ClassVar[str] = "reached-from-outside"

    def outside_to_pods(self, layout: Layout, node: NodeSpec) -> str | None:
        return None


def lab_of(
    dataplane: str | Dataplane = "flannel-vxlan",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> Lab:
    """A cluster on a dataplane, forced where it would be refused."""
    chosen = make(dataplane, options) if isinstance(dataplane, str) else dataplane
    layout = lay_out(Cluster(**fields), chosen.ipam)
    return Lab(layout, chosen, compile_plan("test", layout, chosen, force=True))


def probes(lab: Lab, kind: type[Any] | None = None, sample: Sample | None = None) -> list[Any]:
    """All probes of a lab, or those whose action is of a kind."""
    found: list[Probe[Any]] = [
        probe
        for scenario in registry()
        if scenario.applies(lab) is None
        for probe in scenario.probes(lab, sample or Sample())
    ]
    return [probe for probe in found if kind is None or isinstance(probe.action, kind)]
