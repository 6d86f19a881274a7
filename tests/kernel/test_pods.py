"""A pod's containers find what kubelet and a runtime would give them, and are waited for."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.conftest import COMMAND, Netlab

SECRET = "NETLAB_TEST_SECRET=swordfish"
TOPOLOGY = """
from netlab import HostAlias, Ready
serve = "import http.server as h, socketserver as s, time; time.sleep(0.7); " \\
        "s.TCPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"
marks = ("sh", "-c", "sleep 0.3; mkdir -p /run/$MARK; exec sleep 1000")
topology = Cluster(
    nodes=[
        Node(pods=[
            Pod(
                "own",
                (
                    Container("server"),
                    Container("web", ("python3", "-c", serve), ready=Ready(tcp=80)),
                    Container(
                        "marks", marks, ("MARK=ready",),
                        Ready(command=("sh", "-c", 'test -d "/run/$MARK"')),
                    ),
                ),
                host_aliases=(HostAlias("10.1.2.3", ("db.example.com", "db")),),
            )
        ]),
        Node(pods=1),
    ],
    containers=1,
)
"""


@pytest.fixture
def lab(netlab: Netlab, topology: Callable[[str], str]) -> Netlab:
    path = topology(TOPOLOGY)
    done = subprocess.run(
        [*COMMAND, "--json", "up", path, "--no-verify"],
        env=netlab.environment | dict([SECRET.split("=")]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return netlab


def inside(netlab: Netlab, container: str, command: str) -> str:
    document = netlab.ok("exec", "own", "-c", container, "--", "sh", "-c", command)
    assert document["exit_code"] == 0, document
    return str(document["stdout"])


def test_a_pod_as_kubelet_starts_it(lab: Netlab) -> None:
    # Ready: a connection right after `up` is not refused.
    ask = "import urllib.request as u; u.urlopen('http://10.244.0.2/', timeout=2)"
    assert lab.run("exec", "pod-2-1", "--", "python3", "-c", ask).code == 0
    status = lab.ok("status")
    assert status["health"]["ok"]
    assert {(one["name"], one["ready"]) for one in status["containers"] if one["pod"] == "own"} == {
        ("server", True),
        ("web", True),
        ("marks", True),
    }
    for container in ("server", "web", "marks"):
        variables = inside(lab, container, "cat /proc/1/environ").split("\0")
        assert SECRET not in variables
        names = {word.partition("=")[0] for word in variables if word}
        assert names <= {"PATH", "HOSTNAME", "HOME", "MARK", "LD_LIBRARY_PATH", "PWD"}
        shown = dict(line.split("=", 1) for line in inside(lab, container, "env").splitlines())
        assert shown["HOSTNAME"] == "own"
        assert "NETLAB_STATE" not in shown
        assert inside(lab, container, "hostname -i") == "10.244.0.2\n"
        assert inside(lab, container, "cat /etc/hostname") == "own\n"
    assert "10.1.2.3" in inside(lab, "web", "getent hosts db")
    inside(lab, "web", "echo '10.9.9.9 added' >> /etc/hosts")
    assert "10.9.9.9" in inside(lab, "marks", "getent hosts added"), "the pod's, not a container's"
    began = time.monotonic()
    unknown = lab.run("exec", "own", "--", "getent", "hosts", "no.such.name.example.com")
    assert unknown.code == 2
    assert time.monotonic() - began < 5, "nobody answers, and that shows at once"


def test_the_machine_s_own_files_are_not_seen(lab: Netlab) -> None:
    paths = [Path("/etc", name) for name in ("hosts", "hostname", "resolv.conf")]
    for path in filter(Path.exists, paths):
        seen = inside(lab, "web", f"stat -L -c %d:%i {path}").strip()
        assert seen != f"{path.stat().st_dev}:{path.stat().st_ino}"


def test_what_does_not_become_ready_is_said(netlab: Netlab, topology: Callable[[str], str]) -> None:
    path = topology(
        "from netlab import Ready\n"
        "here = 'import socket, time; '"
        "'k = socket.create_server((\"127.0.0.1\", 80)); time.sleep(9)'\n"
        "web = Container('web', ('python3', '-c', here), ready=Ready(tcp=80, seconds=1))\n"
        "topology = Cluster(nodes=[Node(pods=[Pod('own', (web,))])])"
    )
    done = netlab.run("up", path, "--no-verify")
    assert done.code == 1
    assert (
        "netlab: the container web of own is not ready after 1 s: TCP port 80 is not bound on "
        "more than loopback.\n" in done.err
    )
    status = netlab.run("--json", "status")
    assert status.code == 1
    assert status.json["health"]["containers_unready"] == ["own/web"]
    assert status.json["health"]["containers_down"] == []
    report = netlab.run("--json", "verify")
    assert report.code == 1
    assert [check["from"] for check in report.json["checks"] if not check["ok"]] == ["own"]
