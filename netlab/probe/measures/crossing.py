"""How packets of pods cross from node to node: whether they do, in what, and how large."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netlab.plan.headers import Ether, Ip, Stack
from netlab.plan.probing.actions import Echo
from netlab.plan.probing.check import Check
from netlab.plan.probing.expectations import Reply
from netlab.plan.probing.lab import Lab
from netlab.plan.probing.scenario import Probe
from netlab.probe.engines.calls import make_calls
from netlab.probe.engines.capture import Capture, Captured
from netlab.probe.engines.decode import decode
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.sockets import TIMEOUT, open_in
from netlab.probe.engines.solicitations import solicitations
from netlab.probe.measures.cells import Cell, unmeasured
from netlab.probe.scenarios.calls import calls
from netlab.topology.resolved import PodSpec

Ends = tuple[PodSpec, ...]
_HEADERS = Ip.size + 8  # bytes of an echo before its payload: IPv4, ICMP
_PAYLOAD = 900  # bytes: nothing else in a quiet lab is as long, and every MTU has room for it
_IP_MTU = 14  # linux/in.h: the MTU in bytes of a connected socket's path, as far as it is known
_WAITS = (0.3, 1.0)  # seconds for an echo, which then is sent again
_SOON = 0.3  # seconds for an echo of which others like it came back at once
_LEAST = 576  # bytes that every path carries


def works(row: str, lab: Lab) -> Cell:
    """Whether the first two pods, which are on two nodes, reach each other.

    By ICMP, TCP and UDP in both directions, each seen under its own address. Of pods that no echo
    reaches nothing else is asked; what the underlay saw of the echoes is then evidence.
    """
    both = tuple(itertools.permutations(lab.layout.pods[:2]))
    cookie = os.urandom(_PAYLOAD)
    with Capture(lab.captured) as capture:
        checks = _echoes(both, cookie)
        frames = capture.drain()
    reached = all(check.ok for check in checks)
    if reached:
        checks += _calls(both)
    failed = [check for check in checks if not check.ok]
    if not failed:
        told = [_all_told(both)]
    else:
        told = list(map(_told, failed))
        told += [] if reached else seen_instead(lab, frames, cookie)
    return Cell(f"{row}/works", not failed, "no" if failed else "yes", "; ".join(told))


def _echoes(both: Sequence[Ends], cookie: bytes) -> list[Check]:
    echoes = [
        Probe("pod-cross-node", a.name, b.name, Echo(a.name, str(b.address), cookie), Reply())
        for a, b in both
    ]
    replies = send_echoes([echo.action for echo in echoes], waits=_WAITS)
    return [echo.check(reply) for echo, reply in zip(echoes, replies, strict=True)]


def _calls(both: Sequence[Ends]) -> list[Check]:
    own = [
        probe
        for a, b in both
        for probe in calls("pod-cross-node", a.name, b, False, str(a.address))
    ]
    heard = make_calls([probe.action for probe in own])
    return [probe.check(one) for probe, one in zip(own, heard, strict=True)]


def seen_instead(lab: Lab, frames: Sequence[Captured], cookie: bytes) -> list[str]:
    """What the underlay saw of echoes that were not answered, and of who looked for their way."""
    carried = (decode(one.frame) for one in frames if cookie in one.frame)
    told = [f"on the underlay {stack.form}: {_ends(lab, stack)}" for stack in carried]
    asked = list(solicitations(frames))
    answered = {one.target for one in asked if one.answers}
    told += [
        f"{one.address} asks for {one.target} by ARP, and nobody answers"
        for one in asked
        if one.target not in answered
    ]
    return list(dict.fromkeys(told)) or ["nothing of it was seen on the underlay"]


def _all_told(both: Sequence[Ends]) -> str:
    """What all checks saw, where none failed."""
    (one, other), _ = both
    return (
        f"{one.name} and {other.name} reach each other by ICMP, TCP and UDP, and see each other as "
        f"{one.address} and {other.address}"
    )


def _told(check: Check) -> str:
    return f"{check.source} > {check.target}: {check.observed}"


class _Sighted(NamedTuple):
    """A pod's packet on the underlay, as its node sent it: the frame, and what its headers say.

    `hidden`: its payload cannot be read there.
    """

    stack: Stack
    overhead: int
    hidden: bool


def on_the_wire(row: str, lab: Lab) -> Iterator[Cell]:
    """Encapsulation, overhead and addresses, all from one captured packet."""
    sighted = _sight(lab)
    if sighted is None:
        why = "no packet of the pods was seen on the underlay"
        yield from (unmeasured(f"{row}/{name}", why) for name in OF_WIRE)
        return
    stack = sighted.stack
    form = f"{stack.form}{', encrypted' if sighted.hidden else ''}"
    yield Cell(f"{row}/encapsulation", form, form, str(stack))
    size = f"{sighted.overhead} bytes of the frame are neither Ethernet's own nor the pod's packet"
    yield Cell(f"{row}/overhead", sighted.overhead, str(sighted.overhead), size)
    whose = _whose(lab, stack)
    yield Cell(f"{row}/addresses", whose, whose, _ends(lab, stack))


OF_WIRE = ("encapsulation", "overhead", "addresses")


def _sight(lab: Lab) -> _Sighted | None:
    source, target = lab.layout.pods[:2]
    cookie = os.urandom(_PAYLOAD)
    with Capture(lab.captured) as capture:
        echo = Echo(source.name, str(target.address), cookie)
        send_echoes([echo], waits=(TIMEOUT,), tell=None)
        frames = capture.drain()
    return pick(frames, lab.port(lab.nodes[source.node]), cookie)


def pick(frames: list[Captured], port: tuple[str, str], cookie: bytes) -> _Sighted | None:
    """The echo request among all that passed: by its payload, or by its length where it is hidden.

    It came in by the port of its node. What it is longer by than the packet and the underlay's own
    Ethernet header is the encapsulation.
    """
    packet = _HEADERS + len(cookie)
    own = [
        one.frame
        for one in frames
        if (one.namespace, one.device, one.direction) == (*port, "in")
        and len(one.frame) >= Ether.size + packet
    ]
    own.sort(key=lambda frame: cookie not in frame)
    if not own:
        return None
    overhead = len(own[0]) - Ether.size - packet
    return _Sighted(decode(own[0]), overhead, cookie not in own[0])


def _whose(lab: Lab, stack: Stack) -> str:
    """Whose addresses the underlay sees, and whether frames of the tunnel's own are inside."""
    outer = next((header for header in stack.headers if isinstance(header, Ip)), None)
    nodes = {str(address) for node in lab.layout.nodes for address in node.addresses}
    pods = {str(address) for pod in lab.layout.pods for address in pod.addresses}
    found = {outer.source, outer.destination} if outer else set()
    whose = "nodes'" if found <= nodes else "pods'" if found <= pods else "others'"
    inner = any(isinstance(header, Ether) for header in stack.headers[1:])
    return f"{whose}, MACs inside too" if inner else whose


def _ends(lab: Lab, stack: Stack) -> str:
    """Addresses and MACs of all headers from the outside in, the MACs with their devices."""
    words = []
    for header in stack.headers:
        if isinstance(header, Ip):
            words.append(header.line)
        elif isinstance(header, Ether):
            ends = (_owner(lab, mac) for mac in (header.source, header.destination))
            words.append(" > ".join(ends))
    return ", ".join(words)


def _owner(lab: Lab, mac: str | None) -> str:
    for space in lab.plan.namespaces.values():
        for link in space.links:
            if mac and link.mac == mac:
                return f"{space.name}'s {link.name}"
    return str(mac)


def path_mtu(row: str, lab: Lab) -> Cell:
    """The longest packet in bytes that crosses whole; one byte more does not."""
    check = f"{row}/mtu"
    source, target = lab.layout.pods[:2]
    limit = _told_mtu(source, target)
    low, high = _LEAST, limit + 1
    refused = _refusal(source, target, high)
    if _refusal(source, target, limit) is None and refused is not None:
        low = limit
    while high - low > 1:
        middle = (low + high) // 2
        answer = _refusal(source, target, middle)
        low, high = (middle, high) if answer is None else (low, middle)
        refused = answer or refused
    if _refusal(source, target, low) is not None:
        return unmeasured(check, f"no echo of {low} bytes came back whole")
    return Cell(check, low, str(low), f"{low} bytes pass whole, of {high}: {refused}")


def _told_mtu(source: PodSpec, target: PodSpec) -> int:
    """The MTU that the pod's own kernel goes by."""
    with open_in(source.name, socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.connect((str(target.address), 9))
        return opened.getsockopt(socket.IPPROTO_IP, _IP_MTU)


def _refusal(source: PodSpec, target: PodSpec, size: int) -> str | None:
    """Why no echo of a size in bytes came back; None where one did."""
    echo = Echo(source.name, str(target.address), bytes(size - _HEADERS))
    return send_echoes([echo], waits=(_SOON,), tell=None)[0].error
