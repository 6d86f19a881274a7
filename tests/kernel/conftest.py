"""Labs for tests: made by the real command, in a state folder of their own, and always removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import host

COMMAND = [sys.executable, "-m", "netlab"]
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def failed(result: Result) -> str:
    """What a command's output says went wrong: the failed checks of a report, else all of it."""
    if '"checks"' not in result.out:
        return result.out
    report = result.json.get("verify") or result.json
    return "\n".join(str(check) for check in report["checks"] if not check["ok"])


@dataclass(frozen=True)
class Netlab:
    """The netlab command, with a state folder that no other lab of this machine is in."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"NETLAB_STATE": str(self.state), "PYTHONPATH": str(REPOSITORY)}

    def run(self, *arguments: str, stdin: str = "", timeout: float = 120) -> Result:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ok(self, *arguments: str) -> Any:
        """Run with --json, insist on exit code 0, and return the document."""
        result = self.run("--json", *arguments)
        assert result.code == 0, (
            f"{arguments}: exit code {result.code}: {result.err}{failed(result)}"
        )
        return result.json

    def inside(self, target: str, command: str, lab: str | None = None) -> str:
        """Run a shell command in a target and return its output; it must succeed."""
        choice = ("-l", lab) if lab else ()
        document = self.ok(*choice, "exec", target, "--", "sh", "-c", command)
        assert document["exit_code"] == 0, document
        return str(document["stdout"])

    def show(self, target: str, command: str, lab: str | None = None) -> Any:
        """The JSON that a command such as `ip -j link` prints in a target."""
        return json.loads(self.inside(target, command, lab) or "[]")


@pytest.fixture
def netlab(tmp_path: Path) -> Iterator[Netlab]:
    command = Netlab(tmp_path / "state")
    before = host.snapshot()
    yield command
    command.run("down", "--all")
    host.assert_nothing_left(command.state)
    assert host.snapshot() == before


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netlab]:
    """A netlab command for tests of a module that share one lab and leave it as it was."""
    command = Netlab(tmp_path_factory.mktemp("shared") / "state")
    before = host.snapshot()
    yield command
    command.run("down", "--all")
    host.assert_nothing_left(command.state)
    assert host.snapshot() == before


@pytest.fixture
def topology(tmp_path: Path) -> Callable[[str], str]:
    """Write a topology file and return its path."""

    def write(source: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(f"from netlab import Cluster, Container, Node, Pod, flannel\n{source}\n")
        return str(path)

    return write
