"""A lab's folder is nobody else's, and what a keeper is does not depend on a file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.kernel.conftest import Netlab

COMMANDS = (
    ("up", "flannel-vxlan"),
    ("status",),
    ("verify",),
    ("diff",),
    ("exec", "pod-1-1", "--", "true"),
    ("shell",),
    ("logs", "node-1"),
    ("addresses",),
    ("down",),
    ("down", "--all"),
    ("gc",),
)
SMALL = ("--nodes", "1", "--pods-per-node", "1", "--set", "containers=1", "--no-verify")
NOBODY = 65534


def test_nobody_else_can_look_into_a_lab_or_lock_it(netlab: Netlab) -> None:
    netlab.state.mkdir(mode=0o755)  # as an earlier version made it
    netlab.ok("up", "flannel-vxlan", *SMALL)
    for folder in (netlab.state, netlab.state / "flannel-vxlan"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    lock = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "flock", "-nx"]
    taken = subprocess.run([*lock, str(netlab.state / "flannel-vxlan"), "true"], check=False)
    assert taken.returncode != 0
    assert netlab.ok("status")["state"] == "running"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("how", ["folder", "link"])
def test_another_users_folder_is_refused(
    netlab: Netlab, tmp_path: Path, how: str, command: tuple[str, ...]
) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "flannel-vxlan").mkdir(parents=True)
    (theirs / "flannel-vxlan" / "keeper.json").write_text('{"pid": 1, "start": 0}')
    if how == "folder":
        theirs.rename(netlab.state)
        os.chown(netlab.state, NOBODY, NOBODY)
    else:
        netlab.state.symlink_to(theirs)
        os.lchown(netlab.state, NOBODY, NOBODY)
    refused = netlab.run(*command)
    assert refused.code == 3
    assert "it belongs to another user" in refused.err
    assert len(refused.err.splitlines()) == 1
    if how == "folder":
        os.chown(netlab.state, 0, 0)
    else:
        netlab.state.unlink()


@pytest.mark.parametrize("spoilt", ["gone", "", "{}", "null", '{"pid": 1, "start": 5}', "[" * 9999])
def test_a_lab_is_known_and_ended_without_its_keepers_file(netlab: Netlab, spoilt: str) -> None:
    netlab.ok("up", "flannel-vxlan", *SMALL)
    file = netlab.state / "flannel-vxlan" / "keeper.json"
    file.unlink()
    if spoilt != "gone":
        file.write_text(spoilt)
    assert netlab.ok("status")["state"] == "running"
    assert netlab.ok("down")["removed"] == ["flannel-vxlan"]


def test_a_process_that_is_no_keeper_is_never_ended(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", *SMALL)
    file = netlab.state / "flannel-vxlan" / "keeper.json"
    with subprocess.Popen(["sleep", "60"]) as other:
        fields = Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()
        file.write_text(json.dumps({"pid": other.pid, "start": int(fields[19])}))
        assert netlab.ok("down")["removed"] == ["flannel-vxlan"]
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("file", ["keeper.json", "plan.json"])
def test_a_named_pipe_is_no_file_of_a_labs(netlab: Netlab, file: str) -> None:
    netlab.ok("up", "flannel-vxlan", *SMALL)
    path = netlab.state / "flannel-vxlan" / file
    path.unlink()
    os.mkfifo(path)
    found = netlab.run("diff", timeout=20)
    assert found.code == (0 if file == "keeper.json" else 4)
    assert netlab.ok("down")["removed"] == ["flannel-vxlan"]


def test_a_lab_is_the_same_by_another_path(netlab: Netlab, tmp_path: Path) -> None:
    """What runs is no stale folder, whatever link leads there."""
    netlab.ok("up", "flannel-vxlan", *SMALL)
    by_link = Netlab(tmp_path / "link")
    by_link.state.symlink_to(netlab.state)
    assert by_link.ok("gc")["removed"] == []
    assert by_link.ok("status")["state"] == "running"
    assert netlab.ok("status")["state"] == "running"
    assert by_link.ok("down")["removed"] == ["flannel-vxlan"]
    by_link.state.unlink()
