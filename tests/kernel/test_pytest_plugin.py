"""The pytest plugin, in runs of pytest as its users start them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

import pytest
from scapy.utils import PcapNgReader

from tests.kernel import host
from tests.kernel.conftest import REPOSITORY, Netlab, warm

Run = Callable[..., pytest.RunResult]
SMALL = 'pytestmark = pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=1)\n'
CUT = 'lab.node("node-1").run("ip", "route", "del", "10.244.1.0/24")'


@pytest.fixture
def run(pytester: pytest.Pytester, netlab: Netlab, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the tests of files, by their names; nothing of a lab is left afterwards."""
    warm()  # it would else begin with this test's state folder, as a process of a lab does
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def run(*options: str, **files: str) -> pytest.RunResult:
        for name, text in files.items():
            (pytester.path / f"{name}.py").write_text("import pytest\n" + dedent(text))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return run


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A run that goes on, as one at a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_file(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_example_of_the_readme(run: Run, netlab: Netlab) -> None:
    chapter = (REPOSITORY / "README.md").read_text().split("\n## In your tests\n")[1]
    run("-v", test_it=chapter.split("```python\n")[1].split("```")[0]).assert_outcomes(passed=2)
    host.assert_nothing_left(netlab.state)


def test_what_can_be_asked(run: Run) -> None:
    """Also from the second process of pytest-xdist, and beside a stranger's fixture `lab`."""
    asked = """
    @pytest.mark.netlab("services", scope="module")
    def test_ways(lab):
        pod = lab.pod("pod-1-1")
        assert pod.reaches("pod-2-1").via("vxlan").seen_as("10.244.0.2").mtu(1450)
        assert pod.reaches("pod-1-2").via("none").mtu(1450)
        assert pod.reaches("node-1").via("none")
        assert pod.reaches("external").via("direct").seen_as("192.168.0.1")
        assert lab.node("node-1").reaches("node-2", source="192.168.0.1").mtu(1500)
        assert not pod.reaches("pod-2-1").mtu(1400)
        assert not pod.reaches("pod-2-1").via("direct")
        assert not pod.reaches("pod-2-1").seen_as("192.168.0.1")

    @pytest.mark.netlab("services", scope="module")
    def test_protocols(lab):
        pod, external = lab.pod("pod-1-1"), lab.target("external")
        for port, protocol in ((8080, None), (8080, "udp"), (8081, "http"), (8080, "tcp")):
            assert pod.reaches("pod-2-1", port=port, protocol=protocol).seen_as("10.244.0.2")
        assert pod.reaches("web", port=80, protocol="http")
        assert external.reaches("node-2", port=30080, protocol="http")
        assert pod.not_reaches("pod-2-1", port=9)
        assert pod.not_reaches("10.244.9.9", timeout=0.2)
        assert not pod.not_reaches(lab.pod("pod-2-1"))
        for wrong, words in (
            (dict(target="pod-2-1", port=0), "`port` is 0"),
            (dict(target="pod-2-1", protocol="udp"), "as 8080"),
            (dict(target="pod-2-1", protocol="sctp", port=1), "protocol 'sctp'"),
            (dict(target="pod-2-1", timeout=0), "`timeout` is 0"),
            (dict(target="pod-2-1", source="x"), "`source` is"),
            (dict(target="pod-2-9"), "no target 'pod-2-9'; did you mean"),
            (dict(target="web"), "ports alone"),
            (dict(target="pods", port=1), "headless"),
        ):
            with pytest.raises(Exception, match=words):
                pod.reaches(**wrong)
        with pytest.raises(Exception, match="no carrier 'vxlam'"):
            pod.reaches("pod-2-1").via("vxlam")
    """
    own = """
    @pytest.fixture
    def lab():
        return "mine"

    def test_it(lab):
        assert lab == "mine"
    """
    run("-n", "2", test_asked=asked, test_own=own).assert_outcomes(passed=3)


def test_a_failure_explains_itself(run: Run) -> None:
    broken = f"""{SMALL}
def test_reach(lab):
    {CUT}
    assert lab.pod("pod-1-1").reaches("pod-2-1", port=8080, timeout=0.3)

def test_diff(lab):
    {CUT}
    assert lab.diff().ok

def test_error(lab):
    lab.node("node-9")
"""
    result = run(test_broken=broken)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E * <pod-1-1 does not reach pod-2-1 (10.244.1.2) at port 8080 by TCP: no answer, *",
            "E *sent:      TCP SYN 10.244.0.2 > 10.244.1.2 port 8080",
            "E *last seen: router/eth0, received, 10.244.0.2 > 10.244.1.2",
            "E *answer:    seen nowhere",
            "E *missing    node-1: route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
            "E *False = <Diff: 1 missing>.ok",
            "E *missing    node-1: route 10.244.1.0/24 *",
            "E *There is no node 'node-9'; did you mean node-2 or node-1[?]",
        ]
    )
    result.stdout.no_fnmatch_line("*netlab/reaching*")


def test_what_is_known_of_a_failure_is_kept_and_its_lab_too(
    run: Run, netlab: Netlab, pytester: pytest.Pytester
) -> None:
    broken = f"""{SMALL}
def test_it(lab):
    lab.node("node-1").run("ip", "link", "add", "mine", "type", "bridge")
    assert lab.pod("pod-1-1").reaches("pod-2-1").mtu(1500)
"""
    options = ("--netlab-artifacts", "kept", "--netlab-keep", "--junitxml", "junit.xml")
    result = run(*options, test_broken=broken)
    result.assert_outcomes(failed=1)
    folder = pytester.path / "kept" / "test_broken.py-test_it"
    names = {path.name for path in folder.iterdir()}
    assert names == {"capture.pcapng", "diff.json", "status.json", "verify.json"}
    assert "mine" in (folder / "diff.json").read_text()
    with PcapNgReader(str(folder / "capture.pcapng")) as frames:
        assert {"pod-1-1/eth0", "node-1/flannel.1"} <= {one.sniffed_on for one in frames}
    case = next(ElementTree.parse(pytester.path / "junit.xml").iter("testcase"))
    told = {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}
    assert told == {"netlab-artifacts": str(folder)}
    (name,) = re.findall(r"enter it with:   \S+ netlab shell -l (\S+)", result.stdout.str())
    assert netlab.run("exec", "-l", name, "pod-1-1", "--", "hostname").out == "pod-1-1\n"
    (down,) = re.findall(r"take it down with:   \S+ netlab (.*)", result.stdout.str())
    netlab.ok(*shlex.split(down))
    host.assert_nothing_left(netlab.state)


def test_a_wrong_mark_is_one_sentence_at_its_test(run: Run) -> None:
    marks = {
        "nothing": ("", "The mark `netlab` has no topology; name one"),
        "unknown": ('"flannel-vxlam"', "no topology 'flannel-vxlam'; did you mean flannel-vxlan"),
        "option": ('"flannel-vxlan", nods=2', "nods"),
        "scope": ('"flannel-vxlan", scope="all"', "no scope 'all'"),
        "value": ("7", "7 is no topology; give a name, a path or a Cluster"),
        "file": ('"./mine.py"', "mine.py"),
    }
    text = "@pytest.mark.netlab({})\ndef test_it(lab): pass\n"
    files = {f"test_{name}": text.format(mark) for name, (mark, _) in marks.items()}
    files["test_unmarked"] = "def test_it(lab): pass\n"
    result = run("--continue-on-collection-errors", **files, test_fine="def test_it(): pass\n")
    result.assert_outcomes(errors=7, passed=1)
    said = result.stdout.str()
    for name, (_, words) in marks.items():
        line = next(one for one in said.splitlines() if one.startswith(f"test_{name}.py:2: "))
        assert words in line
        assert line.endswith((".", "?"))
    assert "test_unmarked.py:2: The test uses a lab and has no mark `netlab`" in said
    assert "Traceback" not in said


def test_what_the_host_lacks_skips_or_fails(run: Run) -> None:
    text = f"""{SMALL}
from netlab.kernel import capabilities
capabilities._TESTS["vxlan"] = lambda: False

def test_it(lab): pass
"""
    result = run("-rs", test_it=text)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * needs vxlan: *kernel module vxlan*"])
    result = run("--netlab-strict")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["needs vxlan: *"])


def test_who_may_not_have_namespaces_is_told_what_to_do(
    run: Run, pytester: pytest.Pytester, netlab: Netlab
) -> None:
    pytester.makepyfile(test_it=f"import pytest\n{SMALL}\ndef test_it(lab): pass\n")
    limit = 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
    pytest_ = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs"]
    done = subprocess.run(command + pytest_, cwd=pytester.path, capture_output=True, text=True)
    assert "1 skipped" in done.stdout, done.stdout
    assert "user.max_net_namespaces is 0" in done.stdout
    assert "raise it" in done.stdout


def test_a_shared_lab_is_put_back_and_several_can_be_had(run: Run) -> None:
    text = f"""{SMALL}
def test_break(lab_session):
    lab = lab_session
    lab.node("node-1").run("ip", "link", "delete", "flannel.1")
    assert not lab.pod("pod-1-1").reaches("pod-2-1", timeout=0.2)

def test_it_is_back(lab_session, request):
    assert lab_session.diff().ok
    assert lab_session.pod("pod-1-1").reaches("pod-2-1").via("vxlan")
    lab_session.down()

def test_one_that_was_taken_down_is_made_anew(lab_session):
    assert lab_session.diff().ok

def test_several(lab_factory, tmp_path):
    from netlab import Cluster, flannel
    first = lab_factory(Cluster(nodes=1, pods_per_node=1, dataplane=flannel.HostGw()))
    second = lab_factory("flannel-vxlan", nodes=1, pods_per_node=2)
    assert first.name != second.name
    assert second.pod("pod-1-1").reaches("pod-1-2")
    with pytest.raises(Exception, match="no topology 'x'"):
        lab_factory("x")
"""
    run(test_it=text).assert_outcomes(passed=4)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_no_lab(
    run: Run, pytester: pytest.Pytester, netlab: Netlab, end: signal.Signals
) -> None:
    waits = f"""import pytest, time
{SMALL}
def test_it(lab):
    open("begun", "w").close()
    time.sleep(60)
"""
    pytester.makepyfile(test_it=waits)
    with begun(pytester.path) as process:
        await_file(pytester.path / "begun")
        process.send_signal(end)
        said, _ = process.communicate(timeout=30)
    assert "Traceback" not in said
    if end == signal.SIGKILL:  # its folder is what the next command removes
        deadline = time.monotonic() + 10
        while host.processes(netlab.state) and time.monotonic() < deadline:
            time.sleep(0.02)
        netlab.ok("gc")
    host.assert_nothing_left(netlab.state)


def test_a_worker_that_is_killed_leaves_no_lab(run: Run, netlab: Netlab) -> None:
    dies = f"""{SMALL}
import os, signal

def test_it(lab):
    os.kill(os.getpid(), signal.SIGKILL)

def test_another(lab):
    assert lab.pod("pod-1-1").reaches("pod-2-1")
"""
    result = run("-n", "1", test_it=dies)
    result.assert_outcomes(failed=1, passed=1)
    host.assert_nothing_left(netlab.state)


def test_the_debugger_is_in_a_lab_that_runs(
    run: Run, pytester: pytest.Pytester, netlab: Netlab
) -> None:
    fails = f"""import pytest
{SMALL}
def test_it(lab):
    assert lab.pod("pod-1-1").reaches("pod-2-1").mtu(1500)

def test_never(lab): pass
"""
    pytester.makepyfile(test_it=fails)
    with begun(pytester.path, "-x", "--pdb") as process:
        typed = 'print("said", lab.pod("pod-1-1").run("hostname").stdout)\nq\n'
        said, _ = process.communicate(typed, timeout=60)
    assert "packets of up to 1450 bytes pass, not 1500" in said
    assert "said pod-1-1" in said
    assert "1 failed" in said
    host.assert_nothing_left(netlab.state)
