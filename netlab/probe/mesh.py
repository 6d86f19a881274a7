"""All pairs of a large lab's pods: too many to list, so reported by source pod and target node.

A lab of a few thousand pods has millions of pairs. They are sent in batches, and of each batch only
the verdicts are kept; a pair that fails has a check of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.probe.expect import Barrier, Echo
from netlab.probe.icmp import Ping, Pong, ping_all
from netlab.probe.pairs import Volume
from netlab.probe.result import Check, Kind
from netlab.topology.layout import Layout, NodeSpec, PodSpec

LISTED = 20_000  # pairs that are still listed one by one
_BATCH = 50_000  # echoes


def too_many(layout: Layout, volume: Volume) -> bool:
    """Whether all pairs are wanted and there are too many to list them."""
    return volume.full and len(layout.pods) * (len(layout.pods) - 1) > LISTED


def mesh(layout: Layout, barrier: Barrier) -> Iterator[Check]:
    """Send an echo from every pod to every other pod."""
    batch: list[tuple[PodSpec, NodeSpec]] = []
    size = 0
    for source in layout.pods:
        for node in layout.nodes:
            if node.pods and barrier(source.node, node.name) is None:
                batch.append((source, node))
                size += len(node.pods)
        if size >= _BATCH:
            yield from _probe(batch)
            batch, size = [], 0
    yield from _probe(batch)


def _probe(batch: Sequence[tuple[PodSpec, NodeSpec]]) -> Iterator[Check]:
    pings = [
        Ping(source.name, str(pod.address))
        for source, node in batch
        for pod in node.pods
        if pod is not source
    ]
    pongs = iter(ping_all(pings))
    for source, node in batch:
        yield from _judge(source, node, pongs)


def _judge(source: PodSpec, node: NodeSpec, pongs: Iterator[Pong]) -> Iterator[Check]:
    kind: Kind = "pod-same-node" if node.name == source.node else "pod-cross-node"
    targets = [pod for pod in node.pods if pod is not source]
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
