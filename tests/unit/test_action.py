"""The GitHub action, as a stranger's workflow uses it: on a runner whose user is not root.

The runner here reads action.yml and does its steps. What they start is pretended: `sudo`, and a
bootstrap, a Python and a netlab that write down what they were called with.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
ACTION = yaml.safe_load((REPOSITORY / "action.yml").read_text())
NOBODY = 65534
# Each notes its name and its words, a line each word, and a blank line.
NOTE = """#!/bin/sh
printf '%s\\n' "${{0##*/}}" "$@" '' >>"{calls}"
"""
SUDO = """while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""
BOOTSTRAP = """PATH=${0%/*}/.venv/bin:$PATH
exec "$@"
"""
NETLAB = """case "$*" in
*" up "*broken*) echo 'netlab: It is broken.' >&2; exit 2 ;;
*" up "*) echo '{"lab": "mine"}' ;;
*" verify "*) for file; do :; done; cp "$JUNIT" "$file"; exit "${VERIFY:-0}" ;;
*" --json "*) echo '{}' ;;
esac
"""
PYTHON = """[ "$2" = pytest ] || exit 0
for word; do case $word in --junitxml=*) cp "$JUNIT" "${word#*=}" ;; esac; done
exit "${PYTEST:-0}"
"""
MODINFO = 'case $1 in ipip) [ -e "{place}/installed" ] ;; none) false ;; esac\n'
APT = """case "$*" in *" install "*) touch "{place}/installed" ;; esac
"""
JUNIT = """<testsuites><testsuite>
<testcase name="one"/><testcase name="two"/>
<testcase name="# three &lt;b&gt;"><failure message="was `seen`&#10;# from 10.0.0.1"/></testcase>
<testcase name="four"><skipped message="needs ipip"/></testcase>
</testsuite></testsuites>
"""


class Runner:
    """A job in a repository of its own, in which the action is some folder elsewhere."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.workspace = self.folder("workspace")
        self.action = self.folder("actions/netlab")
        self.files = {name: place / name.lower() for name in FILES}
        (self.folder("actions/netlab/.github") / "action.py").write_bytes(
            (REPOSITORY / ".github/action.py").read_bytes()
        )
        (place / "junit.xml").write_text(JUNIT)
        self.program("actions/netlab/bootstrap", BOOTSTRAP)
        self.program("actions/netlab/.venv/bin/netlab", NETLAB)
        self.program("actions/netlab/.venv/bin/python", PYTHON)
        self.program("bin/sudo", SUDO)
        self.program("bin/modinfo", MODINFO.format(place=place))
        self.program("bin/apt-get", APT.format(place=place))
        self.temp = self.folder("temp")
        self.uploads: list[dict[str, str]] = []
        self.log = ""
        if os.geteuid() == 0:
            for path in (place, *place.rglob("*")):
                os.chown(path, NOBODY, NOBODY)

    def folder(self, name: str) -> Path:
        path = self.place / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def program(self, name: str, text: str) -> None:
        path = self.folder(str(Path(name).parent)) / Path(name).name
        path.write_text(NOTE.format(calls=self.place / "calls") + text)
        path.chmod(0o755)

    def use(self, variables: dict[str, str] | None = None, **given: str) -> bool:
        """Do the steps of the action with these inputs; returns whether all succeeded."""
        known = ACTION["inputs"]
        assert given.keys() <= known.keys()
        inputs = {name: given.get(name, known[name]["default"]) for name in known}
        succeeded = True
        for step in ACTION["runs"]["steps"]:
            condition = step.get("if", "success()")
            if "always()" not in condition:
                condition = f"success() && {condition}"
            if not holds(condition, inputs, succeeded):
                continue
            if "uses" in step:
                self.uploads.append({k: expanded(v, inputs) for k, v in step["with"].items()})
            else:
                own = {k: expanded(v, inputs) for k, v in step["env"].items()}
                succeeded &= self.run(step["run"], own | (variables or {}))
        return succeeded

    def run(self, program: str, variables: dict[str, str]) -> bool:
        """Run a step's program as a runner does it for `shell: bash`."""
        environment = {
            "PATH": f"{self.place / 'bin'}:/usr/bin:/bin",
            "GITHUB_ACTION_PATH": str(self.action),
            "RUNNER_TEMP": str(self.temp),
            "JUNIT": str(self.place / "junit.xml"),
            **{name: str(path) for name, path in self.files.items()},
            **variables,
        }
        (self.place / "step.sh").write_text(program)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(self.place / "step.sh")],
            cwd=self.workspace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **({"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}),
        )
        self.log += done.stdout
        return done.returncode == 0

    @property
    def calls(self) -> list[list[str]]:
        """What was called with which words; one that another called too, as sudo does."""
        path = self.place / "calls"
        text = path.read_text() if path.exists() else ""
        return [call.splitlines() for call in text.split("\n\n") if call]

    def called(self, name: str) -> list[list[str]]:
        return [words for program, *words in self.calls if program == name]

    def told(self, name: str) -> str:
        return self.files[name].read_text() if self.files[name].exists() else ""


FILES = ("GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
EXPRESSION = re.compile(r"\$\{\{ inputs\.([a-z]+) \}\}")


def expanded(text: str, inputs: dict[str, str]) -> str:
    result = EXPRESSION.sub(lambda found: inputs[found[1]], text)
    assert "${{" not in EXPRESSION.sub("", text)
    return result


def holds(condition: str, inputs: dict[str, str], succeeded: bool) -> bool:
    python = condition.replace("&&", "and").replace("||", "or")
    python = re.sub(r"inputs\.([a-z]+)", r"inputs['\1']", python)
    scope = {"inputs": inputs, "always": lambda: True, "success": lambda: succeeded}
    return bool(eval(python, {"__builtins__": {}}, scope))


@pytest.fixture
def runner() -> Iterator[Runner]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are only for root to enter
        os.chmod(folder, 0o755)
        yield Runner(Path(folder))


def check(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    return subprocess.run([*command, str(path)], capture_output=True, text=True)


def test_action_and_workflows_are_what_github_reads(tmp_path: Path) -> None:
    assert check("github-actions", REPOSITORY / "action.yml").returncode == 0
    for workflow in (REPOSITORY / ".github/workflows").iterdir():
        assert check("github-workflows", workflow).returncode == 0
    wrong = tmp_path / "action.yml"
    wrong.write_text((REPOSITORY / "action.yml").read_text().replace("shell: bash", "shel: bash"))
    assert "shel" in check("github-actions", wrong).stdout


def test_no_input_is_part_of_a_program() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        for variable, value in step.get("env", {}).items():
            name = variable.removeprefix("INPUT_").lower()
            assert value == f"${{{{ inputs.{name} }}}}"
            assert name in ACTION["inputs"]


def test_our_own_workflow_gives_it_inputs_it_has() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/tests.yml").read_text())
    uses = [step for step in workflow["jobs"]["action"]["steps"] if step.get("uses") == "./"]
    assert len(uses) == 1
    assert uses[0]["with"].keys() <= ACTION["inputs"].keys()
    folder, *_ = uses[0]["with"]["pytest"].split()
    assert (REPOSITORY / folder / "pyproject.toml").exists()


def test_alone_it_makes_the_command_ready(runner: Runner) -> None:
    assert runner.use(), runner.log
    assert runner.called("bootstrap") == [["true"]]
    assert runner.called("netlab") == [["doctor"]]
    assert runner.called("python") == []
    (folder,) = runner.told("GITHUB_PATH").splitlines()
    assert [path.name for path in Path(folder).iterdir()] == ["netlab"]
    outputs = dict(line.split("=") for line in runner.told("GITHUB_OUTPUT").splitlines())
    assert outputs.keys() == ACTION["outputs"].keys()
    assert outputs["command"] == str(runner.action / ".venv/bin/netlab")
    # A later step finds the command, and no other program of netlab's environment.
    path = {"PATH": f"{folder}:{runner.place / 'bin'}:/usr/bin:/bin"}
    assert runner.run("netlab list; [ $(command -v python3) = /usr/bin/python3 ]", path)
    assert runner.called("netlab")[-1] == ["list"]
    # The second use in a job finds its own folder there.
    assert runner.use(), runner.log


def test_a_lab_is_built_verified_and_stays(runner: Runner) -> None:
    options = '--nodes 2\n--set "cluster_cidr=10.0.0.0/16"  # a comment'
    assert runner.use(topology="flannel-vxlan", options=options, artifacts="kept"), runner.log
    _, up = runner.called("bootstrap")
    assert up == [
        *("netlab", "--json", "up", "--no-verify"),
        *("--nodes", "2", "--set", "cluster_cidr=10.0.0.0/16", "--", "flannel-vxlan"),
    ]
    kept = runner.workspace / "kept"
    assert ["-l", "mine", "verify", "--junit", str(kept / "verify.xml")] in runner.called("netlab")
    assert sorted(path.name for path in kept.iterdir()) == [
        "diff.json",
        "status.json",
        "verify.xml",
    ]
    assert not any("down" in words for words in runner.called("netlab"))
    assert runner.uploads == [{"name": "netlab", "path": "kept", "if-no-files-found": "ignore"}]
    everything = [words[3:] for words in runner.called("sudo")]
    assert ["chown", "-R", f"{NOBODY}:{NOBODY}", str(kept)] in everything or os.geteuid() != 0


def test_a_topology_can_stand_in_a_file_of_kubectl(runner: Runner) -> None:
    assert runner.use(options="--from prod.yaml"), runner.log
    assert runner.called("bootstrap")[1][3:] == ["--no-verify", "--from", "prod.yaml"]


def test_tests_run_as_root_with_what_they_need(runner: Runner) -> None:
    given = {"pytest": "'tests/my network' -v", "install": "-e . pytest-xdist"}
    assert runner.use(**given, dataplanes="calico-bgp", upload=""), runner.log
    first, tests = runner.called("bootstrap")
    assert first == ["true", "calico-bgp"]
    pip, run = runner.called("python")
    assert pip[-4:] == ["pytest", "-e", ".", "pytest-xdist"]
    assert run[-2:] == ["tests/my network", "-v"]
    kept = runner.workspace / "netlab-artifacts"
    assert f"--netlab-artifacts={kept}" in run
    assert tests[0] == "env"
    assert all(words[:3] == ["-n", "-E", "-H"] for words in runner.called("sudo"))
    assert runner.uploads == []


def test_failures_fail_the_job_and_are_on_its_page(runner: Runner) -> None:
    assert not runner.use({"VERIFY": "1"}, topology="flannel-vxlan", pytest="tests")
    summary = runner.told("GITHUB_STEP_SUMMARY")
    assert summary.startswith("### netlab verify: 2 passed, 1 failed, 1 skipped\n\n")
    # What a test or a lab says cannot become a heading, a link or a picture.
    assert "\n    # three <b>\n        was `seen`\n    # from 10.0.0.1\n" in summary
    assert runner.called("python") == [["-m", "pip", *PIP, "pytest"]]
    assert runner.uploads[0]["path"] == "netlab-artifacts"


PIP = ("install", "-q", "--disable-pip-version-check")


def test_tests_that_fail_are_counted_too(runner: Runner) -> None:
    assert not runner.use({"PYTEST": "1"}, pytest="tests")
    assert runner.told("GITHUB_STEP_SUMMARY").startswith("### pytest: 2 passed, 1 failed")


def test_a_lab_that_cannot_be_ends_the_job_by_its_sentence(runner: Runner) -> None:
    assert not runner.use(topology="broken", pytest="tests")
    assert "netlab: It is broken." in runner.log
    assert "Traceback" not in runner.log
    assert not any("verify" in words for words in runner.called("netlab"))
    assert runner.told("GITHUB_STEP_SUMMARY") == ""


@pytest.mark.parametrize("text", ["$(touch bad)", "`touch bad`", "x; touch bad", "'\"; touch bad'"])
def test_no_shell_reads_an_input(runner: Runner, text: str) -> None:
    for name in ("pytest", "install", "dataplanes", "modules", "topology", "options", "artifacts"):
        runner.use(**{name: text})
    assert text in runner.called("bootstrap")[-4]  # the topology, as it stands
    assert not list(runner.place.rglob("bad"))
    assert "Traceback" not in runner.log


def test_what_cannot_be_read_is_one_sentence(runner: Runner) -> None:
    assert not runner.use(topology="flannel-vxlan", options='--set "a')
    assert runner.log.splitlines()[-1] == (
        "::error::The input `options` cannot be read: no closing quotation."
    )
    assert not runner.use(artifacts="a\nb")
    assert "::error::The input `artifacts` is not the name of a folder." in runner.log


def test_a_bootstrap_that_fails_is_told(runner: Runner) -> None:
    shutil.copy("/bin/false", runner.action / "bootstrap")
    assert not runner.use(topology="flannel-vxlan")
    assert "::error::`bootstrap true` failed.\n" in runner.log


def test_modules_that_the_image_lacks_are_installed(runner: Runner) -> None:
    assert runner.use(modules="veth ipip"), runner.log
    _, install = runner.called("apt-get")
    assert install[-1] == f"linux-modules-extra-{os.uname().release}"
    assert "::warning::" not in runner.log
    assert runner.use(modules="veth ipip"), runner.log
    assert len(runner.called("apt-get")) == 2
    assert runner.use(modules="none"), runner.log
    assert "::warning::This kernel has no module none, nor has linux-modules-extra-" in runner.log


def test_it_runs_on_the_python_of_any_job() -> None:
    text = (REPOSITORY / ".github/action.py").read_text()
    ast.parse(text, feature_version=(3, 9))


def test_the_readme_has_every_input_and_a_workflow_that_github_reads(tmp_path: Path) -> None:
    chapter = (REPOSITORY / "README.md").read_text().split("\n## On hosted runners\n")[1]
    rows = re.findall(r"^\| (`.*`) \| ", chapter.split("\n## ")[0], re.MULTILINE)
    told = [name for row in rows for name in re.findall("`([a-z]+)`", row)]
    assert sorted(told) == sorted(ACTION["inputs"])
    jobs = chapter.split("```yaml\n")[1].split("```")[0]
    workflow = tmp_path / "workflow.yml"
    workflow.write_text("on: push\n" + jobs)
    assert check("github-workflows", workflow).returncode == 0
    (step,) = [one for one in yaml.safe_load(jobs)["jobs"]["network"]["steps"] if "with" in one]
    assert step["with"].keys() <= ACTION["inputs"].keys()
