"""Containers are processes of their own that share their pod's network, and nothing else."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox

ASK = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{}/\", timeout=2).read())'"


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Netlab:
    shared.ok("up", "flannel-vxlan", "--no-verify")
    return shared


def in_container(netlab: Netlab, pod: str, container: str, command: str) -> str:
    document = netlab.ok("exec", pod, "-c", container, "--", "sh", "-c", command)
    assert document["exit_code"] == 0, document
    return str(document["stdout"])


def test_namespaces_of_the_containers_of_a_pod(lab: Netlab) -> None:
    seen = {}
    for name in ("container-1", "container-2"):
        for kind in ("net", "pid", "mnt", "uts"):
            link = in_container(lab, "pod-1-1", name, f"readlink /proc/1/ns/{kind}")
            seen[name, kind] = link.strip()
    assert seen["container-1", "net"] == seen["container-2", "net"]
    for kind in ("pid", "mnt", "uts"):
        assert seen["container-1", kind] != seen["container-2", kind]
    assert in_container(lab, "pod-1-1", "container-1", "hostname") == "pod-1-1\n"
    # Its own /proc shows its own processes: process 1, and the shell that asks.
    processes = in_container(lab, "pod-1-1", "container-1", "ls -d /proc/[0-9]*").split()
    assert len(processes) <= 3


def test_localhost_is_the_pods_own(lab: Netlab) -> None:
    answer = in_container(lab, "pod-1-1", "container-1", ASK.format("127.0.0.1:8081"))
    assert "pod-1-1 container-2 127.0.0.1" in answer
    status = lab.run("exec", "pod-1-2", "--", "sh", "-c", ASK.format("127.0.0.1:10001"))
    assert status.code == 1
    assert "refused" in status.err
    own = in_container(lab, "pod-1-1", "container-1", ASK.format("127.0.0.1:10001"))
    assert "pod-1-1 container-2" in own


def test_a_pod_is_asked_with_its_own_address_the_outside_with_the_nodes(lab: Netlab) -> None:
    answer = lab.inside("pod-1-1", ASK.format("10.244.2.3:8080"))
    assert "pod-3-2 container-1 10.244.0.2:" in answer
    answer = lab.inside("pod-1-1", ASK.format("203.0.113.10:8080"))
    assert "external client 192.168.0.1:" in answer


def test_the_host_sees_none_of_it(lab: Netlab) -> None:
    with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
        urllib.request.urlopen("http://127.0.0.1:8080/", timeout=1)


def test_a_container_may_run_any_command(netlab: Netlab, topology: Callable[[str], str]) -> None:
    path = topology(
        # Not `-m http.server`, which first waits for a name server that pods have not.
        "serve = 'import http.server as h, socketserver as s; '"
        "'s.TCPServer((\"\", 80), h.SimpleHTTPRequestHandler).serve_forever()'\n"
        "web = Container('web', ('python3', '-c', serve))\n"
        "echo = Container('echo', ('sh', '-c', 'echo hello; exec sleep 1000'))\n"
        "topology = Cluster(nodes=[Node(pods=[Pod('own', (web, echo))]), Node(pods=1)])"
    )
    assert netlab.ok("up", path)["ok"]
    deadline = time.monotonic() + 10
    while "LISTEN" not in netlab.inside("own", "ss -tln"):
        assert time.monotonic() < deadline
    answer = netlab.inside("pod-2-1", ASK.format("10.244.0.2:80"))
    assert "Directory listing" in answer
    log = Path(netlab.state, "mine", "logs", "own.echo.log")
    assert log.read_text() == "hello\n"
    ignored = in_container(netlab, "own", "echo", "grep SigIgn /proc/1/status").split()[1]
    assert not int(ignored, 16) & 1 << signal.SIGPIPE - 1, "a pipe that nobody reads ends it"
    assert (
        netlab.ok("exec", "own", "-c", "echo", "--", "cat", "/proc/1/comm")["stdout"] == "sleep\n"
    )


def test_exec_hands_on_exit_code_input_and_output(lab: Netlab) -> None:
    assert lab.run("exec", "pod-1-1", "--", "sh", "-c", "exit 7").code == 7
    assert lab.run("exec", "node-1", "--", "sh", "-c", "kill -9 $$").code == 137
    result = lab.run("exec", "pod-1-1", "--", "cat", stdin="to and fro")
    assert result.out == "to and fro"
    by_address = lab.run("exec", "10.244.1.3", "--", "hostname")
    assert by_address.out == "pod-2-2\n"
    assert lab.run("exec", "node-2", "--", "hostname").out == "node-2\n"


def test_a_node_sees_its_own_devices_in_sys(lab: Netlab) -> None:
    devices = lab.inside("node-1", "ls /sys/class/net").split()
    assert {"eth0", "cni0", "flannel.1", "lo"} < set(devices)


def test_sys_shows_the_pods_devices_and_cannot_be_written(lab: Netlab) -> None:
    """The host's /sys would show the host's devices, and let root in a pod change them."""
    for container in ("container-1", "container-2"):
        shown = in_container(lab, "pod-1-1", container, "ls /sys/class/net").split()
        assert shown == ["eth0", "lo"]
    index = lab.show("pod-1-1", "ip -j link show eth0")[0]["ifindex"]
    assert lab.inside("pod-1-1", "cat /sys/class/net/eth0/ifindex").strip() == str(index)
    written = lab.run("exec", "pod-1-1", "--", "sh", "-c", "echo 1400 > /sys/class/net/eth0/mtu")
    assert written.code != 0
    assert "Read-only" in written.err
    assert sandbox(lab, "ls /sys/class/net").split() == ["lo"]
