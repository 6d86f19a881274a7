"""A node's daemon: its folder, its files, its log; seen, awaited, started again, and cleared up."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import host
from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox

HELLO = str(Path(__file__).parent / "labs" / "hello.py")
ROUTE = "10.99.0.0/24"


@pytest.fixture(scope="module")
def running(shared: Netlab) -> Netlab:
    return shared


@pytest.fixture
def lab(running: Netlab) -> Netlab:
    """A whole lab, whatever the test before left of it."""
    assert running.ok("up", HELLO, "--no-verify")["ok"]
    return running


def daemon(netlab: Netlab, node: str = "node-1") -> Any:
    """What status says of a node's daemon, whatever the lab's health."""
    document = netlab.run("--json", "status").json
    return next(entry for entry in document["daemons"] if entry["node"] == node)


def until(what: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def folder(netlab: Netlab, node: str = "node-1") -> Path:
    return netlab.state / "hello" / "daemons" / node / "hello"


def supervisor(netlab: Netlab) -> int:
    """The process that started the daemon of node-1, in the sandbox."""
    text = sandbox(netlab, f"cat /proc/{daemon(netlab)['pid']}/stat")
    return int(text.rpartition(")")[2].split()[1])


def test_up_waits_for_it_and_status_shows_it(lab: Netlab) -> None:
    found = daemon(lab)
    assert (found["running"], found["ready"], found["restarts"]) == (True, True, 0)
    status = lab.ok("status")
    assert status["health"]["ok"]
    assert lab.ok("verify")["ok"]
    assert "hello" in lab.run("status").out


def test_it_runs_in_its_node_and_exec_enters_the_node(lab: Netlab) -> None:
    pid = daemon(lab)["pid"]
    own, init, node = sandbox(
        lab, f"readlink /proc/{pid}/ns/net /proc/{pid}/ns/pid; stat -Lc %i /run/netns/node-1"
    ).split()
    assert own == f"net:[{node}]"
    assert init == sandbox(lab, "readlink /proc/1/ns/pid").strip()
    inside = lab.inside("node-1", "hostname; readlink /proc/self/ns/pid; ls /sys/class/net")
    assert inside.split()[:2] == ["node-1", init]
    assert "cni0" in inside.split()
    assert ":5353" in lab.inside("node-1", "ss -uln")


def test_its_files_are_in_a_private_folder_that_goes_with_the_lab(netlab: Netlab) -> None:
    netlab.ok("up", HELLO, "--no-verify")
    place, called = folder(netlab), "/run/lab/daemons/node-1/hello"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert (place / "secret").read_text() == f"{called} of node-1\n"
    assert stat.S_IMODE((place / "secret").stat().st_mode) == 0o600
    assert netlab.run("logs", "node-1").out == f"hello {place}\n"
    netlab.ok("down")
    assert not place.exists()
    host.assert_nothing_left(netlab.state)


def test_what_it_owns_is_shown_and_never_touched(lab: Netlab) -> None:
    document = lab.ok("diff")
    foreign = {
        (entry["namespace"], entry["owner"], entry["have"]["destination"])
        for entry in document["foreign"]
    }
    assert foreign == {
        (node, "hello", route) for node in ("node-1", "node-2") for route in (ROUTE, "10.98.0.0/24")
    }
    assert "hello" in lab.run("diff").out
    assert lab.ok("up", HELLO, "--no-verify")["writes"] == 0
    assert ROUTE in lab.inside("node-1", "ip route show proto bgp")
    lab.inside("node-1", "ip route add 10.97.0.0/24 dev eth0 proto static")
    unexpected = lab.run("--json", "diff").json["unexpected"]
    lab.inside("node-1", "ip route del 10.97.0.0/24")
    assert [entry["have"]["destination"] for entry in unexpected] == ["10.97.0.0/24"]


def test_what_it_must_bring_is_missed(lab: Netlab) -> None:
    lab.inside("node-2", f"ip route del {ROUTE}")
    missing = lab.run("--json", "diff").json["missing"]
    assert [(entry["namespace"], entry["owner"]) for entry in missing] == [("node-2", "hello")]
    lab.ok("up", HELLO, "--no-verify", "--set", "dataplane.pause=0.1")  # a new one brings it
    assert lab.ok("diff")["ok"]


def test_one_that_is_killed_is_started_again_and_told(lab: Netlab) -> None:
    lab.ok("up", HELLO, "--no-verify", "--set", "dataplane.backoff=5")
    before = lab.run("logs", "node-1").out.count("hello /")
    old = daemon(lab)
    sandbox(lab, f"kill -9 {old['pid']}")
    diff, verify, status = (lab.run("--json", what) for what in ("diff", "verify", "status"))
    assert [diff.code, verify.code, status.code] == [1, 0, 0], "verify waits until it is there"
    assert "daemon hello" in str(diff.json["missing"])
    new = daemon(lab)
    assert new["ready"]
    assert new["restarts"] == 1
    assert new["pid"] != old["pid"]
    log = lab.run("logs", "node-1", "hello").out
    assert log.count("hello /") == before + 1
    assert "netlab: hello was ended by signal 9 after " in log
    # What it had started itself went before: one child of each daemon is there.
    assert sandbox(lab, "pgrep -fc bin/hello.py").strip() == "4"


def test_status_tells_of_one_that_is_down(lab: Netlab) -> None:
    lab.ok("up", HELLO, "--no-verify", "--set", "dataplane.backoff=5")
    sandbox(lab, f"kill -9 {daemon(lab)['pid']}")
    status = lab.run("--json", "status")
    assert status.code == 1
    assert status.json["health"]["daemons_down"] == ["node-1/hello"]
    assert "down: node-1/hello" in lab.run("status").out


def test_it_is_started_again_ever_later_and_up_does_it_at_once(lab: Netlab) -> None:
    log = lab.state / "hello" / "logs" / "node-1.hello.log"
    begin = log.stat().st_size

    def told() -> list[str]:
        return re.findall(r"is started again in (\S+) s", log.read_text()[begin:])

    for ended in range(4):
        until(lambda: daemon(lab)["running"])
        assert daemon(lab)["restarts"] == ended
        sandbox(lab, f"kill -9 {daemon(lab)['pid']}")
        until(lambda number=ended: len(told()) > number)
    assert told() == ["0.5", "1", "2", "4"]
    assert lab.ok("up", HELLO, "--no-verify")["changes"] == 1
    assert daemon(lab) | {"pid": 0} == {
        "node": "node-1",
        "name": "hello",
        "running": True,
        "ready": True,
        "restarts": 0,
        "pid": 0,
        "lacks": "",
    }


def test_one_that_a_signal_stopped_counts_as_down(lab: Netlab) -> None:
    sandbox(lab, f"kill -STOP {daemon(lab)['pid']}")
    assert not daemon(lab)["running"]
    assert lab.ok("up", HELLO)["ok"]
    assert daemon(lab)["ready"]


@pytest.mark.parametrize("how", ["KILL", "STOP"])
def test_a_supervisor_that_is_gone_is_seen_and_repaired(lab: Netlab, how: str) -> None:
    sandbox(lab, f"kill -{how} {supervisor(lab)}")
    time.sleep(0.1)
    assert lab.run("status").code == 1
    found = lab.run("--json", "diff")
    assert str(found.json["missing"]).count("daemon hello") == 2
    assert lab.ok("up", HELLO)["ok"]
    assert sandbox(lab, "pgrep -fc supervisor.py").strip() == "1"
    assert sandbox(lab, "pgrep -fc bin/hello.py").strip() == "4"


def test_one_that_is_not_ready_in_time_is_told(netlab: Netlab) -> None:
    slow = ("--set", "dataplane.pause=60", "--set", "dataplane.patience=1")
    done = netlab.run("--json", "up", HELLO, *slow)
    assert done.code == 1
    late = [check for check in done.json["verify"]["checks"] if "ready within" in check["expected"]]
    assert [check["observed"] for check in late] == ["UDP port 5353 is not bound"] * 2
    done = netlab.run("up", HELLO, *slow, "--no-verify")
    assert done.code == 1
    assert "the daemon hello of node-2 is not ready after 1 s: UDP port 5353" in done.err


def test_a_slow_one_is_waited_for(netlab: Netlab) -> None:
    document = netlab.ok("up", HELLO, "--set", "dataplane.pause=1.5")
    assert document["verify"]["ok"]


def test_a_changed_daemon_is_started_anew_and_one_no_longer_wanted_ends(lab: Netlab) -> None:
    before = daemon(lab)["pid"]
    (folder(lab) / "left").touch()
    assert lab.ok("up", HELLO, "--set", "dataplane.pause=0.2")["changes"] == 2
    assert daemon(lab)["pid"] != before
    assert not (folder(lab) / "left").exists()
    lab.ok("up", HELLO, "--nodes", "1", "--set", "dataplane.pause=0.2")
    assert not folder(lab, "node-2").exists()
    assert sandbox(lab, "pgrep -fc bin/hello.py").strip() == "2"


def test_logs_of_what_is_not_there(lab: Netlab) -> None:
    for arguments, words in (
        (("node-3",), "node-1"),
        (("node-1", "helo"), "did you mean hello?"),
        (("pod-1-1",), "has no container"),
        (("pod-1-1", "server"), "container of pod-1-1"),
    ):
        done = lab.run("logs", *arguments)
        assert done.code == 2
        assert words in done.err
        assert len(done.err.splitlines()) == 1


def test_logs_of_several_daemons_and_of_a_container(
    netlab: Netlab, topology: Callable[[str], str]
) -> None:
    path = topology(
        "from dataclasses import dataclass\n"
        "from netlab.plan.processes import Daemon\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Two(flannel.HostGw):\n"
        "    name = 'two'\n"
        "    def node(self, layout, node):\n"
        "        yield from flannel.HostGw.node(self, layout, node)\n"
        "        for name in ('one', 'two'):\n"
        "            yield Daemon(name=name, command=('sh', '-c', f'echo {name}; exec sleep 99'))\n"
        "say = Container('say', ('sh', '-c', 'echo hi; exec sleep 99'))\n"
        "topology = Cluster(nodes=[Node(pods=[Pod('web', (say,))])], dataplane=Two())"
    )
    netlab.ok("up", path, "--no-verify")
    done = netlab.run("logs", "node-1")
    assert done.code == 2
    assert "say which: one, two" in done.err
    until(lambda: netlab.run("logs", "node-1", "two").out == "two\n")
    assert netlab.ok("logs", "web") == {"target": "web", "process": None, "log": "hi\n"}


def test_a_program_that_lacks_is_an_unmet_need(
    netlab: Netlab, topology: Callable[[str], str]
) -> None:
    path = topology(
        "from dataclasses import dataclass\n"
        "from netlab.plan.processes import Daemon\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Needy(flannel.HostGw):\n"
        "    name = 'needy'\n"
        "    def node(self, layout, node):\n"
        "        yield Daemon(name='d', command=('nowhere',),\n"
        "                     needs=(('nowhere', 'install the package elsewhere'),))\n"
        "topology = Cluster(nodes=1, dataplane=Needy())"
    )
    done = netlab.run("up", path)
    assert done.code == 3
    assert done.err == (
        "netlab: The program 'nowhere' of daemon d in node-1 is not on this machine; install the "
        "package elsewhere.\n"
    )
    host.assert_nothing_left(netlab.state)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"node-1": {"hello": 1}}'])
def test_a_spoilt_list_of_daemons_is_named(lab: Netlab, text: str) -> None:
    path = lab.state / "hello" / "daemons.json"
    whole = path.read_text()
    path.write_text(text)
    for command in (("verify",), ("diff",), ("status",), ("up", HELLO)):
        done = lab.run(*command)
        assert done.code == 4
        assert str(path) in done.err
        assert len(done.err.splitlines()) == 1
    path.write_text(whole)


def test_daemons_end_with_the_keeper(netlab: Netlab) -> None:
    """And so does whatever they started."""
    lab = netlab
    lab.ok("up", HELLO, "--no-verify")
    keeper = json.loads((lab.state / "hello" / "keeper.json").read_text())["pid"]
    assert len(host.processes(lab.state)) > 6  # keeper, supervisor, two daemons with a child each
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not host.processes(lab.state))
    lab.ok("gc")
    host.assert_nothing_left(lab.state)
