"""Ask the kernel whether a lab does what its topology promises, with real packets.

Everything of a kind is probed in one batch (a few, in a large lab), and what does not come is
waited for once per batch, not once per probe. The underlay is captured only while the few echoes
that are evidence for it pass.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence

from netlab.errors import NetlabError
from netlab.plan.compile import UPLINK
from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.types import Plan
from netlab.probe.barred import BarredPath, arps
from netlab.probe.capture import Capture
from netlab.probe.expect import Expectations, barriers, expect
from netlab.probe.icmp import Ping, Pong, ping_all
from netlab.probe.inject import reflect, send_segments
from netlab.probe.l4 import ask_all
from netlab.probe.mesh import mesh, too_many
from netlab.probe.mtu import refusals
from netlab.probe.neighbours import Entry, Neighbours
from netlab.probe.pairs import Volume, pod_pairs
from netlab.probe.paths import Paths, plan_paths
from netlab.probe.result import Check, Report
from netlab.probe.sockets import (
    TIMEOUT,
    Unavailable,
    await_closing,
    in_words,
    namespace_inode,
)
from netlab.probe.wire import carrying
from netlab.topology.layout import Layout

ContainerNamespaces = Mapping[tuple[str, str], Mapping[str, int]]


def verify(
    layout: Layout,
    dataplane: Dataplane,
    plan: Plan,
    *,
    containers: ContainerNamespaces,
    drift: Callable[[], Diff] | None = None,
    volume: Volume | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Probe every expectation. Never raises for what the lab lacks: that is a failed check.

    `containers` has, for each (pod, container) that runs, the inodes of its `net`, `pid`, `mnt`
    and `uts` namespaces. `drift` compares the kernel with the plan. `progress` is told, in a few
    words, what is probed next.
    """
    began = time.monotonic()
    tell = progress or (lambda words: None)
    volume = volume or Volume()
    barrier = barriers(layout, dataplane)
    whole = too_many(layout, volume)
    pairs = pod_pairs(layout, Volume() if whole else volume)
    expected = expect(layout, plan, volume, pairs, barrier)
    paths = plan_paths(layout, dataplane, plan, barrier, os.urandom(2))
    neighbours = Neighbours(layout, plan)
    checks: list[Check] = []
    if drift:
        tell("kernel against plan")
        checks += _state(drift)
    tell(f"{len(expected.echoes) + len(paths.mtus)} echoes")
    checks += _echoes_and_mtus(expected, paths, neighbours)
    tell(f"{len(paths.wires)} paths on the underlay")
    checks += _wires(layout, paths, neighbours)
    tell(f"{len(expected.talks) + len(expected.siblings)} requests")
    checks += _talks(expected, containers, neighbours)
    if whole:
        tell("all pairs of pods")
        checks += mesh(layout, barrier, neighbours)
    await_closing()
    places = {pod.name: pod.node for pod in layout.pods}
    return Report(time.monotonic() - began, tuple(checks), places)


def _state(drift: Callable[[], Diff]) -> list[Check]:
    """One check where the kernel equals the plan, else one failed check for each difference."""
    expected = "the kernel equals the plan"
    try:
        found = drift()
    except (NetlabError, OSError) as error:
        return [Check("state", "kernel", "plan", expected, f"not comparable: {error}", False)]
    if found.ok:
        return [Check("state", "kernel", "plan", expected, expected, True)]
    words = [("missing", item) for item in found.missing]
    words += [("unexpected", item) for item in found.unexpected]
    return [_difference(what, item) for what, item in words] + [
        _difference("changed", change) for change in found.changed
    ]


def _difference(what: str, item: Item | Change) -> Check:
    subject = item.want if isinstance(item, Change) else item.object
    target = str(subject or "the whole namespace")
    expected = "absent" if what == "unexpected" else "as planned"
    return Check("state", item.namespace, target, expected, what, False, str(item))


def _wires(layout: Layout, paths: Paths, neighbours: Neighbours) -> list[Check]:
    """Capture on all ports of the underlay while each path's echo passes.

    The machines there first forget each other's MACs: that they find them is part of the proof.
    """
    barred = [path for path in paths.wires if isinstance(path, BarredPath)]
    neighbours.cool(Entry(path.port[1], UPLINK, path.next_hop) for path in barred)
    with Capture(subnet.switch for subnet in layout.subnets) as capture:
        pongs = neighbours.batches([path.ping for path in paths.wires], _ping_ends, _ping_once)
        frames = capture.drain()
        lost = capture.lost
    found = carrying(frames, paths.marks)
    asked = list(arps(frames))
    return [
        path.judge(found[number], asked, lost, pong)
        if isinstance(path, BarredPath)
        else path.judge(found[number], lost, pong)
        for number, (path, pong) in enumerate(zip(paths.wires, pongs, strict=True))
    ]


def _echoes_and_mtus(expected: Expectations, paths: Paths, neighbours: Neighbours) -> list[Check]:
    """Echoes of the limit's size are in the same batch as the others: one waiting for all.

    Before them go echoes between the underlay's machines. They are not judged: after a pause, a
    switch would flood the frames that are looked at later, as it has forgotten the machines' MACs.
    """
    pings = [
        path.ping._replace(payload=b"")
        for path in paths.wires
        if path.ping.namespace in neighbours.machines
    ]
    unjudged = len(pings)
    pings += [echo.ping for echo in expected.echoes]
    pings += [path.ping for path in paths.mtus]
    pongs = iter(neighbours.batches(pings, _ping_ends, ping_all)[unjudged:])
    checks = [echo.judge(next(pongs)) for echo in expected.echoes]
    told = refusals(paths.mtus)
    checks += [
        path.judge(pong, refusal)
        for path, pong, refusal in zip(paths.mtus, pongs, told, strict=True)
    ]
    packets = list(itertools.chain(*((path.fits, path.oversize) for path in paths.forwards)))
    outcomes = neighbours.batches(
        packets, lambda packet: (packet.namespace, packet.target), send_segments
    )
    checks += [
        path.judge(outcomes[2 * number], outcomes[2 * number + 1])
        for number, path in enumerate(paths.forwards)
    ]
    came_back = reflect(paths.mirrors)
    for mirror, error in zip(paths.mirrors, came_back, strict=True):
        wanted = "a frame to its own MAC comes back from the bridge (hairpin)"
        checks.append(
            Check(
                "wire",
                mirror.namespace,
                mirror.namespace,
                wanted,
                error or wanted,
                error is None,
                f"{mirror.device}: {mirror.mac} > {mirror.mac}",
            )
        )
    return checks


def _talks(
    expected: Expectations, containers: ContainerNamespaces, neighbours: Neighbours
) -> list[Check]:
    requests = [talk.request for talk in expected.talks]
    local = [sibling.request for sibling in expected.siblings if sibling.request]
    answers = iter(
        neighbours.batches(
            requests + local, lambda request: (request.namespace, request.address), ask_all
        )
    )
    checks = [talk.judge(next(answers)) for talk in expected.talks]
    inodes = {name: _inode(name) for name in {sibling.pod for sibling in expected.siblings}}
    for sibling in expected.siblings:
        answer = next(answers) if sibling.request else None
        checks.append(sibling.judge(answer, containers, inodes[sibling.pod]))
    return checks


def _ping_once(pings: Sequence[Ping]) -> list[Pong]:
    """A second echo of the same path would be one too many on the underlay."""
    return ping_all(pings, waits=(TIMEOUT,))


def _ping_ends(ping: Ping) -> tuple[str, str]:
    return ping.namespace, ping.target


def _inode(namespace: str) -> int | None:
    try:
        return namespace_inode(namespace)
    except Unavailable:
        return None
    except OSError as error:
        raise NetlabError(f"Cannot look at namespace {namespace}: {in_words(error)}.") from error
