"""examples/pytest as its users run it: with netlab's wheel, in an environment of its own.

The steps of the GitHub action run it, and a lab, there. A bootstrap that has nothing to install is
all that is pretended; tests/unit/test_action.py has what it is called with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kernel.conftest import Netlab, machine
from tests.kernel.place import inside

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "pytest"
BOOTSTRAP = """#!/bin/sh
PATH=${0%/*}/.venv/bin:$PATH
exec "$@"
"""
BROKEN = """
import pytest

@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)
def test_it(lab):
    lab.node("node-1").run("ip", "link", "add", "mine", "type", "bridge")
    assert lab.pod("pod-1-1").reaches("pod-2-1").via("direct")
"""


@dataclass(frozen=True)
class Job:
    """A job on a runner: another repository's checkout, and the action beside it."""

    action: Path
    workspace: Path
    state: Path

    def step(self, name: str, **inputs: str) -> tuple[int, str]:
        """Do a step of the action; returns its exit code and what it printed."""
        known = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        given = {f"INPUT_{key.upper()}": value for key, value in inputs.items()}
        files = {"GITHUB_STEP_SUMMARY": str(self.summary), "NETLAB_STATE": str(self.state)}
        done = subprocess.run(
            ["/usr/bin/python3", "-I", str(self.action / ".github/action.py"), name],
            cwd=self.workspace,
            env=known | given | files,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    @property
    def summary(self) -> Path:
        return self.workspace / "summary.md"


@pytest.fixture(scope="module")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action's folder, set up: netlab's wheel, and what the example depends on."""
    folder = tmp_path_factory.mktemp("action")
    (folder / ".github").mkdir()
    shutil.copy(REPOSITORY / ".github/action.py", folder / ".github")
    (folder / "bootstrap").write_text(BOOTSTRAP)
    (folder / "bootstrap").chmod(0o755)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    example = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    with inside(machine()):  # where there is a network
        run([*pip, "wheel", "--no-deps", "-w", str(folder), str(REPOSITORY)])
        run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")])
        (wheel,) = folder.glob("netlab*.whl")
        there = ["--python", str(folder / ".venv/bin/python")]
        run([*pip, *there, "install", str(wheel), *example["dependencies"]])
    return folder


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def job(action: Path, netlab: Netlab, tmp_path: Path) -> Job:
    workspace = tmp_path / "workspace"
    shutil.copytree(EXAMPLE, workspace)
    return Job(action, workspace, netlab.state)


def test_the_example_passes_and_leaves_nothing_in_the_checkout(job: Job) -> None:
    before = sorted(job.workspace.rglob("*"))
    code, said = job.step("tests", pytest="-v --netlab-strict", artifacts="../kept")
    assert code == 0, said
    (suite,) = ElementTree.parse(job.workspace.parent / "kept/pytest.xml").getroot()
    assert int(suite.attrib["tests"]) == said.count(" PASSED ") > 5
    assert suite.attrib["skipped"] == "0"
    assert job.summary.read_text() == f"### pytest: {suite.attrib['tests']} passed\n\n"
    job.summary.unlink()
    assert sorted(job.workspace.rglob("*")) == before


def test_a_failure_is_explained_and_what_is_known_of_it_is_kept(job: Job) -> None:
    (job.workspace / "tests" / "test_broken.py").write_text(BROKEN)
    code, said = job.step("tests", pytest="tests/test_broken.py")
    assert code == 1, said
    assert "via vxlan, not direct" in job.summary.read_text()
    kept = job.workspace / "netlab-artifacts"
    assert str(kept) in said
    (diff,) = kept.rglob("diff.json")
    assert "mine" in diff.read_text()
    assert list(kept.rglob("*.pcapng"))


def test_a_lab_of_the_action_is_verified_and_stays(job: Job, netlab: Netlab) -> None:
    code, said = job.step("lab", topology="flannel-vxlan", options="--nodes 2 --pods-per-node 1")
    assert code == 0, said
    assert netlab.ok("status")["lab"] == "flannel-vxlan"
    kept = job.workspace / "netlab-artifacts"
    assert {path.name for path in kept.iterdir()} == {"verify.xml", "diff.json", "status.json"}
    assert job.summary.read_text().startswith("### netlab verify: ")
    assert "failed" not in job.summary.read_text()


def test_a_topology_that_is_not_there_is_netlabs_own_sentence(job: Job) -> None:
    code, said = job.step("lab", topology="flannel-vxlam")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("netlab: There is no topology 'flannel-vxlam'; did you mean")
    assert not job.summary.exists()
