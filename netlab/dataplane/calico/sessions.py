"""The sessions that a node's BIRD must have, asked of BIRD itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from netlab.dataplane.calico.bird import Peer
from netlab.plan.probing.check import Kind, Verdict
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.queries import DaemonQuery, DaemonWords
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe, Scenario
from netlab.topology.resolved import Layout, NodeSpec

COMMAND = ("birdc", "-r", "-s", "{folder}/bird.ctl", "show", "protocols")


@dataclass(frozen=True, slots=True)
class Established:
    """These sessions, and no others, are established."""

    sessions: tuple[str, ...]

    def judge(self, action: DaemonQuery, outcome: DaemonWords) -> Verdict:
        expected = f"{len(self.sessions)} BGP sessions established"
        if outcome.error:
            return Verdict(expected, outcome.error, False)
        states = dict(_states(outcome.text))
        problems = [
            f"{name} is {states.get(name, 'not there')}"
            for name in self.sessions
            if states.get(name) != "Established"
        ]
        problems += [f"{name} is not of the plan" for name in states if name not in self.sessions]
        evidence = ", ".join(name for name, state in states.items() if state == "Established")
        return Verdict(expected, "; ".join(problems) or expected, not problems, evidence)


def _states(text: str) -> Iterator[tuple[str, str]]:
    """Name and state of each BGP session, as `show protocols` prints them."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[1] == "BGP":
            yield words[0], "Established" if "Established" in words else " ".join(words[5:])


@dataclass(frozen=True, slots=True)
class BgpSessions(Scenario):
    """Each node: mesh n*(n-1)/2 in all; r reflectors and c clients r*c + r*(r-1)/2."""

    kind: ClassVar[Kind] = "state"
    peers: Callable[[Layout, NodeSpec], tuple[Peer, ...]]

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for node in lab.layout.nodes:
            sessions = tuple(
                peer.session(ipv6) for ipv6 in lab.families for peer in self.peers(lab.layout, node)
            )
            query = DaemonQuery(node.name, "bird", COMMAND, "bgp")
            yield Probe("state", node.name, "bird", query, Established(sessions))
