"""The pytest plugin as its users have it: projects of their own, run by the real pytest."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kernel import host
from tests.kernel.conftest import REPOSITORY, Netlab

pytest_plugins = ["pytester"]

WAYS = """
import pytest
from netlab import Cluster, flannel

mark = pytest.mark.netlab
VXLAN = dict(topology="flannel-vxlan", nodes=2)

@mark("flannel-vxlan", nodes=2)
def test_ways(lab):
    client = lab.pod("pod-1-1")
    assert client.reaches("pod-2-1", port=8080).via("vxlan").seen_as("10.244.0.2")
    assert client.reaches("pod-2-1", port=8080, protocol="udp").via("vxlan")
    assert client.reaches("pod-2-1", port=8080, protocol="http", source="10.244.0.2", timeout=2)
    assert client.reaches("pod-2-1").mtu(1450)
    assert client.reaches("node-1").via("none")
    assert client.not_reaches("10.244.9.9", timeout=0.2)
    assert not client.not_reaches("pod-2-1", timeout=0.2)
    assert not client.reaches("pod-2-1").via("direct")
    assert not client.reaches("pod-2-1").mtu(1400)
    assert not client.reaches("pod-2-1", port=8080).seen_as("10.244.0.3")

@mark("flannel-vxlan", nodes=2, scope="module")
@pytest.mark.parametrize("number", [1, 2])
def test_a_shared_lab_is_put_back(lab, number):
    assert lab.diff().ok
    assert lab.pod("pod-1-1").reaches("pod-2-1")
    lab.node("node-1").run("ip", "route", "del", "10.244.1.0/24")

@mark("flannel-vxlan", nodes=2)
def test_a_shared_lab_that_is_gone_is_made_anew(lab_module, lab_session):
    assert lab_module.name != lab_session.name
    lab_module.down()

@mark("flannel-vxlan", nodes=2)
def test_after_it(lab_module):
    assert lab_module.diff().ok

def test_several(lab_factory):
    one, two = lab_factory(Cluster(nodes=2, dataplane=flannel.HostGw())), lab_factory(**VXLAN)
    assert one.pod("pod-1-1").reaches("pod-2-1").via("direct")
    assert two.pod("pod-1-1").reaches("pod-2-1").via("vxlan")
"""
STRANGER = """
import pytest

@pytest.fixture
def lab():
    return 3

def test_its_own_fixture(lab):
    assert lab == 3
"""
FAILING = (
    """
import pytest

pytestmark = pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)

def test_route(lab):
    lab.node("node-1").run("ip", "route", "del", "10.244.1.0/24")
    assert lab.pod("pod-1-1").reaches("pod-2-1", timeout=0.2)

def test_error(lab_module):
    assert lab_module.pod("pod-1-1").reaches("10.9.9.9")

def test_way(lab_module):
    assert lab_module.pod("pod-1-1").reaches("pod-2-1").via("direct")

def test_fdb(lab_module):
    lab_module.node("node-1").run("sh", "-c", FLUSH)
    assert lab_module.pod("pod-1-1").reaches("pod-2-1", port=8080, timeout=0.2)

FLUSH = """
    + repr(
        "bridge fdb | grep 'flannel.1 dst' | "
        "while read mac _; do bridge fdb del $mac dev flannel.1; done"
    )
    + """
"""
)
BAD = """
import pytest

@pytest.mark.netlab
def test_bare(lab): pass
@pytest.mark.netlab("flannel-vxlam")
def test_topology(lab): pass
@pytest.mark.netlab("flannel-vxlan", nodez=2)
def test_option(lab): pass
@pytest.mark.netlab(5)
def test_type(lab): pass
@pytest.mark.netlab("flannel-vxlan", scope="modul")
def test_scope(lab): pass
def test_unmarked(lab): pass
@pytest.mark.netlab("flannel-vxlan", force="no")
def test_force(lab): pass
"""
ENDING = """
import os
import signal
import pytest

@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)
def test_it(lab):
    os.kill(os.getpid(), signal.{signal})

def test_other():
    pass
"""
ONE = """
import pytest

@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)
def test_it(lab):
    assert not lab.pod("pod-1-1").reaches("pod-2-1")
"""
LACKING = """
from netlab.kernel import capabilities

capabilities.missing = lambda names: {"bridge": "load it"} if "bridge" in names else {}
"""
NEEDING = """
import pytest

@pytest.mark.netlab("flannel-vxlan", nodes=2)
def test_it(lab): pass
"""


@pytest.fixture(autouse=True)
def project(netlab: Netlab, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's project, whose labs have the test's state folder."""
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def run(pytester: pytest.Pytester, *options: str, **files: str) -> pytest.RunResult:
    pytester.makepyfile(**files)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def labs(netlab: Netlab) -> list[str]:
    return [path.name for path in netlab.state.iterdir()] if netlab.state.exists() else []


def test_ways_and_scopes(pytester: pytest.Pytester, netlab: Netlab) -> None:
    found = run(pytester, "-n2", "--netlab-strict", test_ways=WAYS, test_stranger=STRANGER)
    found.assert_outcomes(passed=7)
    assert labs(netlab) == []


def test_a_failure_says_where_the_packet_was_last_and_what_differs(
    pytester: pytest.Pytester, netlab: Netlab
) -> None:
    options = ("--netlab-artifacts=kept", "--junitxml=report.xml")
    found = run(pytester, *options, test_failing=FAILING)
    found.assert_outcomes(failed=4)
    found.stdout.fnmatch_lines(
        [
            "E *assert <pod-1-1 does not reach pod-2-1 (10.244.1.2) by ICMP: no reply in 0.2 s>",
            "E *sent:      ICMP echo 10.244.0.2 > 10.244.1.2",
            "E *last seen: router/eth0, received, 10.244.0.2 > 10.244.1.2",
            "E *the kernel differs from the plan:",
            "E *missing    node-1: route 10.244.1.0/24 via *",
            "E *by ICMP: network unreachable (ICMP from 192.168.0.254)",
            "E *last seen: router/eth0, received, 192.168.0.1 > 10.9.9.9",
            "E *via vxlan, not direct*",
            "E *compared:  the kernel equals the plan",
            "E *last seen: node-1/flannel.1, sent, 10.244.0.2 > 10.244.1.2",
            "E *missing    node-1: fdb * dev flannel.1 dst *",
        ]
    )
    assert "netlab/reaching" not in found.stdout.str()
    folder = pytester.path / "kept" / "test_failing.py-test_route"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"capture.pcapng", "verify.json", "diff.json", "status.json"}
    assert len(json.loads((folder / "diff.json").read_text())["missing"]) == 1
    assert not json.loads((folder / "verify.json").read_text())["ok"]
    assert b"router/eth0" in (folder / "capture.pcapng").read_bytes()
    properties = ElementTree.parse(pytester.path / "report.xml").iter("property")
    values = [one.attrib["value"] for one in properties if one.attrib["name"] == "netlab-artifacts"]
    assert str(folder) in values
    assert len(values) == 4
    assert labs(netlab) == []


def test_a_mark_that_cannot_be_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    found = run(pytester, test_bad=BAD)
    found.assert_outcomes(errors=7)
    found.stdout.fnmatch_lines(
        [
            "test_bad.py:3: The mark `netlab` has no topology; name one, as in *",
            "test_bad.py:5: There is no topology 'flannel-vxlam'; did you mean flannel-vxlan*",
            "test_bad.py:7: There is no option 'nodez'; did you mean nodes *",
            "test_bad.py:9: 5 is no topology; give a name, a path or a Cluster.",
            "test_bad.py:11: There is no scope 'modul'; did you mean module?",
            "test_bad.py:13: The test uses a lab and has no mark `netlab` with a topology; *",
            "test_bad.py:14: `force` is 'no'; give True or False.",
        ]
    )


def test_what_interrupts_leaves_nothing(pytester: pytest.Pytester, netlab: Netlab) -> None:
    found = run(pytester, test_end=ENDING.format(signal="SIGINT"))
    assert found.ret == pytest.ExitCode.INTERRUPTED
    host.assert_nothing_left(netlab.state)


def test_a_killed_worker_leaves_nothing(pytester: pytest.Pytester, netlab: Netlab) -> None:
    found = run(pytester, "-n2", test_end=ENDING.format(signal="SIGKILL"))
    found.assert_outcomes(passed=1, failed=1)
    assert labs(netlab) == []
    assert host.processes(netlab.state) == []


def test_a_killed_run_leaves_a_folder_that_the_next_one_removes(
    pytester: pytest.Pytester, netlab: Netlab
) -> None:
    found = run(pytester, test_end=ENDING.format(signal="SIGKILL"))
    assert found.ret == -9
    (left,) = labs(netlab)
    found = run(pytester, "test_one.py", "--netlab-keep", test_one=ONE)
    found.assert_outcomes(failed=1)
    (kept,) = labs(netlab)
    assert kept != left
    said = re.search(rf"enter it with:   (.* -l {kept})$", found.stdout.str(), re.MULTILINE)
    assert said
    words = [word for word in shlex.split(said[1]) if word not in ("netlab", "shell")]
    assert words == [f"NETLAB_STATE={netlab.state}", "-l", kept]
    shell = netlab.run("shell", "node-1", "-l", kept, stdin="cat /etc/hostname; hostname\n")
    assert "node-1" in shell.out, shell.err
    assert netlab.run("down", "-l", kept).code == 0


def test_the_debugger_has_the_lab(pytester: pytest.Pytester, netlab: Netlab) -> None:
    pytester.makepyfile(test_one=ONE)
    command = [sys.executable, "-m", "pytest", "-x", "--pdb", "-p", "no:cacheprovider"]
    asked = "p 'from here', bool(lab.pod('pod-1-1').reaches('pod-2-1'))\nq\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=60)
    assert "('from here', True)" in done.stdout
    assert labs(netlab) == []


def test_what_the_kernel_lacks_skips_or_fails(pytester: pytest.Pytester) -> None:
    files = {"conftest": LACKING, "test_it": NEEDING}
    found = run(pytester, "-rs", **files)
    found.assert_outcomes(skipped=1)
    found.stdout.fnmatch_lines(["SKIPPED * needs bridge: load it"])
    run(pytester, "--netlab-strict", **files).assert_outcomes(errors=1)


def test_without_namespaces_a_test_is_skipped_with_the_remedy(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(test_one=ONE)
    script = 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"'
    inside = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", str(Path(file))]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "needs root or user namespaces: " in done.stdout
    assert "max_net_namespaces" in done.stdout
