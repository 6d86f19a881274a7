"""All pairs of a large lab's pods: too many to list, so reported by source pod and target node.

A lab of a few thousand pods has millions of pairs. They are sent in rounds, and of each round only
who answered is kept; a pair that fails has a check of its own.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from netlab.kernel.held import holding
from netlab.plan.probing.actions import Echo
from netlab.plan.probing.check import Check, Kind
from netlab.plan.probing.expectations import Reply
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.parallel import spread
from netlab.probe.engines.sockets import Unavailable, chunks
from netlab.probe.engines.volley import Volley
from netlab.topology.resolved import Layout, PodSpec

LISTED = 20_000  # pairs that are still listed one by one
GROUP = 256  # pods that ask as many others in a round, which so holds at most 131,072 entries

Place = tuple[str, str]  # a source pod, and a target node


def too_many(layout: Layout, sample: Sample) -> bool:
    """Whether all pairs are wanted and there are too many to list them."""
    return sample.full and len(layout.pods) * (len(layout.pods) - 1) > LISTED


def mesh(lab: Lab, neighbours: Neighbours) -> Iterator[Check]:
    """Send an echo from every pod to every other pod, and judge."""
    groups = list(chunks(lab.layout.pods, GROUP))
    for ipv6 in lab.families:
        tally = _Tally(ipv6)
        with holding(node.name for node in lab.layout.nodes if lab.here(node.name)):
            for number, one in enumerate(groups):
                for other in groups[number:]:
                    _round(lab, neighbours, one, other, tally)
        yield from tally.checks(lab)


@dataclass
class _Tally:
    """What came of all pairs of a family, by source pod and target node."""

    ipv6: bool
    asked: Counter[Place] = field(default_factory=Counter)
    answered: Counter[Place] = field(default_factory=Counter)
    again: Counter[Place] = field(default_factory=Counter)
    failed: list[Check] = field(default_factory=list)

    def checks(self, lab: Lab) -> Iterator[Check]:
        yield from self.failed
        for place, count in self.answered.items():
            source, node = place
            again = self.again[place]
            yield Check(
                _kind(lab.attachments[source].node, node),
                source,
                node,
                f"echo replies of {self.asked[place]} pods",
                f"echo replies of {count} pods",
                count == self.asked[place],
                f"{again} of them asked again" if again else "each asked once",
                6 if self.ipv6 else 4,
                "icmp",
            )


class _Block:
    """The echoes from some pods to some others, and a byte for each: whether it was answered."""

    def __init__(
        self, lab: Lab, sources: Sequence[PodSpec], targets: Sequence[PodSpec], ipv6: bool
    ) -> None:
        self.lab, self.sources, self.targets = lab, sources, targets
        self.addresses = [str(address(pod, ipv6)) for pod in targets]
        self.volley = Volley(self.addresses, ipv6)
        self.memory = memoryview(mmap.mmap(-1, len(sources) * len(targets)))

    def row(self, index: int) -> memoryview:
        return self.memory[index * len(self.targets) : (index + 1) * len(self.targets)]

    def left_out(self, source: PodSpec) -> list[int]:
        """The targets that are not asked: the pod itself, and what nobody promises."""
        return [
            index
            for index, target in enumerate(self.targets)
            if target is source or self.lab.unreachable(source.node, target.node)
        ]

    def send(self, first: int, step: int) -> None:
        """Send those of every `step`-th source."""
        for index in range(first, len(self.sources), step):
            source = self.sources[index]
            try:
                self.volley.send(source.name, self.row(index), self.left_out(source))
            except Unavailable:
                continue  # nothing is answered; asked again, it is told why

    def count(self, tally: _Tally) -> Iterator[tuple[PodSpec, PodSpec, Echo]]:
        """Count what was answered; yields what was not."""
        for index, source in enumerate(self.sources):
            row, left_out = self.row(index), set(self.left_out(source))
            for place, target in enumerate(self.targets):
                if place in left_out:
                    continue
                key = (source.name, target.node)
                tally.asked[key] += 1
                if row[place]:
                    tally.answered[key] += 1
                else:
                    yield source, target, Echo(source.name, self.addresses[place])


def _round(
    lab: Lab,
    neighbours: Neighbours,
    one: Sequence[PodSpec],
    other: Sequence[PodSpec],
    tally: _Tally,
) -> None:
    """All echoes between two groups, in both directions, or within one; from this machine's pods.

    What others ask meanwhile is theirs; pods elsewhere learn what they need by ARP.
    """
    ways = [(one, other)] if one is other else [(one, other), (other, one)]
    ours = [([pod for pod in sources if lab.here(pod.name)], to) for sources, to in ways]
    blocks = [_Block(lab, sources, to, tally.ipv6) for sources, to in ours if sources]

    def send(first: int, step: int) -> None:
        for block in blocks:
            block.send(first, step)

    names = [pod.name for pod in one], [pod.name for pod in other]
    with neighbours.held(*names, tally.ipv6):
        spread(send)
        late = [item for block in blocks for item in block.count(tally)]
        _ask_again(late, tally)


def _ask_again(late: Sequence[tuple[PodSpec, PodSpec, Echo]], tally: _Tally) -> None:
    """What had no reply at once is asked with patience, and is told what it lacks."""
    replies = send_echoes([echo for _, _, echo in late])
    for (source, target, echo), reply in zip(late, replies, strict=True):
        key = (source.name, target.node)
        if reply.error:
            kind = _kind(source.node, target.node)
            tally.failed.append(Probe(kind, source.name, target.name, echo, Reply()).check(reply))
        else:
            tally.answered[key] += 1
            tally.again[key] += 1


def _kind(source: str, target: str) -> Kind:
    return "pod-same-node" if source == target else "pod-cross-node"
