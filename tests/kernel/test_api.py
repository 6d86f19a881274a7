"""Labs from Python: values come out of the sandbox, errors too, and nothing is left behind."""

from __future__ import annotations

import doctest
import gc
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import netlab
from netlab import Cluster, Lab, flannel
from netlab.errors import BadInput, LabUnavailable, NetlabError
from netlab.kernel import answers, namespaces, sandbox
from tests.kernel import host
from tests.kernel.conftest import Netlab


@pytest.fixture
def state(netlab: Netlab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's own labs are where the command's are, and looked after like them."""
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    return netlab.state


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLAB_STATE", str(shared.state))
        yield netlab.up("flannel-vxlan", nodes=2, pods_per_node=1)


def test_the_example_of_the_readme(state: Path) -> None:
    with netlab.up("flannel-vxlan", nodes=2) as lab:
        assert lab.verify().ok
        assert "default via 10.244.0.1" in lab.pod("pod-1-1").run("ip", "route").stdout
        assert netlab.labs() == ["flannel-vxlan"]
    assert netlab.labs() == []
    host.assert_nothing_left(state)


def test_a_lab_stays_without_with_and_is_the_commands_too(netlab_: Netlab, state: Path) -> None:
    made = netlab.up(Cluster(nodes=1, pods_per_node=1, dataplane=flannel.HostGw()), name="mine")
    assert netlab_.ok("status")["lab"] == "mine"
    assert netlab_.ok("verify")["ok"]
    found = netlab.lab("mine")
    assert (found.plan, found.layout, found.dataplane) == (made.plan, made.layout, made.dataplane)
    found.down()
    assert list(netlab_.state.iterdir()) == []


@pytest.fixture
def netlab_(netlab: Netlab) -> Netlab:
    return netlab


def test_with_ends_the_lab_whatever_happens_in_it(state: Path) -> None:
    with pytest.raises(ZeroDivisionError), netlab.up("flannel-host-gw", nodes=1) as lab:
        _ = 1 / (len(lab.layout.nodes) - 1)
    host.assert_nothing_left(state)
    with netlab.up("flannel-host-gw", nodes=1) as lab:
        lab.down()  # and it is no error that it is gone by then


def test_commands_return_code_output_and_error(lab: Lab) -> None:
    pod = lab.pod("pod-1-1")
    done = pod.run("sh", "-c", "echo out; echo err >&2; cat; exit 3", stdin="in")
    assert (done.code, done.stdout, done.stderr) == (3, "out\nin", "err\n")
    assert pod.run("cat").stdout == "", "it reads nothing of this process's"
    assert pod.run("sh", "-c", "kill -9 $$").code == 137
    assert pod.run("hostname", container="container-2").stdout == "pod-1-1\n"
    assert lab.node("node-2").run("hostname").stdout == "node-2\n"
    assert lab.target("10.244.1.2").name == "pod-2-1"
    assert len(pod.run("head", "-c", "1000000", "/dev/zero").stdout) == 1000000


@pytest.mark.parametrize(
    ("work", "what", "remedy"),
    [
        (lambda lab: lab.pod("pod-1-9"), "There is no pod 'pod-1-9'", "pod-1-1"),
        (lambda lab: lab.node("pod-1-1"), "There is no node 'pod-1-1'", "node-1"),
        (lambda lab: lab.pod("pod-1-1").run("x", container="c"), "container of pod-1-1", ""),
        (lambda lab: lab.pod("pod-1-1").run("nowhere"), "There is no program 'nowhere'", ""),
        (lambda lab: lab.node("node-1").logs(), "has no daemon", ""),
        (lambda lab: lab.verify(full=True, sample=3), "exclude each other", ""),
        (lambda lab: netlab.up("flanel-vxlan"), "no topology 'flanel-vxlan'", "flannel-vxlan"),
        (lambda lab: netlab.up(Cluster(), node=3), "no option 'node'", "nodes"),
        (lambda lab: netlab.up("flannel-vxlan", underley="x"), "no option 'underley'", "underlay"),
    ],
)
def test_errors_come_with_their_remedy(
    lab: Lab, work: Callable[[Lab], Any], what: str, remedy: str
) -> None:
    with pytest.raises(BadInput) as caught:
        work(lab)
    assert what in caught.value.what
    assert remedy in caught.value.remedy
    assert str(caught.value)[-1] in ".?"


def test_errors_about_labs(lab: Lab) -> None:
    with pytest.raises(LabUnavailable) as caught:
        netlab.lab("nosuch")
    assert "flannel-vxlan" in caught.value.remedy
    with pytest.raises(LabUnavailable) as caught:
        netlab.up("flannel-host-gw", name="flannel-vxlan")
    assert caught.value.remedy == "take it down first or name another with -l"
    with lab.folder.locked(), pytest.raises(LabUnavailable) as caught:
        lab.diff()
    assert caught.value.remedy == "wait for it to end, as --wait SECONDS does"


def test_damage_is_a_value_and_repair_says_what_it_did(lab: Lab) -> None:
    assert lab.diff().ok
    assert lab.repair().writes == 0
    lab.node("node-1").run("ip", "route", "del", "10.244.1.0/24")
    found = lab.diff()
    assert [str(item.object).split()[:2] for item in found.missing] == [["route", "10.244.1.0/24"]]
    assert not lab.verify().ok
    applied = lab.repair()
    assert applied.changes == 1
    assert lab.diff().ok


def test_status_is_typed(lab: Lab) -> None:
    status = lab.status()
    assert status.state == "running"
    assert status.health
    assert status.health.ok
    assert [node.pod_cidr for node in status.nodes] == ["10.244.0.0/24", "10.244.1.0/24"]
    assert status.pods[1].ips == ("10.244.1.2",)


def test_up_again_makes_it_what_is_asked(lab: Lab) -> None:
    wider = netlab.up("flannel-vxlan", nodes=3, pods_per_node=1)
    assert len(wider.layout.nodes) == 3
    assert lab.verify().ok, "an older handle sees the lab as it is now"
    assert len(lab.layout.nodes) == 3
    back = netlab.up("flannel-vxlan", nodes=2, pods_per_node=1)
    assert back.applied
    assert back.applied.changes > 0
    assert netlab.up("flannel-vxlan", nodes=2, pods_per_node=1).applied.writes == 0  # type: ignore[union-attr]


def test_progress_is_told_here(state: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    with netlab.up("flannel-vxlan", progress=lambda *words: heard.append(words)) as lab:
        building = [(done, total) for words, done, total in heard if words == "building"]
        assert building
        assert building[-1][0] == building[-1][1]
        lab.verify(progress=lambda *words: heard.append(words))
    assert any(words.startswith("probing: ") for words, _, _ in heard)


def test_a_progress_that_raises_ends_the_work_and_leaves_nothing(state: Path) -> None:
    def raises(*_words: object) -> None:
        raise OverflowError("enough")

    with pytest.raises(OverflowError, match="enough"):
        netlab.up("flannel-vxlan", progress=raises)
    host.assert_nothing_left(state)


def fails(what: str) -> Any:
    if what == "NetlabError":
        raise NetlabError("It is broken", "mend it")
    if what == "odd":

        class Odd(Exception):
            """One that cannot be pickled."""

        raise Odd("odd")
    if what == "unpicklable":
        return lambda: None
    if what == "gone":
        os._exit(3)
    return {}[what]


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("NetlabError", NetlabError, "It is broken; mend it."),
        ("bug", KeyError, "bug"),
        ("odd", RuntimeError, "Odd: odd"),
        ("unpicklable", Exception, "pickle"),
        ("gone", NetlabError, "ended with code 3; try again"),
    ],
)
def test_what_is_raised_inside_arrives_outside(
    lab: Lab, what: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        sandbox.run_inside(lab.keeper, lambda: fails(what))
    if kind is KeyError:
        assert "return {}[what]" in caught.value.__notes__[0], "where it happened is told"


def test_values_and_words_come_out(lab: Lab) -> None:
    def work() -> dict[str, Any]:
        for number in range(3):
            answers.tell("half", number)
        return {"plan": lab.plan, "pid": os.getpid()}

    heard: list[Any] = []
    result = sandbox.run_inside(lab.keeper, work, relay=lambda *words: heard.append(words))
    assert heard == [("half", 0), ("half", 1), ("half", 2)]
    assert result["plan"] == lab.plan
    assert result["pid"] < 1000, "a process id of the sandbox's"


def test_the_sandbox_is_the_home_of_what_works_there(lab: Lab) -> None:
    """Also where the caller had a home of its own before it was forked."""

    def network() -> str:
        return os.readlink("/proc/thread-self/ns/net")

    def work() -> tuple[str, str]:
        before = network()
        with namespaces.inside("node-1"):
            pass
        return before, network()

    namespaces.home()
    before, after = sandbox.run_inside(lab.keeper, work)
    assert before == after != network()
    with lab.capture("pod-1-1"):  # which has let go of the caller's descriptors
        pass


def test_threads_work_at_once_and_no_descriptor_is_left(lab: Lab) -> None:
    lab.node("node-1").run("true")
    gc.collect()  # what earlier tests left in cycles has descriptors too
    before = sorted(os.listdir("/proc/self/fd"))

    def ask(number: int) -> str:
        target = lab.pod(f"pod-{number % 2 + 1}-1")
        assert lab.diff().ok
        return target.run("sh", "-c", f"hostname; echo {number}").stdout

    with ThreadPoolExecutor(4) as pool:
        answers_ = list(pool.map(ask, range(12)))
    assert answers_ == [f"pod-{number % 2 + 1}-1\n{number}\n" for number in range(12)]
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_two_threads_build_two_labs(state: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda name: netlab.up("flannel-vxlan", name=name), ("one", "two")))
    assert netlab.labs() == ["one", "two"]
    assert threading.active_count() == 1
    for lab in made:
        with lab:
            assert lab.verify().ok
    host.assert_nothing_left(state)


def test_a_keeper_that_is_killed_is_told(netlab_: Netlab, state: Path) -> None:
    lab = netlab.up("flannel-vxlan", nodes=1)
    os.kill(lab.keeper.pid, 9)
    with pytest.raises(LabUnavailable, match="gone"):
        lab.pod("pod-1-1").run("true")
    assert lab.status().health is None
    with pytest.raises(LabUnavailable, match="stale"):
        netlab.lab()


@pytest.mark.parametrize("module", ["netlab", "netlab.api"])
def test_examples_are_true(state: Path, module: str) -> None:
    """Those of the docstrings of everything that `netlab` exports."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = finder.find(importlib.import_module(module))
    if module == "netlab":
        for name in netlab.__all__:
            found = [t for t in finder.find(getattr(netlab, name), f"netlab.{name}") if t.examples]
            assert found, f"netlab.{name} has no example"
            tests += found
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    seen = set()
    for test in tests:
        if test.examples and (test.filename, test.lineno) not in seen:
            seen.add((test.filename, test.lineno))
            test.globs.setdefault("netlab", netlab)
            assert runner.run(test).failed == 0, test.name
    host.assert_nothing_left(state)
