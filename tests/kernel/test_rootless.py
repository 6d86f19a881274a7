"""The same commands for a user who is not root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.kernel import capabilities
from tests.kernel.conftest import assert_untouched, untouched
from tests.kernel.test_errors import world_readable

USER = 65534


class User:
    """Runs netlab as a user without any privilege, with a runtime folder of its own."""

    def __init__(self, packages: Path) -> None:
        self.packages = packages
        self.runtime = packages / "runtime"
        self.runtime.mkdir(mode=0o700)
        os.chown(self.runtime, USER, USER)
        self.state = self.runtime / "netlab"

    def run(
        self, *arguments: str, limits: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; `limits` are options of prlimit."""
        limited = ("prlimit", *limits) if limits else ()
        identity = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all"]
        python = shutil.which("python3", path="/usr/bin")
        assert python, "a Python that every user may run is needed in /usr/bin"
        return subprocess.run(
            ["setpriv", *identity, "--no-new-privs", *limited, python, "-m", "netlab", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(self.packages),
                "XDG_RUNTIME_DIR": str(self.runtime),
            },
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
        )

    def ok(self, *arguments: str) -> Any:
        done = self.run("--json", *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    untouched()
    someone = User(world_readable(tmp_path))
    yield someone
    someone.run("down", "--all")
    assert not someone.state.exists()
    shutil.rmtree(someone.packages)
    assert_untouched()


@pytest.mark.parametrize(
    "topology", ["flannel-vxlan", "flannel-host-gw", "flannel-vxlan-l3", "flannel-dual-stack"]
)
def test_a_user_gets_a_verified_lab(user: User, topology: str) -> None:
    document = user.ok("up", topology)
    assert document["verify"]["ok"]
    assert document["verify"]["summary"]["checks"] > 100


def test_a_user_has_every_command(user: User) -> None:
    done = user.run("--json", "doctor")
    found = json.loads(done.stdout)
    assert found["rootless"]
    assert done.returncode == (0 if found["ok"] else 3)
    lacking = {need for entry in found["dataplanes"] for need in entry["missing"]}
    root_s = set(capabilities.missing(capabilities.features()))
    assert lacking <= root_s | {"tun"}, "what root has, but for a device file that it may close"
    user.ok("up", "flannel-vxlan")
    assert user.ok("status")["state"] == "running"
    assert user.ok("exec", "pod-1-1", "--", "hostname")["stdout"] == "pod-1-1\n"
    user.ok("exec", "node-1", "--", "ip", "route", "del", "10.244.1.0/24")
    drift = user.run("--json", "diff")
    assert drift.returncode == 1
    assert "route 10.244.1.0/24" in drift.stdout
    assert user.run("verify").returncode == 1
    assert user.ok("up", "flannel-vxlan")["changes"] == 1
    assert user.ok("verify")["ok"]
    assert user.ok("down") == {"removed": ["flannel-vxlan"]}
