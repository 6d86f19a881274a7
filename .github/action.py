#!/usr/bin/env python3
"""What action.yml does, a step at a time: `action.py set-up|lab|tests|modules`.

Inputs are read from variables INPUT_…, and the runner is told things by the files that GitHub
documents. It runs on the Python that a job has, 3.9 or newer, with nothing installed.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parents[1]
BOOTSTRAP = HERE / "bootstrap"
PROGRAMS = HERE / ".venv" / "bin"
SHOWN = 20  # failures that the summary of a job shows


class Refused(Exception):
    """A sentence for the log, and the exit code of the step."""

    def __init__(self, sentence: str, code: int = 2) -> None:
        super().__init__(sentence)
        self.code = code


def given(name: str) -> str:
    return os.environ.get(f"INPUT_{name.upper()}", "").strip()


def words(name: str) -> list[str]:
    """An input's words, quoted as for a shell, on one line or several."""
    try:
        return shlex.split(given(name), comments=True)
    except ValueError as error:
        raise Refused(f"The input `{name}` cannot be read: {str(error).lower()}.") from None


def as_root(
    *command: str | Path, stdout: IO[str] | int | None = None
) -> subprocess.CompletedProcess[str]:
    prefix: list[str] = []
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise Refused("netlab's action needs root or sudo, and there is neither.", 3)
        # The job's variables stay, its home does not: what root puts there the user cannot remove.
        prefix = ["sudo", "-n", "-E", "-H"]
    sys.stdout.flush()
    return subprocess.run([*prefix, *map(str, command)], stdout=stdout, text=True)


def must(*command: str | Path) -> None:
    if code := as_root(*command).returncode:
        raise Refused(f"`{Path(command[0]).name} {' '.join(map(str, command[1:]))}` failed.", code)


def tell(variable: str, text: str) -> None:
    """Append to one of the files by which a step tells the runner something."""
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(text + "\n")


def annotate(kind: str, sentence: str) -> None:
    """An annotation of the run. The runner decodes these three in what it is told."""
    for character in "%\r\n":
        sentence = sentence.replace(character, f"%{ord(character):02X}")
    print(f"::{kind}::{sentence}", flush=True)


def artifacts() -> Path:
    """The folder of artefacts, made by the user who uploads what is in it."""
    name = given("artifacts") or "netlab-artifacts"
    if not name.isprintable():  # a line of an output would end in the middle of it
        raise Refused("The input `artifacts` is not the name of a folder.")
    folder = Path(name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hand_over(folder: Path) -> None:
    """What root wrote belongs to who runs the job, who reads and removes it."""
    if os.geteuid() != 0:
        as_root("chown", "-R", f"{os.getuid()}:{os.getgid()}", folder)


def set_up() -> int:
    if platform.system() != "Linux":
        raise Refused(
            f"netlab runs on Linux, not {platform.system()}: use `runs-on: ubuntu-24.04`."
        )
    modules()
    must(BOOTSTRAP, "true", *words("dataplanes"))
    packages = words("install")
    if words("pytest"):
        packages.insert(0, "pytest")
    if packages:
        pip = (PROGRAMS / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
        must(*pip, *packages)
    tell("GITHUB_PATH", str(own_folder()))
    tell("GITHUB_OUTPUT", f"command={PROGRAMS / 'netlab'}\npython={PROGRAMS / 'python'}")
    tell("GITHUB_OUTPUT", f"artifacts={artifacts()}")
    print("::group::What this runner can run (netlab doctor)")
    as_root(PROGRAMS / "netlab", "doctor")
    print("::endgroup::")
    return 0


def own_folder() -> Path:
    """A folder with nothing but the command: .venv's own has a `python` that is not the job's."""
    folder = Path(os.environ.get("RUNNER_TEMP") or "/tmp") / "netlab-command"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "netlab"
    link.unlink(missing_ok=True)
    link.symlink_to(PROGRAMS / "netlab")
    return folder


def modules() -> int:
    """Install what the kernel's image lacks of the modules that are asked for."""
    wanted = words("modules")
    if not without(wanted):
        return 0
    package = f"linux-modules-extra-{platform.release()}"
    apt = (
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
    )
    as_root(*apt, "update")
    as_root(*apt, "install", "--no-install-recommends", package)
    if lacking := without(wanted):
        annotate("warning", f"This kernel has no module {', '.join(lacking)}, nor has {package}.")
    return 0


def without(names: Iterable[str]) -> list[str]:
    return [
        name for name in names if as_root("modinfo", name, stdout=subprocess.DEVNULL).returncode
    ]


def lab() -> int:
    """Build the lab and verify it; what differs and how it stands is kept in any case."""
    folder = artifacts()
    topology = ["--", given("topology")] if given("topology") else []
    up = ["netlab", "--json", "up", "--no-verify", *words("options"), *topology]
    built = as_root(BOOTSTRAP, *up, stdout=subprocess.PIPE)
    if not built.stdout:  # its sentence is in the log
        return built.returncode or 1
    name: str = json.loads(built.stdout)["lab"]
    netlab = [str(PROGRAMS / "netlab"), "-l", name]
    verified = as_root(*netlab, "verify", "--junit", folder / "verify.xml").returncode
    for command in ("diff", "status"):
        with open(folder / f"{command}.json", "w", encoding="utf-8") as stream:
            as_root(*netlab, "--json", command, stdout=stream)
    hand_over(folder)
    summarise("netlab verify", folder / "verify.xml")
    return verified or built.returncode


def tests() -> int:
    folder = artifacts()
    # Nothing of root's is left in the job's checkout.
    pytest = (
        "env",
        "PYTHONDONTWRITEBYTECODE=1",
        "python",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
    )
    kept = (f"--junitxml={folder / 'pytest.xml'}", f"--netlab-artifacts={folder}")
    code = as_root(BOOTSTRAP, *pytest, *kept, *words("pytest")).returncode
    hand_over(folder)
    summarise("pytest", folder / "pytest.xml")
    return code


def summarise(title: str, junit: Path) -> None:
    """How many cases passed, and the first failures, on the page of the run."""
    if not junit.exists():
        return
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in KINDS}
    passed = len(cases) - sum(counts.values())
    said = [f"{passed} passed", *(f"{n} {KINDS[kind]}" for kind, n in counts.items() if n)]
    lines = [f"### {title}: {', '.join(said)}"]
    bad = [
        (case, found) for case in cases for found in (*case.iter("failure"), *case.iter("error"))
    ]
    if bad:
        lines.append("")  # what is indented after it is shown as it stands, whatever it says
        for case, found in bad[:SHOWN]:
            message = f"{case.get('name', '')}\n    {found.get('message', '')}"
            lines += [f"    {line}" for line in message.splitlines()]
        if len(bad) > SHOWN:
            lines.append(f"    and {len(bad) - SHOWN} more")
    tell("GITHUB_STEP_SUMMARY", "\n".join([*lines, ""]))


KINDS = {"failure": "failed", "error": "ended with an error", "skipped": "skipped"}
STEPS = {"set-up": set_up, "modules": modules, "lab": lab, "tests": tests}


def main(arguments: list[str]) -> int:
    try:
        return STEPS[arguments[0]]()
    except Refused as refused:
        annotate("error", str(refused))
        return refused.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
