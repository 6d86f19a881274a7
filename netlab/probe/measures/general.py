"""What holds whatever the dataplane: how many pods a node holds, and pods without a Service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

import msgspec

from netlab.plan.probing.actions import Call, Echo
from netlab.plan.probing.expectations import SeenAs
from netlab.plan.probing.lab import Lab
from netlab.plan.types import Namespace
from netlab.probe.engines.calls import make_calls
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.measures.cells import Cell
from netlab.topology.resolved import Network

FULL_NODE, WITHOUT_SERVICE = "any/node-cidr-24/pods", "any/no-service/pod-to-pod"
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")


def full_node(lab: Lab, refusal: str) -> Cell:
    """How many pods of a node that is full answer it; `refusal` is what one more was told."""
    node = lab.layout.nodes[0]
    replies = send_echoes([Echo(node.name, str(pod.address)) for pod in node.pods])
    count = sum(reply.error is None for reply in replies)
    first, last = node.pods[0].address, node.pods[-1].address
    evidence = (
        f"of {len(node.pods)} pods of {node.pod_cidr}, {first} to {last}, {count} answer; "
        f"{node.gateway} is the node's own; one more is refused: {refusal.rstrip('.')}"
    )
    return Cell(FULL_NODE, count, f"{count} pods", evidence)


def without_service(lab: Lab, found: Mapping[str, Namespace]) -> Cell:
    """Whether a pod gets an answer from another by its pod address, in a lab without a cluster IP.

    `found` is what is in all namespaces: none of it may name an address of the service CIDR.
    """
    target, source = lab.layout.pods[0], lab.layout.pods[-1]
    call = Call(source.name, target.name, str(target.address), "tcp")
    verdict = SeenAs(str(source.address)).judge(call, make_calls([call])[0])
    cidr = lab.layout.service_cidr
    named = sorted({f"{name}: {ip}" for name, space in found.items() for ip in _of(space, cidr)})
    nothing = f"nothing in the lab names an address of the service CIDR {cidr}"
    told = f"{source.name} > {target.name} at {target.address}, {verdict.observed}"
    evidence = f"{told}; {', '.join(named) or nothing}"
    ok = verdict.ok and not named
    return Cell(WITHOUT_SERVICE, ok, "yes" if ok else "no", evidence)


def _of(space: Namespace, cidr: Network) -> Iterator[str]:
    """Addresses of a network that anything in a namespace names."""
    for text in _ADDRESS.findall(msgspec.json.encode(space).decode()):
        if all(int(part) < 256 for part in text.split(".")) and IPv4Address(text) in cidr:
            yield text
