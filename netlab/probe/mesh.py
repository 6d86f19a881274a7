"""All pairs of a large lab's pods: too many to list, so reported by source pod and target node.

A lab of a few thousand pods has millions of pairs. They are sent in batches, and of each batch only
the verdicts are kept; a pair that fails has a check of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlab.plan.probing.actions import Echo, EchoReply
from netlab.plan.probing.check import Check, Kind
from netlab.plan.probing.expectations import Reply
from netlab.plan.probing.lab import Lab, address
from netlab.plan.probing.sample import Sample
from netlab.plan.probing.scenario import Probe
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.sockets import chunks
from netlab.probe.engines.wire import ends
from netlab.topology.resolved import Layout, NodeSpec, PodSpec

LISTED = 20_000  # pairs that are still listed one by one
_BLOCK = 70  # pods


def too_many(layout: Layout, sample: Sample) -> bool:
    """Whether all pairs are wanted and there are too many to list them."""
    return sample.full and len(layout.pods) * (len(layout.pods) - 1) > LISTED


def mesh(lab: Lab, neighbours: Neighbours) -> Iterator[Check]:
    """Send an echo from every pod to every other pod.

    Block by block of sources and targets, so that the pods of a block are few enough for the
    kernel's neighbour table.
    """
    parts = [
        (node, pods) for node in lab.layout.nodes for pods in chunks(node.pods, _BLOCK) if pods
    ]
    for ipv6 in lab.families:
        for source, sources in parts:
            for target, targets in parts:
                if lab.unreachable(source.name, target.name) is None:
                    yield from _block(sources, target, targets, ipv6, neighbours)


def _block(
    sources: Sequence[PodSpec],
    node: NodeSpec,
    targets: Sequence[PodSpec],
    ipv6: bool,
    neighbours: Neighbours,
) -> Iterator[Check]:
    echoes = [
        Echo(source.name, str(address(target, ipv6)))
        for source in sources
        for target in targets
        if target is not source
    ]
    replies = iter(neighbours.batches(echoes, ends, send_echoes))
    for source in sources:
        asked = [pod for pod in targets if pod is not source]
        yield from _judge(source, node, asked, ipv6, replies)


def _judge(
    source: PodSpec,
    node: NodeSpec,
    targets: Sequence[PodSpec],
    ipv6: bool,
    replies: Iterator[EchoReply],
) -> Iterator[Check]:
    kind: Kind = "pod-same-node" if node.name == source.node else "pod-cross-node"
    slowest, count = 0.0, 0
    for pod, reply in zip(targets, replies, strict=False):
        if reply.error:
            echo = Echo(source.name, str(address(pod, ipv6)))
            yield Probe(kind, source.name, pod.name, echo, Reply()).check(reply)
        else:
            count += 1
            slowest = max(slowest, reply.seconds)
    if count:
        yield Check(
            kind,
            source.name,
            node.name,
            f"echo replies of {len(targets)} pods",
            f"echo replies of {count} pods",
            count == len(targets),
            f"slowest {slowest * 1000:.3f} ms",
            6 if ipv6 else 4,
            "icmp",
        )
