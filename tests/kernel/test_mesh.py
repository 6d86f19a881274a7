"""All pairs of a lab: the neighbour entries that a mesh holds meanwhile, and what it sees.

The labs are small; their pairs are sent here as those of a large one are.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import netlab as package
from netlab import Lab
from netlab.errors import Unmet
from netlab.kernel import held
from netlab.kernel.objects import neighbour
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.probing import lab as probing
from netlab.plan.routing import Neighbour, Sysctl
from netlab.probe import mesh
from netlab.probe.engines.neighbours import Neighbours
from netlab.probe.engines.volley import Volley
from netlab.probe.result import Check
from tests.kernel.conftest import Netlab

DUAL = Path(__file__).parent / "labs" / "dual.py"
WRONG = "02:00:00:00:00:66"


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Lab]:
    """Two nodes, of two pods each, with addresses of both families."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLAB_STATE", str(shared.state))
        yield package.up(DUAL, containers=0)


@pytest.fixture(autouse=True)
def _as_if_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh, "LISTED", 0)
    monkeypatch.setattr(mesh, "GROUP", 3)


def entries(lab: Lab) -> list[Neighbour]:
    """All that a mesh holds at the moment."""
    names = list(lab.plan.namespaces)
    return lab.run_inside(
        lambda: [item for name in names for item in neighbour.made_by(held.PROTOCOL, name)]
    )


def timeouts(lab: Lab) -> list[str]:
    """How long the two nodes remember what nobody answered, in seconds: UDP, then ICMP."""
    words = [f"net.netfilter.nf_conntrack_{name}_timeout" for name in ("udp", "icmp", "icmpv6")]
    return [
        lab.node(node).run("sysctl", "-n", *words).stdout.replace("\n", " ").strip()
        for node in ("node-1", "node-2")
    ]


USUAL, MEANWHILE = "30 30 30", "1 1 1"


def ask(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """The mesh alone, in one round for each family."""
    monkeypatch.setattr(mesh, "GROUP", 4)
    known = probing.Lab(lab.layout, lab.dataplane, lab.plan)
    return lab.run_inside(lambda: list(mesh.mesh(known, Neighbours(known))))


def failures(checks: Iterable[Check]) -> set[tuple[str, str, int]]:
    return {(check.source, check.target, check.family) for check in checks if not check.ok}


def cells(checks: Iterable[Check]) -> dict[tuple[str, str, int], str]:
    """What was seen from each pod to each node, in either family."""
    return {
        (check.source, check.target, check.family): check.observed
        for check in checks
        if check.observed.startswith("echo replies of")
    }


def run(lab: Lab, target: str, *command: str) -> None:
    assert lab.target(target).run(*command).code == 0


def test_every_pair_is_asked_in_both_families(lab: Lab) -> None:
    report = lab.verify(full=True)
    assert report.ok
    found = cells(report.checks)
    assert len(found) == 4 * 2 * 2
    for (pod, node, _family), observed in found.items():
        own = lab.pod(pod).space.name.startswith(f"pod-{node[-1]}-")
        assert observed == f"echo replies of {1 if own else 2} pods"
    assert entries(lab) == []


def test_entries_are_held_while_it_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody asks: both ends of every pair, in both families."""
    seen: list[tuple[str, str]] = []

    def look(send: Callable[[int, int], None]) -> None:
        send(0, 1)
        names = [name for name in lab.plan.namespaces if name.startswith(("pod", "node"))]
        for name in names:
            seen.extend((name, item.address) for item in neighbour.made_by(held.PROTOCOL, name))
        # Of each node its two pods and the other node; of each pod its gateway and the other pod.
        assert len(seen) == 2 * 3 + 4 * 2
        seen.clear()

    monkeypatch.setattr(mesh, "GROUP", 4)
    monkeypatch.setattr(mesh, "spread", look)
    assert lab.verify(full=True).ok


def killed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification that is killed in the middle, and what it leaves."""

    def die(_send: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(mesh, "spread", die)
        with pytest.raises(Unmet, match="killed"):
            lab.verify(full=True)
    assert len(entries(lab)) >= 10
    assert timeouts(lab) == [MEANWHILE] * 2


@pytest.mark.parametrize("command", ["diff", "verify", "repair"])
def test_what_a_killed_one_left_is_gone_after_the_next_command(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    killed(lab, monkeypatch)
    outcome = getattr(lab, command)()
    assert outcome.changes == 0 if command == "repair" else outcome.ok
    assert entries(lab) == []
    assert timeouts(lab) == [USUAL] * 2


def test_up_takes_out_what_a_killed_one_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(lab, monkeypatch)
    again = package.up(DUAL, containers=0)
    assert again.applied
    assert again.applied.changes == 0
    assert entries(lab) == []


def test_a_diff_beside_a_verification_leaves_its_entries(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(send: Callable[[int, int], None]) -> None:
        send(0, 1)
        before = [neighbour.made_by(held.PROTOCOL, name) for name in lab.plan.namespaces]
        assert any(before)
        pid = os.fork()
        if pid == 0:
            held.clear(lab.plan.namespaces)
            now = held.moment()
            left = [neighbour.made_by(held.PROTOCOL, name) for name in lab.plan.namespaces]
            os._exit(0 if left == before and now.held else 1)
        assert os.waitpid(pid, 0)[1] == 0

    monkeypatch.setattr(mesh, "GROUP", 4)
    monkeypatch.setattr(mesh, "spread", compare)
    assert lab.verify(full=True).ok
    assert lab.diff().ok


def test_a_diff_does_not_count_what_is_held() -> None:
    """Where it began or ended between two moments, or was held at both; else it is drift."""
    path = "net/netfilter/nf_conntrack_udp_timeout"
    ours, theirs = Sysctl(path, held.SHORT), Sysctl(path, "2")
    other = Sysctl("net/ipv4/ip_forward", held.SHORT)
    found = Diff(unexpected=[Item("node-1", one) for one in (ours, theirs, other)])
    found.changed = [Change("node-1", Sysctl(path, "60"), one) for one in (ours, theirs)]
    quiet, busy = held.Moment(False, 1), held.Moment(True, 2)
    assert held.without_held(found, quiet, quiet) == found
    for moments in ((busy, busy), (quiet, busy), (busy, held.Moment(False, 3))):
        left = held.without_held(found, *moments)
        assert [item.object for item in left.unexpected] == [theirs, other]
        assert [change.have for change in left.changed] == [theirs]


def test_nodes_remember_as_long_as_before(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody set is drift before, meanwhile and afterwards."""
    run(lab, "node-2", "sysctl", "-qw", "net.netfilter.nf_conntrack_icmp_timeout=7")
    assert [check.kind for check in lab.verify(full=True).checks if not check.ok] == ["state"]
    assert timeouts(lab) == [USUAL, "30 7 30"]
    with monkeypatch.context() as patch:
        patch.setattr(mesh, "spread", lambda _send: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lab.verify(full=True)
    assert timeouts(lab) == [USUAL, "30 7 30"]
    assert lab.repair().changes == 1
    assert timeouts(lab) == [USUAL] * 2


def test_an_entry_of_anybody_is_drift(lab: Lab) -> None:
    """Also under the mesh's own protocol, where no mesh runs."""
    words = ["ip", "neigh", "add", "10.244.0.99", "lladdr", WRONG, "dev", "eth0"]
    run(lab, "pod-1-1", *words, "nud", "permanent", "protocol", str(held.PROTOCOL))
    found = lab.diff()
    assert [str(item.object) for item in found.unexpected] == [
        f"neighbour 10.244.0.99 lladdr {WRONG} dev eth0 proto {held.PROTOCOL}"
    ]
    assert lab.repair().changes == 1
    assert lab.diff().ok


@pytest.mark.parametrize(
    ("target", "known"), [("pod-1-2", "10.244.0.3"), ("pod-2-1", "10.244.0.1")]
)
def test_a_wrong_entry_is_not_hidden(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, target: str, known: str
) -> None:
    """What the kernel knows of an address already stays, also a mistake: the pair is red."""
    words = f"ip neigh replace {known} lladdr {WRONG} dev eth0 nud permanent"
    run(lab, "pod-1-1", *words.split())
    assert ("pod-1-1", target, 4) in failures(ask(lab, monkeypatch))
    assert lab.repair().changes == 1
    assert lab.diff().ok


def test_one_pair_that_is_broken_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule in a pod that drops what one other asks."""
    for words in (
        "add table ip broken",
        "add chain ip broken input { type filter hook input priority 0; }",
        "add rule ip broken input ip saddr 10.244.0.2 icmp type echo-request drop",
    ):
        run(lab, "pod-2-2", "nft", words)
    checks = ask(lab, monkeypatch)
    assert failures(checks) == {("pod-1-1", "pod-2-2", 4), ("pod-1-1", "node-2", 4)}
    assert cells(checks)["pod-1-1", "node-2", 4] == "echo replies of 1 pods"
    run(lab, "pod-2-2", "nft", "delete table ip broken")
    assert not failures(ask(lab, monkeypatch))


def test_broken_arp_is_seen_though_the_mesh_does_not_ask(lab: Lab) -> None:
    """By the checks that begin with the neighbours unknown."""
    run(lab, "pod-1-2", "sysctl", "-w", "net.ipv4.conf.all.arp_ignore=8")
    report = lab.verify(full=True)
    assert {(check.source, check.target) for check in report.failed} >= {
        ("pod-1-1", "pod-1-2"),
        ("node-1", "pod-1-2"),
    }
    assert len(cells(report.checks)) == 4 * 2 * 2
    assert all(check.ok for check in report.checks if check.observed.startswith("echo replies of"))
    assert lab.repair().changes == 1


def test_what_has_no_answer_at_once_is_asked_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the instrument loses is no fault of the network, and is said."""
    monkeypatch.setattr(Volley, "_receive", lambda *_: None)
    report = lab.verify(full=True)
    assert report.ok
    evidence = {check.evidence for check in report.checks if check.source == "pod-1-1"}
    assert "2 of them asked again" in evidence
