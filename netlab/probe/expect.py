"""What must be true of a lab: who reaches whom and what the answer says. Pure.

The rules are those of the Kubernetes network model: every pod reaches every pod under its own
address, nodes reach pods, containers of a pod share its 127.0.0.1 and nobody else does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netlab.plan.dataplane import Dataplane
from netlab.plan.types import Plan
from netlab.probe.egress import source_address
from netlab.probe.icmp import Ping, Pong
from netlab.probe.l4 import Answer, Protocol, Request
from netlab.probe.pairs import MESH_PODS, PodPair, Volume, spread
from netlab.probe.result import Check, Kind
from netlab.topology.layout import ContainerSpec, ExternalSpec, Layout, NodeSpec, PodSpec

PROTOCOLS: tuple[Protocol, ...] = ("tcp", "http", "udp")
# Requests between pods: all three protocols where that is few, else one for each pair.
_REQUESTS = 1000
_SAMPLED_REQUESTS = 300
_SAMPLED_PODS = 64  # pods of a large lab whose containers are looked at
_OUTSIDE_PROBES = 16

Barrier = Callable[[str, str], str | None]


@dataclass(frozen=True, slots=True)
class Echo:
    """An ICMP echo. `barrier` is why it must not be answered; None when it must."""

    kind: Kind
    source: str
    target: str
    ping: Ping
    barrier: str | None = None

    def judge(self, pong: Pong) -> Check:
        replied = pong.error is None
        expected = f"no echo reply: {self.barrier}" if self.barrier else "echo reply"
        ok = replied is (self.barrier is None) and "is gone" not in (pong.error or "")
        evidence = f"reply from {self.ping.target}, ttl {pong.ttl}, {pong.seconds * 1000:.3f} ms"
        return Check(
            self.kind,
            self.source,
            self.target,
            expected,
            pong.error or "echo reply",
            ok,
            evidence if replied else "",
        )


@dataclass(frozen=True, slots=True)
class Talk:
    """A request to a server. `speaker` is the `POD CONTAINER` that must answer; None: refused.

    `clients` are the addresses one of which the server must have seen as its client's: any other
    means that the path translates addresses where it must not, or does not where it must.
    """

    kind: Kind
    source: str
    target: str
    request: Request
    speaker: str | None
    clients: tuple[str, ...] = ()

    def judge(self, answer: Answer) -> Check:
        what = f"{self.request.protocol.upper()} {self.request.port}"
        if self.speaker is None:
            expected = "connection refused"
            observed = answer.error or f"answered by {answer.body}"
            ok = observed == expected
            expected = f"{what} on {self.request.address}: {expected}"
            observed = f"{what} on {self.request.address}: {observed}"
            return Check(self.kind, self.source, self.target, expected, observed, ok)
        expected = f"{what}: {self.speaker} answers {' or '.join(self.clients)}"
        if answer.error:
            return Check(
                self.kind, self.source, self.target, expected, f"{what}: {answer.failure}", False
            )
        speaker, _, client = answer.body.rpartition(" ")
        address = client.rpartition(":")[0]
        ok = speaker == self.speaker and address in self.clients
        observed = f"{what}: {speaker} answers {address}"
        evidence = f"client seen as {client}, {answer.seconds * 1000:.2f} ms"
        return Check(self.kind, self.source, self.target, expected, observed, ok, evidence)


@dataclass(frozen=True, slots=True)
class Siblings:
    """Two containers of a pod: one network namespace, one 127.0.0.1, all else their own.

    `request` is None where the other container runs a command of its own.
    """

    pod: str
    one: str
    other: str
    request: Request | None

    def judge(
        self,
        answer: Answer | None,
        namespaces: Mapping[tuple[str, str], Mapping[str, int]],
        pod_inode: int | None,
    ) -> Check:
        expected = "one network namespace; PID, mount and UTS namespaces of their own"
        if self.request:
            expected = f"{self.other} answers on 127.0.0.1:{self.request.port}; {expected}"
        problems = self._answer_problems(answer)
        mine, others = namespaces.get((self.pod, self.one)), namespaces.get((self.pod, self.other))
        for name, known in ((self.one, mine), (self.other, others)):
            if not known:
                problems.append(f"{name} is not running")
        if mine and others:
            problems += _namespace_problems(mine, others, pod_inode)
        evidence = ""
        if not problems and mine and others:
            evidence = f"net {mine['net']} for both; pid {mine['pid']} and {others['pid']}"
        return Check(
            "container",
            f"{self.pod}/{self.one}",
            f"{self.pod}/{self.other}",
            expected,
            "; ".join(problems) or expected,
            not problems,
            evidence,
        )

    def _answer_problems(self, answer: Answer | None) -> list[str]:
        if not self.request or not answer:
            return []
        where = f"127.0.0.1:{self.request.port}"
        if answer.error:
            return [f"{where}: {answer.failure}"]
        if answer.body.rpartition(" ")[0] != f"{self.pod} {self.other}":
            return [f"{where}: {answer.body} answers"]
        return []


@dataclass(slots=True)
class Expectations:
    echoes: list[Echo] = field(default_factory=list)
    talks: list[Talk] = field(default_factory=list)
    siblings: list[Siblings] = field(default_factory=list)


def expect(
    layout: Layout, plan: Plan, volume: Volume, pairs: Sequence[PodPair], barrier: Barrier
) -> Expectations:
    """All that must hold of a lab's reachability; `pairs` are the pods to send echoes between."""
    result = Expectations()
    for source, target in pairs:
        result.echoes.append(_pod_echo(source, target, barrier(source.node, target.node)))
    _pod_talks(result, layout, volume, pairs, barrier)
    _containers(result, layout)
    _node_pods(result, layout, plan, barrier)
    if layout.external:
        _outside(result, layout, layout.external)
    return result


def barriers(layout: Layout, dataplane: Dataplane) -> Barrier:
    """Why pods of one node cannot reach those of another, by the dataplane's own word.

    A reply has to come back, so what stops one direction stops both.
    """
    nodes = {node.name: node for node in layout.nodes}

    @functools.cache
    def barrier(source: str, target: str) -> str | None:
        if source == target:
            return None
        a, b = nodes[source], nodes[target]
        return dataplane.unreachable(layout, a, b) or dataplane.unreachable(layout, b, a)

    return barrier


def _pod_echo(source: PodSpec, target: PodSpec, reason: str | None) -> Echo:
    kind: Kind = "pod-same-node" if source.node == target.node else "pod-cross-node"
    ping = Ping(source.name, str(target.address), wanted=reason is None)
    return Echo("negative" if reason else kind, source.name, target.name, ping, reason)


def _servers(pod: PodSpec) -> list[ContainerSpec]:
    return [container for container in pod.containers if container.port]


def _server(pod: PodSpec, turn: int) -> ContainerSpec:
    servers = _servers(pod)
    return servers[turn % len(servers)]


def _talk(
    kind: Kind,
    source: str,
    pod: PodSpec,
    protocol: Protocol,
    turn: int,
    clients: tuple[str, ...],
) -> Talk:
    """TCP to the pod's first server, the other protocols to its servers in turn."""
    server = _server(pod, 0 if protocol == "tcp" else turn)
    request = Request(source, str(pod.address), server.port, protocol)
    return Talk(kind, source, pod.name, request, f"{pod.name} {server.name}", clients)


def _pod_talks(
    result: Expectations,
    layout: Layout,
    volume: Volume,
    pairs: Sequence[PodPair],
    barrier: Barrier,
) -> None:
    able = [(a, b) for a, b in pairs if _servers(b) and barrier(a.node, b.node) is None]
    small = len(layout.pods) <= MESH_PODS and volume.sample is None
    able = spread(able, _REQUESTS if small else _SAMPLED_REQUESTS)
    everything = len(able) * len(PROTOCOLS) <= _SAMPLED_REQUESTS
    for turn, (source, target) in enumerate(able):
        kind: Kind = "pod-same-node" if source.node == target.node else "pod-cross-node"
        chosen = PROTOCOLS if everything else (PROTOCOLS[turn % len(PROTOCOLS)],)
        for offset, protocol in enumerate(chosen):
            clients = (str(source.address),)
            result.talks.append(_talk(kind, source.name, target, protocol, turn + offset, clients))


def _containers(result: Expectations, layout: Layout) -> None:
    """Within each pod a ring over its containers; and each pod asks for a port of another's."""
    small = len(layout.pods) <= MESH_PODS
    pods = layout.pods if small else spread(layout.pods, _SAMPLED_PODS)
    for pod in pods:
        around = pod.containers[1:] + pod.containers[:1]
        for one, other in zip(pod.containers, around, strict=True):
            if one is not other:
                request = Request(pod.name, "127.0.0.1", other.local_port, "tcp")
                result.siblings.append(
                    Siblings(pod.name, one.name, other.name, request if other.port else None)
                )
    for pod, neighbour in zip(pods, [*pods[1:], *pods[:1]], strict=True):
        servers = _servers(neighbour)
        if pod is not neighbour and servers:
            request = Request(pod.name, "127.0.0.1", servers[0].local_port, "tcp")
            name = f"{neighbour.name}/{servers[0].name}"
            result.talks.append(Talk("negative", pod.name, name, request, None))


def _node_pods(result: Expectations, layout: Layout, plan: Plan, barrier: Barrier) -> None:
    """Each node to all pods in a small lab, else to one of its own and one of the next node's.

    Of its several addresses the pod must see that of the device by which the node's packets leave.
    """
    turn = 0
    for node in layout.nodes:
        space = plan.namespaces[node.name]
        asked: set[str] = set()
        for pod in _pods_for(node, layout):
            reason = barrier(node.name, pod.node)
            ping = Ping(node.name, str(pod.address), wanted=reason is None)
            kind: Kind = "negative" if reason else "node-pod"
            result.echoes.append(Echo(kind, node.name, pod.name, ping, reason))
            if reason is None and _servers(pod) and pod.node not in asked:
                asked.add(pod.node)
                protocol = PROTOCOLS[turn % len(PROTOCOLS)]
                address = source_address(space, pod.address)
                clients = (address,) if address else ()
                result.talks.append(_talk("node-pod", node.name, pod, protocol, turn, clients))
                turn += 1


def _pods_for(node: NodeSpec, layout: Layout) -> Iterator[PodSpec]:
    if len(layout.pods) <= MESH_PODS:
        yield from layout.pods
        return
    yield from node.pods[:1]
    others = [other for other in layout.nodes if other.pods and other is not node]
    if others:
        remote = others[layout.nodes.index(node) % len(others)]
        yield remote.pods[-1]


def _outside(result: Expectations, layout: Layout, external: ExternalSpec) -> None:
    """Pods reach the client through their node's address; the client has no way to a pod."""
    nodes = [node for node in layout.nodes if node.pods]
    small = len(layout.pods) <= MESH_PODS
    turn = 0
    for node in nodes:
        for pod in node.pods if small else node.pods[:1]:
            ping = Ping(pod.name, str(external.address))
            result.echoes.append(Echo("pod-external", pod.name, external.name, ping))
            protocol = PROTOCOLS[turn % len(PROTOCOLS)]
            request = Request(pod.name, str(external.address), external.server.port, protocol)
            speaker = f"{external.name} {external.server.name}"
            result.talks.append(
                Talk(
                    "pod-external",
                    pod.name,
                    external.name,
                    request,
                    speaker,
                    (str(node.address),),
                )
            )
            turn += 1
    # A router holds "unreachable" back after the first to one host, and silence costs a timeout.
    for node in spread(nodes, _OUTSIDE_PROBES if len(layout.subnets) == 1 else 1):
        ping = Ping(external.name, str(node.pods[0].address), wanted=False)
        reason = "outside the cluster there is no route to pods"
        result.echoes.append(Echo("negative", external.name, node.pods[0].name, ping, reason))


def _namespace_problems(
    mine: Mapping[str, int], others: Mapping[str, int], pod_inode: int | None
) -> list[str]:
    problems = []
    if mine["net"] != others["net"]:
        problems.append("their network namespaces differ")
    elif pod_inode is not None and mine["net"] != pod_inode:
        problems.append("their network namespace is not the pod's")
    shared = [name for name in ("pid", "mnt", "uts") if mine[name] == others[name]]
    if shared:
        problems.append(f"they share the {' and '.join(shared)} namespace")
    return problems
