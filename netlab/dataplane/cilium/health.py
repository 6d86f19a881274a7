"""Cilium's health endpoint: a namespace of each node that answers every node's agent.

Cilium's cilium-health/launch/endpoint.go makes it: the host end is `lxc_health`, the inner device
`cilium`, and all else as a pod's. Its responder answers `/hello` on TCP 4240 (pkg/health/defaults);
pkg/health/server asks it from each node by ICMP and HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from netlab.dataplane.attach.lxc import Lxc
from netlab.dataplane.cilium.rules import AGENT
from netlab.plan.attach import Endpoint
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.probing.actions import Request
from netlab.plan.probing.check import Kind
from netlab.plan.probing.expectations import Answer
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.sample import NodePair, Sample, node_pairs
from netlab.plan.probing.scenario import Probe, Scenario, echo
from netlab.topology.resolved import ContainerSpec, NodeSpec, PodSpec

HOST_END, DEVICE = "lxc_health", "cilium"
PORT, LOCAL_PORT, PATH = 4240, 4241, "/hello"
RESPONDER = "responder"
EXPLAINS = (
    Says(
        f"link {HOST_END}",
        AGENT,
        "The node's end of the health endpoint's cable, which has this name on every node and not "
        "a hash as a pod's. In Cilium an eBPF program on it takes every packet, here the kernel.",
    ),
    Says(
        f"route * dev {HOST_END} *",
        NETLAB,
        "The host route to the health endpoint, as each pod has one: in Cilium eBPF delivers.",
    ),
    Says(
        f"sysctl */{HOST_END}/rp_filter=0",
        AGENT,
        "No check of the reverse path, as on each pod's device.",
    ),
    Says(
        f"sysctl */{HOST_END}/*",
        NETLAB,
        "As cilium-agent has it on its own devices.",
    ),
    Says(
        "namespace *",
        AGENT,
        "The health endpoint (enable-endpoint-health-checking): the agents of all nodes ask it, to "
        "find out whether what pods would send arrives. It is no pod, and none is counted.",
        role="endpoint",
    ),
    Says(
        "container *",
        NETLAB,
        f"A small server in the place of cilium-health-responder, which answers {PATH} on TCP "
        f"{PORT}. This one says who it is.",
        role="endpoint",
    ),
    Says(
        f"link {DEVICE}",
        AGENT,
        "The health endpoint's end of its cable to the node; a pod's has the name eth0.",
        role="endpoint",
    ),
    Says(
        f"address * dev {DEVICE}",
        AGENT,
        "The node's health address, taken from its pod CIDR before any pod's.",
        role="endpoint",
    ),
    Says(
        "route 0.0.0.0/0 *",
        AGENT,
        "All packets go to the node's router address, with the MTU that pods' routes have.",
        role="endpoint",
    ),
    Says(
        f"route */32 dev {DEVICE}",
        AGENT,
        "Makes the router address reachable, as in a pod.",
        role="endpoint",
    ),
)


def name_of(node: NodeSpec) -> str:
    """The lab's name of a node's health endpoint; there each node's is `cilium-health`."""
    return f"cilium-health-{node.name}"


def endpoint(node: NodeSpec, attach: Lxc) -> Endpoint:
    """The node's health endpoint, attached as its pods are but for the devices' names.

    netlab's server takes the port by UDP too, which Cilium's responder does not.
    """
    spec = PodSpec(
        name=name_of(node),
        node=node.name,
        addresses=(dict(node.reserved)["health"],),
        containers=(ContainerSpec(RESPONDER, None, PORT, LOCAL_PORT),),
        namespace="",
    )
    return Endpoint(spec, replace(attach, device=DEVICE, host_end=HOST_END))


class NodeToHealth(Scenario):
    """Each node to its own health endpoint and all others'; beyond 16 nodes to some of them.

    Those are as many as are proved on the wire: the next node's, and in all as many again. `--full`
    asks of all.
    """

    kind: ClassVar[Kind] = "node-endpoint"

    def probes(self, lab: Lab, sample: Sample) -> Iterator[Probe[Any]]:
        for node, other in _pairs(lab.layout.nodes, full=sample.full):
            target, address = name_of(other), dict(other.reserved)["health"]
            reason = lab.unreachable(node.name, other.name)
            yield echo(self.kind, node.name, target, str(address), reason)
            if reason is None:
                client = lab.source_address(node.name, address) or str(node.address)
                request = Request(node.name, str(address), PORT, "http", path=PATH)
                answer = Answer(f"{target} {RESPONDER}", (client,))
                yield Probe(self.kind, node.name, target, request, answer)


def _pairs(nodes: tuple[NodeSpec, ...], *, full: bool) -> Iterator[NodePair]:
    yield from ((node, node) for node in nodes)
    if full:
        yield from ((node, other) for node in nodes for other in nodes if node is not other)
    else:
        yield from node_pairs(nodes)
