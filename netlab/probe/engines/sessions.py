"""Sessions of tunnels that encrypt, made before anything else is asked through them.

Two WireGuard nodes that begin a handshake with each other at the same moment, as a full mesh has
them do, drop each other's answers and try again only after 5 seconds. So of each pair one begins.
If nothing comes of it, its session may be one that the other node, made anew, has lost: then the
other begins, which the first accepts at once. With a keepalive both begin by themselves when they
get each other's keys, and on a slow machine may do so at one moment again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from netlab.plan.probing.actions import CapturedEcho, Echo, EchoReply
from netlab.plan.probing.lab import Lab, address

WAITS = (0.5, 0.5)  # seconds, after each of which what is lost is asked again
# Seconds for each of the handshakes after that: REKEY_TIMEOUT and its jitter
# (drivers/net/wireguard/messages.h), and time to answer.
HANDSHAKES = (5.5,) * 4

Send = Callable[[Sequence[Echo], Sequence[float]], Sequence[EchoReply]]


def first_of_pairs(lab: Lab, echoes: Iterable[Echo | CapturedEcho]) -> list[Echo]:
    """One of the echoes for each pair of nodes between which packets are encrypted, of either
    family; if there is one, it is from a pod to a pod."""
    owners = {str(ip): pod for pod in lab.layout.pods for ip in pod.addresses}
    found: dict[tuple[frozenset[str], bool], Echo] = {}
    for echo in echoes:
        pod, asker = owners.get(echo.target), lab.attachments.get(echo.namespace)
        source = asker.node if asker else echo.namespace
        if not echo.wanted or pod is None or source not in lab.nodes or source == pod.node:
            continue
        pair = frozenset((source, pod.node)), echo.ipv6
        if pair in found and (asker is None or found[pair].namespace in lab.attachments):
            continue
        a, b = lab.nodes[source], lab.nodes[pod.node]
        if lab.datapath.headers(lab.layout, a, b, echo.ipv6).sealed:
            found[pair] = Echo(echo.namespace, echo.target)
    return list(found.values())


def establish(lab: Lab, echoes: Sequence[Echo], send: Send) -> None:
    """Send them, and for those that are lost one the other way; then wait for more handshakes.

    What then lacks, checks tell.
    """
    replies = send(echoes, WAITS)
    lost = [one for one, reply in zip(echoes, replies, strict=True) if reply.error]
    if back := list(_back(lab, lost)):
        send(back, WAITS)
    # What has no way, or no key, is not helped by time.
    silent = [one for one, reply in zip(echoes, replies, strict=True) if reply.silent]
    if silent:
        send(silent, HANDSHAKES)


def _back(lab: Lab, echoes: Iterable[Echo]) -> Iterator[Echo]:
    pods = {pod.name: pod for pod in lab.layout.pods}
    owners = {str(ip): pod.name for pod in lab.layout.pods for ip in pod.addresses}
    for echo in echoes:
        source, target = pods.get(echo.namespace), owners[echo.target]
        if source and lab.here(target):
            yield Echo(target, str(address(source, echo.ipv6)))
