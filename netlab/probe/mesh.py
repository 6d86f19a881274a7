"""All pairs of a large lab's pods: too many to list, so reported by source pod and target node.

A lab of a few thousand pods has millions of pairs. They are sent in batches, and of each batch only
the verdicts are kept; a pair that fails has a check of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.probe.expect import Barrier, Echo
from netlab.probe.icmp import Ping, Pong, ping_all
from netlab.probe.neighbours import Neighbours
from netlab.probe.pairs import Volume
from netlab.probe.result import Check, Kind
from netlab.probe.sockets import chunks
from netlab.topology.layout import Layout, NodeSpec, PodSpec

LISTED = 20_000  # pairs that are still listed one by one
_BLOCK = 70  # pods


def too_many(layout: Layout, volume: Volume) -> bool:
    """Whether all pairs are wanted and there are too many to list them."""
    return volume.full and len(layout.pods) * (len(layout.pods) - 1) > LISTED


def mesh(layout: Layout, barrier: Barrier, neighbours: Neighbours) -> Iterator[Check]:
    """Send an echo from every pod to every other pod.

    Block by block of sources and targets, so that the pods of a block are few enough for the
    kernel's neighbour table.
    """
    parts = [(node, pods) for node in layout.nodes for pods in chunks(node.pods, _BLOCK) if pods]
    for source, sources in parts:
        for target, targets in parts:
            if barrier(source.name, target.name) is None:
                yield from _block(sources, target, targets, neighbours)


def _block(
    sources: Sequence[PodSpec],
    node: NodeSpec,
    targets: Sequence[PodSpec],
    neighbours: Neighbours,
) -> Iterator[Check]:
    pings = [
        Ping(source.name, str(target.address))
        for source in sources
        for target in targets
        if target is not source
    ]
    pongs = iter(neighbours.batches(pings, lambda ping: (ping.namespace, ping.target), ping_all))
    for source in sources:
        yield from _judge(source, node, targets, pongs)


def _judge(
    source: PodSpec, node: NodeSpec, pods: Sequence[PodSpec], pongs: Iterator[Pong]
) -> Iterator[Check]:
    kind: Kind = "pod-same-node" if node.name == source.node else "pod-cross-node"
    targets = [pod for pod in pods if pod is not source]
    slowest, replies = 0.0, 0
    for pod, pong in zip(targets, pongs, strict=False):
        if pong.error:
            yield Echo(kind, source.name, pod.name, Ping(source.name, str(pod.address))).judge(pong)
        else:
            replies += 1
            slowest = max(slowest, pong.seconds)
    if replies:
        expected = f"echo replies of {len(targets)} pods"
        observed = f"echo replies of {replies} pods"
        evidence = f"slowest {slowest * 1000:.3f} ms"
        ok = replies == len(targets)
        yield Check(kind, source.name, node.name, expected, observed, ok, evidence)
