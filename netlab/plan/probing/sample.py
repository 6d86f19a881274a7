"""Who is probed with whom: everyone in a small lab, a sample that covers everyone in a large one.

Pure, and the same each time for the same lab, so that two reports can be compared.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netlab.topology.resolved import Layout, NodeSpec, PodSpec

PodPair = tuple[PodSpec, PodSpec]
NodePair = tuple[NodeSpec, NodeSpec]
T = TypeVar("T")

MESH_PODS = 32  # up to so many pods every pair is probed
MESH_NODES = 16  # up to so many nodes every ordered pair is proved on the wire
PAIRS = 1000  # pairs of pods in a larger lab
SEED = 20260101


@dataclass(frozen=True, slots=True)
class Sample:
    """How much to probe: by default what fits the lab's size, else all pairs, or so many `pairs`.

    What it chooses depends on the lab alone.
    """

    full: bool = False
    pairs: int | None = None

    def pod_pairs(self, layout: Layout) -> list[PodPair]:
        """Ordered pairs of pods for the echoes."""
        pods = layout.pods
        count = len(pods) * (len(pods) - 1)
        if self.pairs is not None and self.pairs < count:
            return _random_pairs(pods, self.pairs)
        if self.full or self.pairs is not None or small(layout):
            return list(itertools.permutations(pods, 2))
        return _covering_pairs(layout, PAIRS)


def small(layout: Layout) -> bool:
    """Whether the lab's pods are few enough for each to be asked everything."""
    return len(layout.pods) <= MESH_PODS


def node_pairs(nodes: Sequence[NodeSpec]) -> list[NodePair]:
    """Ordered pairs of nodes: all, or beyond MESH_NODES a ring and as many again."""
    if len(nodes) <= MESH_NODES:
        return list(itertools.permutations(nodes, 2))
    count = len(nodes)
    chosen = {(index, (index + 1) % count): None for index in range(count)}
    chance = random.Random(SEED)
    while len(chosen) < 2 * count:
        source, target = chance.sample(range(count), 2)
        chosen[source, target] = None
    return [(nodes[source], nodes[target]) for source, target in chosen]


def ring(nodes: Sequence[NodeSpec]) -> list[NodePair]:
    """Each node and the next one, so that each is a source and a target once."""
    return [(a, b) for a, b in zip(nodes, [*nodes[1:], *nodes[:1]], strict=True) if a is not b]


def representatives(pairs: Iterable[NodePair]) -> list[PodPair]:
    """One pod of either node for each pair, round robin, so that many pods get to be one."""
    sources, targets = _RoundRobin(), _RoundRobin()
    return [(sources.next(a), targets.next(b)) for a, b in pairs]


def evenly_spaced(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly over all of them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


class _RoundRobin:
    """The pods of each node, one after the other and from the start again."""

    def __init__(self) -> None:
        self._pods: dict[str, Iterator[PodSpec]] = {}

    def next(self, node: NodeSpec) -> PodSpec:
        return next(self._pods.setdefault(node.name, itertools.cycle(node.pods)))


def _random_pairs(pods: Sequence[PodSpec], count: int) -> list[PodPair]:
    chance = random.Random(SEED)
    numbers = chance.sample(range(len(pods) * (len(pods) - 1)), count)
    result = []
    for number in numbers:
        source, target = divmod(number, len(pods) - 1)
        result.append((pods[source], pods[target + (target >= source)]))
    return result


def _covering_pairs(layout: Layout, budget: int) -> list[PodPair]:
    """Every ordered node pair, one pair on each node, and every pod as source and as target.

    As far as the budget goes: the node pairs have at most three quarters of it.
    """
    chance = random.Random(SEED)
    nodes = [node for node in layout.nodes if node.pods]
    across = list(itertools.permutations(nodes, 2))
    if len(across) > budget * 3 // 4:
        across = chance.sample(across, budget * 3 // 4)
    pairs = representatives(across)
    pairs += [(node.pods[0], node.pods[-1]) for node in nodes if len(node.pods) > 1]
    sources = {pod.name for pod, _ in pairs}
    targets = {pod.name for _, pod in pairs}
    from_these = [pod for pod in layout.pods if pod.name not in sources]
    to_these = [pod for pod in layout.pods if pod.name not in targets]
    chance.shuffle(from_these)
    chance.shuffle(to_these)
    for source, target in itertools.zip_longest(from_these, to_these):
        if source is target or target is None:
            pairs.append((source, _other(source, layout.pods, chance)))
        if source is target or source is None:
            pairs.append((_other(target, layout.pods, chance), target))
        elif target is not None:
            pairs.append((source, target))
    return list(dict.fromkeys(pairs))[:budget]


def _other(pod: PodSpec, pods: Sequence[PodSpec], chance: random.Random) -> PodSpec:
    """Any pod but this one; there are many."""
    while (chosen := chance.choice(pods)) is pod:
        pass
    return chosen
