"""No option is passed over, where it takes a lab to see: each has an effect, or is refused."""

from __future__ import annotations

import fcntl
import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.conftest import Netlab, Result
from tests.kernel.test_repair import sandbox
from tests.options import MAKING, MANY, RUNNING, SMALL, Case, shape, with_it


@pytest.fixture(scope="module")
def many(shared: Netlab, tmp_path_factory: pytest.TempPathFactory) -> Netlab:
    topology = tmp_path_factory.mktemp("topology") / "many.py"
    topology.write_text(MANY)
    shared.ok("up", str(topology), "--no-verify")
    return shared


@functools.cache
def stable(netlab: Netlab, words: tuple[str, ...]) -> tuple[int, str]:
    """What a command does, which is the same each time."""
    first, again = (outcome(netlab.run(*words)) for _ in range(2))
    assert first == again
    return first


def outcome(result: Result) -> tuple[int, str]:
    return result.code, shape(result.out)


def assert_effect(case: Case, without: tuple[int, str], added: Result) -> None:
    if case.refused:
        assert (added.code, added.out) == (2, "")
        assert added.err.count("\n") == 1
    else:
        assert outcome(added) != without


@pytest.mark.parametrize("case", RUNNING, ids=lambda case: " ".join(with_it(case)))
def test_an_option_has_an_effect_or_is_refused(many: Netlab, case: Case) -> None:
    removed = (0, "many: removed\n")  # that is not tried here
    without = removed if case.base == ("down",) else stable(many, case.base)
    assert_effect(case, without, many.run(*with_it(case)))


@pytest.mark.parametrize("case", MAKING, ids=lambda case: " ".join(with_it(case)))
def test_an_option_of_up_has_an_effect(netlab: Netlab, case: Case) -> None:
    found = []
    for words in (case.base, with_it(case)):
        done = netlab.run(*words)
        status = netlab.run("status").out
        found.append((done.code, shape(done.out), shape(done.err), status))
        netlab.run("down", "--all")
    assert found[0] != found[1]
    assert found[1][0] == (2 if case.option == "--pods-per-node" else 0)


def test_junit_writes_its_file(many: Netlab, tmp_path: Path) -> None:
    many.ok("verify", "--sample", "1", "--junit", str(tmp_path / "report.xml"))
    assert "<testsuite" in (tmp_path / "report.xml").read_text()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lab's lock, as another command has it."""
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    yield
    os.close(fd)


@pytest.mark.parametrize(
    "command",
    [
        ("up", *SMALL, "--no-verify"),
        ("diff",),
        ("explain", "cni0"),
        ("verify",),
        ("status",),
        ("down",),
    ],
)
def test_a_command_waits_for_another(netlab: Netlab, command: tuple[str, ...]) -> None:
    netlab.ok("up", *SMALL, "--no-verify")
    if command == ("status",):  # it looks whether another is at work where something is not there
        known = json.loads((netlab.state / "flannel-host-gw" / "containers.json").read_text())
        sandbox(netlab, f"kill -9 {known['pod-1-1']['container-1']['pid']}")
    with held(netlab.state / "flannel-host-gw"):
        at_once = netlab.run(*command)
        soon = netlab.run(*command, "--wait", "0.2")
        patient = netlab.start(*command, "--wait", "60")
        assert at_once.code == soon.code == 4
        assert "is in use by another netlab command; wait" in at_once.err
        assert at_once.err == soon.err
        assert patient.poll() is None
    patient.communicate(timeout=60)
    assert patient.returncode == (1 if command == ("status",) else 0)


def test_status_is_not_red_while_up_removes_nodes(netlab: Netlab) -> None:
    """What is about to be another lab is looked at again; nothing of the old one is called down."""
    size = ("up", "flannel-host-gw", "--set", "containers=1", "--no-verify", "--pods-per-node")
    netlab.ok(*size, "20")
    seen = []
    with netlab.start(*size, "1") as change:
        while change.poll() is None:
            found = netlab.run("--json", "status")
            seen.append(found.code)
            assert found.code in (0, 4), found.out
            assert found.json["state"] == ("running" if found.code == 0 else "partial")
        change.communicate()
    assert change.returncode == 0
    assert seen
    assert netlab.ok("status")["health"]["ok"]
