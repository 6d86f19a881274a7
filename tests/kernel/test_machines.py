"""Labs on several machines, as a user has them: built, verified, broken, repaired, taken down.

The machines are network namespaces that a script takes for ssh's; `tests/hosts` has real ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel import host
from tests.kernel.conftest import Netlab, Result
from tests.kernel.machines import UNDERLAY, Machines, Make, machines, prepared
from tests.kernel.test_daemons import until

__all__ = ["machines", "prepared"]
pytestmark = pytest.mark.kernel


@contextlib.contextmanager
def untouched(made: Machines) -> Iterator[None]:
    """The machines' own network is afterwards as before, and no process of netlab's is left."""
    before = [_quiet(made, name) for name in made.names]
    yield
    deadline = time.monotonic() + 5
    found, left = before, made.processes()
    while time.monotonic() < deadline:
        found, left = [_quiet(made, name) for name in made.names], made.processes()
        if found == before and not any(left.values()):
            break
        time.sleep(0.05)
    assert left == {name: [] for name in made.names}
    assert found == before


def _quiet(made: Machines, name: str) -> tuple[str, ...]:
    """What `ip` shows, without what a router's packets teach."""
    return tuple(made.ip(name, "-j", what) for what in ("link", "address", "route", "rule"))


def up(netlab: Netlab, made: Machines, topology: str, *options: str) -> Any:
    return netlab.ok("up", topology, "--inventory", str(made.inventory), *options)


def crossed(document: Any) -> list[Any]:
    return [check for check in document["checks"] if check["crossed"]]


@pytest.mark.parametrize(
    "dataplane", [pytest.param("flannel-host-gw", marks=pytest.mark.long), "flannel-vxlan"]
)
def test_a_lab_over_macvlans(netlab: Netlab, machines: Make, dataplane: str) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        document = up(netlab, made, dataplane)
        assert document["ok"]
        found = crossed(document["verify"])
        assert len(found) > 100
        assert {check["kind"] for check in found} >= {"pod-cross-node", "node-node", "wire", "mtu"}
        status = netlab.ok("status")
        assert status["wire"]["kind"] == "macvlan"
        assert [one["nodes"] for one in status["machines"]] == [["node-1", "node-3"], ["node-2"]]
        uplink = netlab.show("node-2", "ip -d -j link show eth0")[0]
        assert uplink["linkinfo"]["info_kind"] == "macvlan"
        assert netlab.ok("diff")["ok"]
        assert netlab.inside("pod-2-1", "hostname") == "pod-2-1\n"
        plain = netlab.run("exec", "pod-1-1", "--", "hostname")  # without JSON it is netlab there
        assert (plain.code, plain.out) == (0, "pod-1-1\n")
        assert netlab.run("exec", "node-2", "--", "sh", "-c", "exit 7").code == 7
        commands_have_the_caller_s_streams(netlab)
        break_and_repair(netlab, made, dataplane)
        assert netlab.ok("down") == {"removed": [dataplane]}


@pytest.mark.parametrize("dataplane", ["calico-ipip", "cilium-vxlan"])
def test_other_tunnels_over_machines(netlab: Netlab, machines: Make, dataplane: str) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        document = up(netlab, made, dataplane)
        assert document["ok"]
        found = crossed(document["verify"])
        assert {check["kind"] for check in found} >= {"pod-cross-node", "node-node", "wire", "mtu"}
        assert netlab.ok("diff")["ok"]
        netlab.ok("down")


def test_services_over_machines(netlab: Netlab, machines: Make) -> None:
    """Each node's proxy is on its machine; who answers may be on another."""
    made = machines("vm-1", "vm-2")
    with untouched(made):
        document = up(netlab, made, "services")
        assert document["ok"]
        kinds = {check["kind"] for check in document["verify"]["checks"]}
        assert kinds >= {"pod-service", "node-service", "external-service", "hairpin", "negative"}
        assert netlab.ok("diff")["ok"]
        netlab.ok("down")


def commands_have_the_caller_s_streams(netlab: Netlab) -> None:
    """Bytes that are no text, and an input that stays open; with JSON as without."""
    command = [*_command(), "exec", "pod-2-1", "--"]
    environment = netlab.environment
    done = subprocess.run(
        [*command, "cat"], input=b"\xff\n", capture_output=True, env=environment, check=True
    )
    assert done.stdout == b"\xff\n"
    command.insert(-3, "--json")
    reading, writing = os.pipe()
    done = subprocess.run(
        [*command, "sh", "-c", "echo out; echo err >&2; exit 9"],
        stdin=reading,
        capture_output=True,
        timeout=60,
        env=environment,
    )
    os.close(reading), os.close(writing)
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (9, b"")
    assert (document["stdout"], document["stderr"]) == ("out\n", "err\n")
    refused(netlab.run("--json", "exec", "pod-2-1", "--", "nosuch"), 2, "vm-2: There is no program")


def break_and_repair(netlab: Netlab, made: Machines, dataplane: str) -> None:
    """One entry that leads from node-2 to node-1 is lost: found, named, and put back."""
    if dataplane == "flannel-vxlan":
        entries = netlab.show("node-2", "bridge -j fdb show dev flannel.1")
        entry = next(one for one in entries if one["dst"] == "192.168.0.1")
        netlab.inside("node-2", f"bridge fdb del {entry['mac']} dev flannel.1")
        word = f"fdb {entry['mac']} dev flannel.1"
    else:
        netlab.inside("node-2", "ip route del 10.244.0.0/24")
        word = "route 10.244.0.0/24"
    found = json.loads(netlab.run("--json", "diff").out)
    assert [item["namespace"] for item in found["missing"]] == ["node-2"]
    assert found["missing"][0]["object"].startswith(word)
    verified = json.loads(netlab.run("--json", "verify").out)
    failed = [check for check in verified["checks"] if not check["ok"]]
    assert {check["crossed"] for check in failed if check["kind"] != "state"} == {True}
    assert any(check["kind"] == "state" for check in failed)
    again = up(netlab, made, dataplane)
    assert (again["ok"], again["changes"], again["writes"]) == (True, 1, 1)


def test_a_lab_over_a_router_between_three_machines(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2", "vm-3", routed=True)
    with untouched(made):
        document = up(netlab, made, "flannel-host-gw", "--nodes", "4")
        assert document["ok"]
        assert crossed(document["verify"])
        assert netlab.ok("status")["wire"]["kind"] == "vxlan"
        assert netlab.show("node-2", "ip -j link show eth0")[0]["mtu"] == 1450
        sizes = {check["expected"] for check in document["verify"]["checks"]}
        assert "1450 bytes pass whole, 1451 are refused, MTU 1450" in sizes
        assert netlab.ok("diff")["ok"]
        told = netlab.ok("explain", "node-2/eth0")["objects"]
        assert [(one["writer"], one["state"]) for one in told] == [("netlab", "there")]
        netlab.ok("down")


def test_a_machine_that_is_away_and_comes_back(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        up(netlab, made, "flannel-host-gw", "--no-verify")
        made.down("vm-2")
        for words in (("verify",), ("diff",), ("exec", "node-2", "--", "true")):
            refused(
                netlab.run(*words), 3, "The machine vm-2 cannot be used: it refuses connections"
            )
        status = netlab.run("--json", "status")
        assert status.code == 1
        assert [bool(one["problem"]) for one in status.json["machines"]] == [False, True]
        assert netlab.inside("node-1", "hostname")  # the others can be used
        refused(netlab.run("down"), 1, "What the lab 'flannel-host-gw' has on vm-2 remains")
        assert made.processes()["vm-1"] == []
        refused(netlab.run("verify"), 4, "is not whole on its machines")
        made.down("vm-2", down=False)
        netlab.ok("down")


def test_what_fails_on_one_machine_is_undone_on_all(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        other = Netlab(made.state("vm-2"))
        enter = ("nsenter", "--net=/run/netns/vm-2")
        command = [*enter, *_command(), "up", "flannel-host-gw", "--nodes", "1", "--no-verify"]
        subprocess.run(command, env=other.environment, check=True, capture_output=True)
        done = netlab.run("up", "flannel-host-gw", "--inventory", str(made.inventory))
        refused(done, 4, "vm-2: a lab 'flannel-host-gw' runs there that somebody there made")
        assert made.processes()["vm-1"] == []
        assert netlab.run("status").code == 4
        subprocess.run([*enter, *_command(), "down"], env=other.environment, check=True)


def test_an_agent_that_is_killed_costs_that_command_alone(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        up(netlab, made, "flannel-host-gw", "--no-verify")
        # That of the command before may end late.
        until(lambda: not any(map(_is_agent, host.processes(made.state("vm-2")))))
        running = netlab.start("verify", "--full")
        agents = _agents(made, "vm-2")
        running.send_signal(signal.SIGSTOP)  # so that it does not end meanwhile
        for pid in agents:
            os.kill(pid, signal.SIGKILL)
        running.send_signal(signal.SIGCONT)
        out, err = running.communicate(timeout=60)
        assert running.returncode != 0
        assert "vm-2" in out + err
        assert "Traceback" not in err
        assert netlab.ok("verify")["ok"]
        netlab.ok("down")


def test_two_verifications_take_turns(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        up(netlab, made, "flannel-vxlan", "--no-verify")
        running = [netlab.start("--json", "verify") for _ in range(2)]
        for process in running:
            out, err = process.communicate(timeout=120)
            assert json.loads(out)["ok"], err
        netlab.ok("down")


def test_a_machine_s_share_that_is_killed_leaves_nothing_and_is_built_again(
    netlab: Netlab, machines: Make
) -> None:
    """As by the kernel for want of memory: its macvlans go with their namespaces."""
    made = machines("vm-1", "vm-2")
    with untouched(made):
        links = [made.ip(name, "-j", "link") for name in made.names]
        up(netlab, made, "flannel-vxlan", "--no-verify")
        for pid in made.processes()["vm-2"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (found := made.ip("vm-2", "-j", "link")) != links[1]:
            assert time.monotonic() < deadline, found
        refused(netlab.run("verify"), 4, "vm-2")
        assert up(netlab, made, "flannel-vxlan")["verify"]["ok"]
        netlab.ok("down")


def test_ctrl_c_leaves_nothing_anywhere(netlab: Netlab, machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with untouched(made):
        for seconds in (0.3, 1.2, 2.0):
            running = netlab.start("up", "flannel-host-gw", "--inventory", str(made.inventory))
            time.sleep(seconds)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
            assert "Traceback" not in err
            if netlab.state.exists() and list(netlab.state.iterdir()):
                netlab.ok("down", "--all")


def test_bad_input_is_one_sentence_before_anything(
    netlab: Netlab, machines: Make, tmp_path: Path
) -> None:
    made = machines("vm-1", "vm-2")
    on = ("--inventory", str(made.inventory))
    empty, broken = tmp_path / "empty.ini", tmp_path / "broken.yml"
    empty.write_text("[all]\n")
    broken.write_text("all: {hosts: [")
    topology = tmp_path / "hosts.py"
    topology.write_text(
        "from netlab import Cluster, Node\n"
        'topology = Cluster(nodes=[Node(host="vm-9"), Node()], dataplane="flannel-host-gw")\n'
    )
    with untouched(made):
        for words, code, sentence in (
            (("flannel-host-gw", "--inventory", "/nowhere"), 2, "There is no inventory"),
            (("flannel-host-gw", "--inventory", str(empty)), 2, "has no machine"),
            (("flannel-host-gw", "--inventory", str(broken)), 2, "cannot be read"),
            (("flannel-host-gw", *on, "--underlay-device", "eth7"), 2, "vm-1 has no interface"),
            (("flannel-host-gw", "--underlay-device", "eth1"), 2, "without --inventory"),
            ((str(topology), *on), 2, "vm-9"),
            ((str(topology),), 2, "say with --inventory where that is"),
            (("flannel-host-gw", *on, "--set", "underlay_mtu=9000"), 2, "carries 1500 bytes"),
            (("flannel-host-gw", *on, "--rebuild", "node-1"), 2, "--rebuild has no effect"),
        ):
            refused(netlab.run("up", *words), code, sentence)
        with unplugged(made, "vm-2"):
            done = netlab.run("up", "flannel-host-gw", *on)
            refused(done, 3, "vm-2: The interface eth1 has no carrier")
        made.down("vm-1")
        made.down("vm-2")
        done = netlab.run("up", "flannel-host-gw", *on)
        refused(done, 3, "vm-1 cannot be used")
        assert "vm-2 cannot be used" in done.err
    assert not netlab.state.exists() or not list(netlab.state.iterdir())


@contextlib.contextmanager
def unplugged(made: Machines, name: str) -> Iterator[None]:
    """A machine whose interface is down, and has no carrier when it is up."""
    subprocess.run(["ip", "-n", UNDERLAY, "link", "set", name, "down"], check=True)
    made.ip(name, "link", "set", "eth1", "down")
    yield
    assert "DOWN" in made.ip(name, "link", "show", "eth1").split("state")[1]
    subprocess.run(["ip", "-n", UNDERLAY, "link", "set", name, "up"], check=True)
    made.ip(name, "link", "set", "eth1", "up")


def test_interfaces_are_up_for_as_long_as_a_lab_is_on_them(netlab: Netlab, machines: Make) -> None:
    """As Vagrant leaves those that it gives no address; `plan` only looks."""
    made = machines("vm-1", "vm-2")
    for name in made.names:
        made.ip(name, "link", "set", "eth1", "down")
    # As one that was never up.
    qdisc = "tc qdisc add dev eth1 root handle 1: pfifo; tc qdisc del dev eth1 root"
    subprocess.run(["ip", "netns", "exec", "vm-2", "sh", "-ec", qdisc], check=True)
    assert "qdisc noop" in made.ip("vm-2", "link", "show", "eth1")
    assert "qdisc noqueue" in made.ip("vm-1", "link", "show", "eth1")
    with untouched(made):
        on = ("--inventory", str(made.inventory))
        assert netlab.ok("plan", "flannel-host-gw", *on)["wire"]["kind"] == "macvlan"
        assert [is_up(made, name) for name in made.names] == [False, False]
        assert up(netlab, made, "flannel-host-gw")["verify"]["ok"]
        refused(netlab.run("up", "flannel-host-gw", *on, "-l", "two"), 4, "with the same MAC")
        assert [is_up(made, name) for name in made.names] == [True, True]
        netlab.ok("down")


def is_up(made: Machines, name: str) -> bool:
    return "UP" in json.loads(made.ip(name, "-j", "link", "show", "eth1"))[0]["flags"]


def refused(result: Result, code: int, sentence: str) -> None:
    assert (result.code, result.err.count("\n")) == (code, 1), result.err
    assert sentence in result.err


def _command() -> list[str]:
    from tests.kernel.conftest import COMMAND

    return list(COMMAND)


def _agents(made: Machines, name: str, within: float = 10.0) -> list[int]:
    """The agents on a machine, once there are any."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = [pid for pid in host.processes(made.state(name)) if _is_agent(pid)]
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no agent came to {name}")


def _is_agent(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"netlab.hosts.agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
