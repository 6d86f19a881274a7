"""All probes of all scenarios, batched by engine: every kind of action is waited for once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, repeat
from typing import Any

from netlab.plan.probing.actions import (
    Call,
    CapturedEcho,
    ColdEcho,
    Echo,
    GsoPacket,
    HairpinFrame,
    Inspection,
    LongEcho,
    Oversize,
    Request,
    Together,
)
from netlab.plan.probing.check import Check
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.lookup import Lookup
from netlab.plan.probing.queries import DaemonQuery, DaemonWords
from netlab.plan.probing.repeated import Repeated
from netlab.plan.probing.scenario import Probe, asked_again
from netlab.probe.engines import sessions
from netlab.probe.engines.calls import make_calls
from netlab.probe.engines.cold import send_cold
from netlab.probe.engines.gso import send_packets
from netlab.probe.engines.hairpin import send_frames
from netlab.probe.engines.icmp import PATIENCE, send_echoes
from netlab.probe.engines.inspect import ContainerNamespaces, inspect
from netlab.probe.engines.longer import send_longer
from netlab.probe.engines.lookups import look_up
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.oversize import try_to_send
from netlab.probe.engines.requests import send_requests
from netlab.probe.engines.wire import ends, send_captured

Progress = Callable[[str], None]
Ask = Callable[[str, str, Sequence[str]], DaemonWords]


def nobody(namespace: str, daemon: str, command: Sequence[str]) -> DaemonWords:
    """For who has no daemons at hand."""
    return DaemonWords(error=f"the {daemon} of {namespace} cannot be asked")


@dataclass(slots=True)
class Runner:
    """What the engines need to know of a lab. Each `_` method runs all actions of one type.

    After `until`, in monotonic seconds, no engine begins: what then was not asked is in `unasked`.
    """

    lab: Lab
    neighbours: Neighbours
    containers: ContainerNamespaces
    progress: Progress
    ask: Ask = nobody
    until: float = math.inf
    unasked: list[Probe[Any]] = field(init=False, default_factory=list)
    batches: dict[type, list[Any]] = field(init=False, default_factory=dict)

    def run(self, probes: Sequence[Probe[Any]]) -> list[Check]:
        """Do everything, and judge; the checks are in the order of the probes.

        All of them must be of this machine (`Lab.here` for each of an action's places).
        """
        checks = self._ask(probes)
        self.unasked = [one for one, check in zip(probes, checks, strict=True) if check is None]
        doubted = [
            (index, probe.again, check)
            for index, (probe, check) in enumerate(zip(probes, checks, strict=True))
            if probe.again and check and not check.ok
        ]
        second = self._ask([probe for _, probe, _ in doubted]) if doubted else []
        for (index, _, first), check in zip(doubted, second, strict=True):
            checks[index] = asked_again(first, check) if check else first
        return [check for check in checks if check]

    def _ask(self, probes: Sequence[Probe[Any]]) -> list[Check | None]:
        """Each action once, though several probes may judge it; None for which no time was left."""
        actions = {id(probe.action): probe.action for probe in probes}
        batches = self.batches = {kind: [] for kind, _, _ in _ENGINES}
        for action in actions.values():
            for part in _parts(action):
                batches[type(part)].append(part)
        found: dict[type, Iterator[Any]] = {}
        for kind, words, engine in _ENGINES:
            if batches[kind]:
                if time.monotonic() > self.until:
                    continue
                self.progress(f"{len(batches[kind])} {words}")
            found[kind] = iter(engine(self, batches[kind]))
        outcomes = {
            key: _outcome(action, found)
            for key, action in actions.items()
            if all(type(part) in found for part in _parts(action))
        }
        return [
            probe.check(outcomes[id(probe.action)]) if id(probe.action) in outcomes else None
            for probe in probes
        ]

    def _echoes(self, echoes: list[Echo]) -> list[Any]:
        """Before them go echoes between the underlay's hosts, which are not judged.

        After a pause, a switch would flood the frames that are looked at later, as it has forgotten
        the hosts' MACs. Before all go those with which nodes agree on keys, where they encrypt.
        """
        warming = [
            Echo(item.namespace, item.target)
            for item in self.batches[CapturedEcho]
            if item.namespace in self.neighbours.hosts
        ]
        begun = sessions.first_of_pairs(self.lab, [*echoes, *self.batches[CapturedEcho]])
        if begun:
            sessions.establish(self.lab, begun, self._send)
        return self._send([*warming, *echoes], PATIENCE)[len(warming) :]

    def _send(self, echoes: Sequence[Echo], waits: Sequence[float]) -> list[Any]:
        send = partial(send_echoes, waits=waits, tell=self.progress)
        return self.neighbours.batches(echoes, ends, send)

    def _cold(self, echoes: list[ColdEcho]) -> list[Any]:
        return list(send_cold(echoes, self.neighbours))

    def _oversize(self, packets: list[Oversize]) -> list[Any]:
        return list(try_to_send(packets))

    def _longer(self, echoes: list[LongEcho]) -> list[Any]:
        between = self.neighbours.batches
        return between(echoes, lambda item: (item.namespace, item.target), send_longer)

    def _packets(self, packets: list[GsoPacket]) -> list[Any]:
        between = self.neighbours.batches
        send = partial(send_packets, tell=self.progress)
        return between(packets, lambda item: (item.namespace, item.target), send)

    def _frames(self, frames: list[HairpinFrame]) -> list[Any]:
        return list(send_frames(frames))

    def _captured(self, echoes: list[CapturedEcho]) -> list[Any]:
        if not echoes:
            return []
        return list(send_captured(echoes, self.lab.captured, self.neighbours, self.progress))

    def _requests(self, requests: list[Request]) -> list[Any]:
        between = self.neighbours.batches
        return between(requests, lambda item: (item.namespace, item.address), send_requests)

    def _lookups(self, lookups: list[Lookup]) -> list[Any]:
        between = self.neighbours.batches
        return between(lookups, lambda item: (item.namespace, item.server), look_up)

    def _calls(self, calls: list[Call]) -> list[Any]:
        between = self.neighbours.batches
        make = partial(make_calls, here=self.lab.here)
        return between(calls, lambda item: (item.namespace, item.address), make)

    def _inspections(self, actions: list[Inspection]) -> list[Any]:
        return list(inspect(actions, self.containers))

    def _queries(self, queries: list[DaemonQuery]) -> list[Any]:
        return [self.ask(one.namespace, one.daemon, one.command) for one in queries]


Engine = Callable[[Runner, list[Any]], list[Any]]
# In this order: the echoes teach switches and hosts the MACs that the captures rely on.
_ENGINES: tuple[tuple[type, str, Engine], ...] = (
    (Echo, "echoes", Runner._echoes),
    (ColdEcho, "neighbours to be found anew", Runner._cold),
    (Oversize, "packets that are too large", Runner._oversize),
    (LongEcho, "packets that are too long for the path", Runner._longer),
    (GsoPacket, "packets to be forwarded", Runner._packets),
    (HairpinFrame, "frames to their own sender", Runner._frames),
    (CapturedEcho, "paths on the underlay", Runner._captured),
    (Call, "calls", Runner._calls),
    (Request, "requests", Runner._requests),
    (Lookup, "names", Runner._lookups),
    (Inspection, "containers", Runner._inspections),
    (DaemonQuery, "daemons", Runner._queries),
)


def _parts(action: Any) -> Iterator[Any]:
    if isinstance(action, Together):
        yield from action.parts
    elif isinstance(action, Repeated):
        yield from repeat(*action)
    else:
        yield action


def _outcome(action: Any, outcomes: dict[type, Iterator[Any]]) -> Any:
    """What came of an action: the next outcome of its engine, as they are in order."""
    if isinstance(action, Together):
        return tuple(next(outcomes[type(part)]) for part in action.parts)
    if isinstance(action, Repeated):
        return tuple(islice(outcomes[Request], action.times))
    return next(outcomes[type(action)])
