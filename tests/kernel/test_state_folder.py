"""A lab's folder is nobody else's, and what a keeper is does not depend on a file."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
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
    lab = netlab.state / "flannel-vxlan"
    netlab.state.mkdir(mode=0o755)
    netlab.ok("up", "flannel-vxlan", *SMALL)
    assert stat.S_IMODE(lab.stat().st_mode) == 0o700
    lock = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "flock", "-nx"]
    taken = subprocess.run([*lock, str(lab), "true"], check=False)
    assert taken.returncode != 0
    lab.chmod(0o755)  # as an earlier version made it
    assert netlab.ok("status")["state"] == "running"
    assert stat.S_IMODE(lab.stat().st_mode) == 0o700
    assert stat.S_IMODE(netlab.state.stat().st_mode) == 0o755
    netlab.ok("down")
    assert list(netlab.state.iterdir()) == []  # the folder that the user named stays


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


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_another_users_lab_or_one_by_a_link_is_refused(
    netlab: Netlab, tmp_path: Path, command: tuple[str, ...]
) -> None:
    lab = netlab.state / "flannel-vxlan"
    netlab.state.mkdir()
    lab.mkdir()
    os.chown(lab, NOBODY, NOBODY)
    assert "belongs to another user" in refusal(netlab, *command)
    os.chown(lab, 0, 0)
    netlab.state.chmod(0o777)
    assert "others can write into it" in refusal(netlab, *command)
    netlab.state.chmod(0o700)
    lab.rmdir()
    lab.symlink_to(tmp_path)
    if command[0] not in ("down", "gc"):
        netlab.run("-l", "flannel-vxlan", *command)
    assert list(tmp_path.iterdir()) == [netlab.state]
    lab.unlink()


def refusal(netlab: Netlab, *command: str) -> str:
    """Run what the state folder must forbid; returns the one sentence that it says."""
    refused = netlab.run(*command)
    assert (refused.code, refused.out) == (3, "")
    assert len(refused.err.splitlines()) == 1
    return refused.err


IMPOSTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
assert libc.unshare(0x10000000 | 0x20000000) == 0
if os.fork():
    os.wait()
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_another_users_process_is_no_keeper_whatever_it_looks_like(
    netlab: Netlab, tmp_path: Path
) -> None:
    """Root would otherwise run that user's files, in namespaces that are that user's."""
    netlab.ok("up", "flannel-vxlan", *SMALL)
    lab = netlab.state / "flannel-vxlan"
    keeper = json.loads((lab / "keeper.json").read_text())["pid"]
    readable = tempfile.TemporaryDirectory()  # by others, which a test's own folder is not
    Path(readable.name).chmod(0o755)
    program = Path(readable.name, "netlab/kernel/keeper.py")
    program.parent.mkdir(parents=True)
    program.write_text(IMPOSTER)
    words = [sys.executable, "-I", "-S", str(program), "0", str(lab)]
    imposter = subprocess.Popen(
        ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with readable, imposter:
        assert imposter.stdin
        assert imposter.stdout
        assert imposter.stdout.readline() == "ready\n"
        os.kill(keeper, signal.SIGKILL)
        gone = netlab.run("exec", "pod-1-1", "--", "true")
        assert (gone.code, "its keeper is gone" in gone.err) == (4, True)
        assert imposter.poll() is None
        imposter.stdin.close()


def test_a_lab_is_the_same_by_another_path_and_after_its_folder_was_moved(
    netlab: Netlab, tmp_path: Path
) -> None:
    netlab.ok("up", "flannel-vxlan", *SMALL)
    (tmp_path / "link").symlink_to(netlab.state)
    assert Netlab(tmp_path / "link").ok("gc")["removed"] == []
    assert Netlab(netlab.state / ".." / "state").ok("status")["state"] == "running"
    netlab.state.rename(tmp_path / "moved")
    assert Netlab(tmp_path / "moved").ok("gc")["removed"] == []
    assert Netlab(tmp_path / "moved").ok("down")["removed"] == ["flannel-vxlan"]


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


def test_a_named_pipe_is_no_log(netlab: Netlab, tmp_path: Path) -> None:
    topology = tmp_path / "says.yaml"
    topology.write_text(
        "nodes: [{pods: [{name: a, containers: [\n"
        "  {name: c, command: [sh, -c, echo hi; sleep 99]}]}]}]"
    )
    netlab.ok("up", str(topology), "--no-verify")
    assert netlab.run("logs", "a").out == "hi\n"
    log = netlab.state / "says" / "logs" / "a.c.log"
    log.unlink()
    os.mkfifo(log)
    found = netlab.run("logs", "a", timeout=20)
    assert (found.code, found.out) == (2, "")
    assert found.err == f"netlab: The log {log} is no file that can be read.\n"
