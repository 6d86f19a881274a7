"""What a command meets that it did not make: spoilt files, full disks, closed streams, company."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel import host
from tests.kernel.conftest import COMMAND, Netlab
from tests.kernel.test_errors import world_readable

UP = ("up", "flannel-vxlan", "--no-verify")


def keeper(netlab: Netlab, lab: str) -> int:
    return int(json.loads((netlab.state / lab / "keeper.json").read_text())["pid"])


def shell(netlab: Netlab, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script, in a mount namespace of its own, in which $netlab is the command."""
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=netlab.environment | {"netlab": shlex.join(COMMAND)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def sentence(text: str) -> str:
    """What a command said, which must be one sentence, and not of a bug."""
    assert len(text.splitlines()) == 1, text
    assert text.startswith("netlab: ")
    assert text.endswith((".\n", "?\n"))
    assert "(a bug" not in text
    return text


@contextmanager
def in_use(netlab: Netlab, lab: str, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lab as a command does that changes it, or with LOCK_SH that looks at it."""
    fd = os.open(netlab.state / lab, os.O_RDONLY)
    fcntl.flock(fd, kind)
    yield
    os.close(fd)


@pytest.mark.parametrize("signal_", [9, 15])
def test_a_signal_that_ends_a_command_in_a_pod_is_told_as_by_a_shell(
    netlab: Netlab, signal_: int
) -> None:
    netlab.ok(*UP)
    for target in ("pod-1-1", "node-1"):
        done = netlab.run("exec", target, "--", "sh", "-c", f"kill -{signal_} $$")
        assert (done.code, done.err) == (128 + signal_, "")


def test_junit_goes_to_the_hosts_run(netlab: Netlab) -> None:
    netlab.ok(*UP)
    file = Path(f"/run/netlab-test-{os.getpid()}.xml")
    try:
        netlab.ok("verify", "--junit", str(file))
        assert file.read_text().rstrip().endswith("</testsuite>")
    finally:
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("place", ["/proc/report.xml", "/dev/full", "/nonexistent/report.xml"])
def test_junit_that_cannot_be_written_is_bad_input(netlab: Netlab, place: str) -> None:
    netlab.ok(*UP)
    done = netlab.run("verify", "--junit", place)
    assert done.code == 2
    assert place in sentence(done.err)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", '{"pid": "x", "start": null}'])
def test_a_spoilt_keeper_file_is_a_stale_lab_and_no_hindrance(netlab: Netlab, text: str) -> None:
    folder = netlab.state / "spoilt"
    for command in (("gc",), ("down", "--all"), ("down", "-l", "spoilt")):
        folder.mkdir(parents=True)
        (folder / "keeper.json").write_text(text)
        assert netlab.ok(*command) == {"removed": ["spoilt"]}
    folder.mkdir(parents=True)
    (folder / "keeper.json").write_bytes(b"\xff\xfe")
    netlab.ok(*UP)
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", None])
@pytest.mark.parametrize("file", ["plan.json", "layout.json", "containers.json"])
def test_a_spoilt_file_of_a_running_lab_is_named_and_down_works(
    netlab: Netlab, file: str, text: str | None
) -> None:
    netlab.ok(*UP)
    path = netlab.state / "flannel-vxlan" / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    commands = [("verify",), ("diff",), ("status",), ("exec", "pod-1-1", "--", "true"), UP]
    for command in commands:
        done = netlab.run(*command)
        if file == "containers.json" and text in (None, "{}"):
            assert "(a bug" not in done.err  # no containers are known, and `up` starts them again
            continue
        assert done.code == 4, command
        words = sentence(done.err)
        assert str(path) in words
        assert "`netlab down -l flannel-vxlan`" in words
    assert netlab.ok("down", "-l", "flannel-vxlan") == {"removed": ["flannel-vxlan"]}
    host.assert_nothing_left(netlab.state)


def test_down_all_goes_on_after_a_lab_in_use(netlab: Netlab) -> None:
    for name in ("one", "three", "two"):
        netlab.ok(*UP, "-l", name)
    with in_use(netlab, "one"):
        done = netlab.run("--json", "down", "--all")
    assert done.code == 4
    assert done.json == {"removed": ["three", "two"]}
    assert "'one' is in use" in sentence(done.err)
    assert netlab.ok("status")["lab"] == "one"


def test_a_folder_that_cannot_be_removed_hinders_no_other(netlab: Netlab) -> None:
    for name in ("fixed", "stale"):
        (netlab.state / name).mkdir(parents=True)
    mount = f"mount -t tmpfs none {netlab.state}/fixed && exec $netlab --json "
    for command in ("gc", "down --all"):
        (netlab.state / "stale").mkdir(exist_ok=True)
        done = shell(netlab, mount + command)
        assert done.returncode == 3
        assert json.loads(done.stdout) == {"removed": ["stale"]}
        assert "busy" in sentence(done.stderr)
    assert netlab.ok("gc") == {"removed": ["fixed"]}


@pytest.mark.parametrize(
    "prepare",
    [
        "export NETLAB_STATE=/proc/qq",
        "export NETLAB_STATE=/etc/passwd",
        "mkdir $NETLAB_STATE; mount -t tmpfs -o size=16k none $NETLAB_STATE",
        "mkdir $NETLAB_STATE; mount -t tmpfs -o ro none $NETLAB_STATE",
        "mkdir $NETLAB_STATE; chown 65534 $NETLAB_STATE",
    ],
)
def test_a_state_folder_that_cannot_be_used_is_an_unmet_need(netlab: Netlab, prepare: str) -> None:
    after = "; code=$?; ls $NETLAB_STATE 2>/dev/null | grep -vx $NETLAB_STATE; exit $code"
    done = shell(netlab, f"{prepare}; $netlab up flannel-vxlan{after}")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "set NETLAB_STATE to a folder" in sentence(done.stderr)


def test_the_runtime_folder_of_another_user(netlab: Netlab, tmp_path: Path) -> None:
    """As `su` leaves it: what one may not even look into."""
    packages = world_readable(tmp_path)
    folder = packages / "root"
    folder.mkdir(mode=0o700)
    script = "exec setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 -m netlab "
    for command in ("up flannel-vxlan", "status", "gc", "down --all"):
        done = shell(
            netlab,
            f"unset NETLAB_STATE; cd /; {script} {command}",
            PYTHONPATH=str(packages),
            XDG_RUNTIME_DIR=str(folder),
        )
        assert done.returncode == 3, done.stderr
        assert str(folder) in sentence(done.stderr)
    shutil.rmtree(packages)


@pytest.mark.parametrize(
    ("closed", "output"),
    [("<&-", "out\n"), (">&-", ""), ("2>&-", "out\n"), ("<&- >&- 2>&-", "")],
)
def test_closed_standard_streams(netlab: Netlab, closed: str, output: str) -> None:
    assert shell(netlab, f"$netlab up flannel-vxlan {closed}").returncode == 0
    assert netlab.ok("verify")["ok"]
    pod = shell(netlab, f"$netlab exec pod-1-1 -- sh -c 'echo out; echo err >&2; cat' {closed}")
    assert pod.returncode == 0
    assert pod.stdout == output


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_standard_output(netlab: Netlab, unbuffered: str) -> None:
    for command in ("up flannel-vxlan", "verify", "status --json"):
        done = shell(netlab, f"exec $netlab {command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 1
        assert "No space left" in sentence(done.stderr.splitlines(keepends=True)[-1])
    assert netlab.ok("verify")["ok"]
    assert shell(netlab, "exec $netlab up flannel-vxlan 2>/dev/full").returncode == 0


def test_several_look_at_once(netlab: Netlab) -> None:
    netlab.ok(*UP)
    commands = [netlab.start(command) for command in ("verify", "diff", "verify", "verify", "diff")]
    for process in commands:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (out, err)


def test_nobody_looks_at_a_lab_that_is_being_changed(netlab: Netlab) -> None:
    netlab.ok(*UP)
    with in_use(netlab, "flannel-vxlan"):
        for command in ("verify", "diff"):
            done = netlab.run(command)
            assert done.code == 4
            assert "in use" in sentence(done.err)
        assert netlab.ok("status")["state"] == "running"
        assert netlab.run("exec", "pod-1-1", "--", "true").code == 0


def test_verify_while_up_reshapes_is_never_red(netlab: Netlab) -> None:
    """It waits for nobody: it sees a whole lab, of before or of after, or says it is in use."""
    netlab.ok(*UP)
    for nodes in ("5", "2", "3"):
        with netlab.start(*UP, "--nodes", nodes) as reshape:
            while reshape.poll() is None:
                done = netlab.run("verify")
                assert done.code in (0, 4), done.out
            out, err = reshape.communicate()
        assert reshape.returncode in (0, 4), (out, err)


def test_a_lab_that_is_looked_at_is_not_changed(netlab: Netlab) -> None:
    netlab.ok(*UP)
    with in_use(netlab, "flannel-vxlan", fcntl.LOCK_SH):
        for command in (("down",), UP, ("down", "--all")):
            done = netlab.run(*command)
            assert done.code == 4
            assert "in use" in sentence(done.err)
        assert netlab.ok("verify")["ok"]


def test_a_verify_ends_with_its_lab(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", "--nodes", "8", "--pods-per-node", "12", "--no-verify")
    inode = (netlab.state / "flannel-vxlan").stat().st_ino
    with netlab.start("verify", "--full") as process:
        deadline = time.monotonic() + 10
        while f":{inode} " not in Path("/proc/locks").read_text():
            assert time.monotonic() < deadline
        os.kill(keeper(netlab, "flannel-vxlan"), signal.SIGKILL)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 4
    assert "gone" in sentence(err)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("netlab exec pod-1-1 -c ", ["container-1", "container-2"]),
        ("netlab shell pod-1-1 --container container-2", ["container-2"]),
        ("netlab -l mine exec pod-1-1 -c ", ["container-1", "container-2"]),
        ("netlab exec node-1 -c ", []),
        ("netlab exec -c ", []),
        ("netlab exec pod-3", ["pod-3-1", "pod-3-2"]),
        ("netlab down -l ", ["mine"]),
    ],
)
def test_completion_knows_the_lab(
    lab: Callable[[str], list[str]], words: str, wanted: list[str]
) -> None:
    assert lab(words) == wanted


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Callable[[str], list[str]]:
    shared.ok(*UP, "-l", "mine")

    def complete(words: str) -> list[str]:
        place = len(words.split(" ")) - 1
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(place)}
        done = subprocess.run(
            COMMAND,
            env=shared.environment | variables | {"_NETLAB_COMPLETE": "bash_complete"},
            capture_output=True,
            text=True,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines() if line]

    return complete


def test_a_lab_whose_folder_was_removed_is_found_by_gc(netlab: Netlab) -> None:
    """As a cleaner of /tmp, or a logout that clears the runtime folder, would remove it."""
    netlab.ok("up", "flannel-vxlan", "--no-verify", "-l", "lost")
    netlab.ok("up", "flannel-vxlan", "--no-verify", "-l", "kept")
    shutil.rmtree(netlab.state / "lost")
    assert netlab.ok("gc") == {"removed": ["lost"]}
    assert netlab.ok("status", "-l", "kept")["state"] == "running"
    netlab.ok("down", "-l", "kept")
    host.assert_nothing_left(netlab.state)
