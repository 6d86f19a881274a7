"""A scenario: one question about a lab, as a small object that plans its probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from netlab.plan.probing.actions import Action, Echo
from netlab.plan.probing.check import Check, Kind
from netlab.plan.probing.expectations import Expectation, NoReply, Reply
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import Sample

A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True)
class Probe(Generic[A]):
    """Something done from `source` towards `target` (both as a report names them), and what of it.

    What is done is a value; a probe does nothing itself, so that all of one kind are done in one
    batch. Two probes with the same action, the very object, judge one outcome. `again` is what is
    asked where this fails: its verdict then counts, and tells what the first one was.
    """

    kind: Kind
    source: str
    target: str
    action: A
    expectation: Expectation[A]
    again: Probe[Any] | None = None

    def check(self, outcome: Any) -> Check:
        """The outcome as judged by the expectation."""
        verdict = self.expectation.judge(self.action, outcome)
        family = 6 if self.action.ipv6 else 4
        protocol = self.action.protocol
        return Check(self.kind, self.source, self.target, *verdict, family, protocol)


def asked_again(first: Check, second: Check) -> Check:
    """The check of what was asked once more, with what came of it the first time."""
    before = f"asked again, as the first time {first.observed}"
    return replace(second, evidence="; ".join(filter(None, (second.evidence, before))))


def echo(kind: Kind, source: str, target: str, ip: str, reason: str | None) -> Probe[Echo]:
    """An echo from a namespace to the address of `target`: a reply, or none for a `reason`."""
    if reason:
        return Probe("negative", source, target, Echo(source, ip, wanted=False), NoReply(reason))
    return Probe(kind, source, target, Echo(source, ip), Reply())


class Scenario:
    """Base of all scenarios. `kind` is that of its probes, unless they say another.

    A file in `netlab/probe/scenarios/` is found by itself; a dataplane adds others by its
    `scenarios`.
    """

    kind: ClassVar[Kind]

    def applies(self, lab: Lab) -> str | None:
        """Why this lab is not asked, in words that `verify` shows; None where it is."""
        return None

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        """All probes of the scenario, in every address family of the lab."""
        raise NotImplementedError
