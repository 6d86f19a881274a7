"""How many connections a question to a Service is worth, and what they can then prove."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.repeated import Repeated
from netlab.plan.probing.scenario import Probe
from netlab.plan.probing.serving import (
    DOUBTED,
    MORE,
    PER_ENDPOINT,
    UNLIKELY,
    Itself,
    Kept,
    Seen,
    Served,
)

FEW = 12  # connections that show what some of the endpoints see
_BY_CHANCE = 1e-6  # how often clients that are not kept may look as if they were

Ends = tuple[str, str]  # who asks, and what is asked


class Budget:
    """Connections that may still be made."""

    def __init__(self, connections: int) -> None:
        self.left = connections

    def take(self, connections: int) -> None:
        self.left = max(self.left - connections, 0)


def served(
    kind: Kind,
    ends: Ends,
    request: Request,
    seen: Seen,
    budget: Budget,
    *,
    kept: bool,
    even: bool,
    few: int = FEW,
) -> Probe[Repeated]:
    """Who answers; where it is to be proved and there is room, that all do evenly (`even`).

    `kept` is whether the Service keeps a client at one endpoint.
    """
    proof = len(seen) * PER_ENDPOINT
    if kept:
        number = _enough_to_keep(len(seen))
        budget.take(number)
        return _probe(kind, ends, Repeated(request, number), Kept(seen), number, Kept(seen))
    if even and len(seen) > 1 and proof <= budget.left:
        budget.take(proof)
        action = Repeated(request, proof)
        return _probe(
            kind, ends, action, Served(seen, DOUBTED), proof * MORE, Served(seen, UNLIKELY)
        )
    few = min(2 * len(seen), few)
    budget.take(few)
    return _probe(kind, ends, Repeated(request, few), Served(seen), few, Served(seen))


def itself(probe: Probe[Repeated], by: str, clients: tuple[str, ...]) -> Iterator[Probe[Repeated]]:
    """Where a probe asks so often that the pod must have come to itself: whether it has."""
    expectation = probe.expectation
    if not isinstance(expectation, Served):
        return
    if expectation.alpha is None and len(expectation.seen) > 1:
        return
    ends, own = (probe.source, probe.target), Itself(by, clients)
    again = probe.again and Probe("hairpin", *ends, probe.again.action, own)
    yield Probe("hairpin", *ends, probe.action, own, again)


def _probe(
    kind: Kind,
    ends: Ends,
    action: Repeated,
    expectation: Any,
    more: int,
    then: Any,
) -> Probe[Repeated]:
    again = Probe(kind, *ends, Repeated(action.request, more), then)
    return Probe(kind, *ends, action, expectation, again)


def _enough_to_keep(endpoints: int) -> int:
    """Connections that chance sends to one endpoint less often than `_BY_CHANCE`."""
    return 1 + math.ceil(-math.log(_BY_CHANCE) / math.log(max(endpoints, 2)))
