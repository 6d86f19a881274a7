"""Hosts of the underlay reach each other by TCP and UDP, under their own addresses.

How their packets look on it is asked in wire.py, by an echo for each pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from netlab.plan.probing.check import Kind
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample, node_pairs, ring, small
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.probe.scenarios.calls import calls, own_address


class NodeToNode(Scenario):
    """All pairs in a small lab, else in a ring."""

    kind: ClassVar[Kind] = "node-node"

    def applies(self, lab: Lab) -> str | None:
        return None if len(lab.layout.nodes) > 1 else "there are no two nodes"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        pairs = node_pairs if small(lab.layout) else ring
        for ipv6 in lab.families:
            for node, other in pairs(lab.layout.nodes):
                own = own_address(lab, node, other, ipv6)
                yield from calls("node-node", node.name, other, ipv6, own)


class NodeToExternal(Scenario):
    """Each node to the client outside."""

    kind: ClassVar[Kind] = "node-external"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        if (external := lab.layout.external) is None:
            return
        for ipv6 in lab.families:
            for node in lab.layout.nodes:
                own = own_address(lab, node, external, ipv6)
                yield from calls("node-external", node.name, external, ipv6, own)


class ExternalToNode(Scenario):
    """The client outside to each node."""

    kind: ClassVar[Kind] = "external-node"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        if (external := lab.layout.external) is None:
            return
        for ipv6 in lab.families:
            for node in lab.layout.nodes:
                own = own_address(lab, external, node, ipv6)
                yield echo(
                    "external-node", external.name, node.name, str(address(node, ipv6)), None
                )
                yield from calls("external-node", external.name, node, ipv6, own)
