"""The playbooks by hand, with `ansible-playbook`: what they do on machines, and what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from netlab.hosts.package import digest
from tests.kernel.conftest import COMMAND, REPOSITORY
from tests.kernel.machines import Machines, Make, machines, prepared

__all__ = ["machines", "prepared"]
PROGRAM = Path(sys.executable).with_name("ansible-playbook")


def play(made: Machines, name: str, *arguments: str) -> dict[str, Any]:
    """Play one, and return what became of its task on each machine."""
    done = subprocess.run(
        [PROGRAM, "-i", made.inventory, REPOSITORY / "playbooks" / f"{name}.yml", *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "ANSIBLE_STDOUT_CALLBACK": "minimal"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return {"code": done.returncode, "said": done.stdout + done.stderr}


def test_a_machine_is_prepared_its_lab_is_mended_looked_at_and_taken_down(
    machines: Make, tmp_path: Path
) -> None:
    made = machines("vm-1")
    hosts = json.loads(made.inventory.read_text())
    hosts["all"]["vars"]["netlab_folder"] = str(tmp_path / "netlab")
    made.inventory.write_text(json.dumps(hosts))
    before = made.snapshot("vm-1")
    done = play(made, "prepare")
    assert done["code"] == 0, done
    assert (tmp_path / "netlab" / "current").resolve().name == digest()
    assert play(made, "collect", "-e", "lab=mine")["code"] == 2  # there is none

    def on_it(*words: str) -> str:
        command = ["ip", "netns", "exec", "vm-1", *COMMAND, "-l", "mine", *words]
        variables = {"NETLAB_STATE": str(made.state("vm-1")), "PYTHONPATH": str(REPOSITORY)}
        run = subprocess.run(
            command, env=os.environ | variables, check=True, capture_output=True, text=True
        )
        return run.stdout

    on_it("up", "flannel-vxlan", "--no-verify")
    assert play(made, "collect", "-e", "lab=mine")["code"] == 0
    on_it("exec", "node-1", "--", "ip", "link", "delete", "flannel.1")
    assert play(made, "collect", "-e", "lab=mine")["code"] == 2
    mended = play(made, "up", "-e", "lab=mine")
    assert (mended["code"], "CHANGED" in mended["said"]) == (0, True), mended
    done = play(made, "collect", "-e", "lab=mine")
    assert (done["code"], '"ok": true' in done["said"]) == (0, True), done
    assert play(made, "down", "-e", "lab=mine")["code"] == 0
    assert play(made, "down", "-e", "lab=mine")["code"] == 0
    assert made.processes() == {"vm-1": []}
    assert made.snapshot("vm-1") == before
