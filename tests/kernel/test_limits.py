"""What a limit of the host stops says which it was, leaves nothing, and is an unmet need."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.kernel import host
from tests.kernel.conftest import COMMAND, Netlab
from tests.kernel.test_robust import sentence
from tests.kernel.test_rootless import User, user

__all__ = ["user"]
UP = ("up", "flannel-host-gw", "--nodes", "1", "--pods-per-node", "2", "--no-verify")


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("net", 0), ("net", 5), ("mnt", 0), ("mnt", 5), ("uts", 3), ("pid", 3), ("ipc", 0)],
)
def test_a_limit_on_namespaces(netlab: Netlab, kind: str, limit: int) -> None:
    """With 0 no sandbox can be made; with more it can, but not all that is to be in it."""
    script = f'echo {limit} >/proc/sys/user/max_{kind}_namespaces; exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *COMMAND, *UP],
        env=netlab.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    assert f"user.max_{kind}_namespaces is {limit}" in sentence(done.stderr)
    host.assert_nothing_left(netlab.state)


def test_limits_of_processes(user: User) -> None:
    for limit, words in (
        ("--nproc=1", "there can be 1 processes (RLIMIT_NPROC, kernel.pid_max); raise that limit"),
        (
            "--nofile=9",
            "a process can have 9 files open, one a namespace (ulimit -Hn); raise that limit",
        ),
        (
            "--nofile=40",
            "a process can have 40 files open, one a namespace (ulimit -Hn); raise that",
        ),
        ("--as=20000000", "raise RLIMIT_AS (ulimit -v)"),
        ("--as=34000000", "raise RLIMIT_AS (ulimit -v)"),
    ):
        done = user.run(*UP, limits=(limit,))
        assert done.returncode == 3, done.stderr
        assert words in sentence(done.stderr)
        assert not user.state.exists()
    user.ok(*UP)
    for command in (("diff",), ("verify",), ("exec", "pod-1-1", "--", "true"), ("status",)):
        done = user.run(*command, limits=("--nproc=1",))
        assert done.returncode == 3, command
        assert "the limit RLIMIT_NPROC is 1" in sentence(done.stderr)
    assert user.ok("diff")["ok"]


def inner(process: subprocess.Popen[str]) -> int:
    """The process of a command that is in the lab: the last of its line of children."""
    pid = process.pid
    for _ in range(2):
        deadline = time.monotonic() + 20
        while not (below := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        pid = int(below[0])
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_killed_is_no_lab_that_went_away(
    netlab: Netlab, number: signal.Signals
) -> None:
    """As for want of memory."""
    netlab.ok(*UP)
    process = netlab.start("verify")
    os.kill(inner(process), number)
    _, err = process.communicate(timeout=30)
    if number == signal.SIGKILL:
        assert process.returncode == 3
        assert "was killed, as the kernel does for want of memory; free some" in sentence(err)
    else:
        assert process.returncode == 1
        assert f"ended by signal {int(number)}; try again" in sentence(err)
    assert netlab.ok("verify")["ok"]


def test_a_lab_whose_keeper_ends_went_away(netlab: Netlab) -> None:
    netlab.ok(*UP)
    pid = netlab.state / "flannel-host-gw" / "keeper.json"
    process = netlab.start("verify")
    inner(process)
    os.kill(int(pid.read_text().partition(":")[2].partition(",")[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert "its keeper" in sentence(err)
