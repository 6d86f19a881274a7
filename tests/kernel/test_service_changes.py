"""Services changed while a lab runs: what is seen of it at once, and what goes on undisturbed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netlab import Cluster, Lab, Service, ServicePort, api
from netlab.hosts.lab import SpreadLab
from tests.kernel.conftest import COMMAND, Netlab
from tests.kernel.machines import Make, machines, prepared

__all__ = ["machines", "prepared"]
pytestmark = pytest.mark.kernel

ECHO = ServicePort(7, 8080, "UDP", 30007, "echo")
SERVICES = [
    Service("web", port=80, target_port=8080),
    Service("echo", ports=(ECHO, ServicePort(7, 8080, name="tcp")), cluster_ip="10.96.0.7"),
    Service("other", port=80, target_port=8080, cluster_ip="10.96.0.9"),
]
# One connection that is not done yet, and UDP from one port to whoever is asked.
CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 80), 5) if sys.argv[1:] else None
sockets = {}
def ask(address, port):
    if address not in sockets:
        sockets[address] = socket.socket(type=socket.SOCK_DGRAM)
        sockets[address].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[address].bind(("", 5007))
        sockets[address].settimeout(1)
        sockets[address].connect((address, int(port)))
    sockets[address].send(b"who")
    return sockets[address].recv(100).decode().split()[0]
def end():
    connection.send(b"\\n")
    return connection.recv(100).decode().split()[0]
print("ready", flush=True)
for line in sys.stdin:
    if connection and line != "end\\n":
        connection.send(b"a")
    try:
        print(end() if line == "end\\n" else ask(*line.split()), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


class Client:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, *words: object) -> str:
        """The pod that answers, or the name of an error."""
        assert self.process.stdin
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.said()


@contextmanager
def client(command: Netlab, target: str, *arguments: str) -> Iterator[Client]:
    words = [*COMMAND, "exec", target, "--", "python3", "-c", CLIENT, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, env=command.environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Client(process)
        assert process.stdin
        process.stdin.close()


def rules_of(lab: Lab, service: str) -> list[str]:
    """A Service's own chains on node-1, with what shows that they were not written again."""
    node = lab.node("node-1")
    if lab.design.proxy and lab.design.proxy.name == "iptables":
        lines = node.run("iptables-nft-save", "-c").stdout.splitlines()
        return [one for one in lines if f"/{service}" in one and "-A KUBE-SERVICES" not in one]
    listed = node.run("nft", "-a", "list", "table", "ip", "kube-proxy").stdout
    return re.findall(rf"\tchain \S*/{service}/.*?\n\t}}", listed, re.DOTALL)


def pods_behind(lab: Lab, name: str) -> list[str]:
    (service,) = (one for one in lab.layout.services if one.name == name)
    return [one.target for one in service.ports[0].endpoints]


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_services_change_while_the_lab_runs(
    netlab: Netlab, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    cluster = Cluster(
        nodes=2, containers=1, dataplane="flannel-host-gw", proxy=proxy, services=SERVICES
    )
    lab = api.up(cluster)
    before, (_, web, *_) = lab.layout, lab.layout.services
    lab.pod("pod-1-1").run("python3", "-c", CLIENT, "10.96.0.9")  # so that its rules have counted
    with (
        client(netlab, "pod-1-1", str(web.cluster_ips[0])) as inside,
        client(netlab, "external") as outside,
    ):
        others = rules_of(lab, "other")
        scale(lab)
        move_udp(lab, inside, outside)
        assert rules_of(lab, "other") == others, "no other rules were touched"
        by_the_command(netlab, lab, inside)
        assert inside.ask("end").startswith("pod-"), "the connection outlived it all"
    assert proxy == "nftables" or any("[1:" in line for line in others)
    assert len(others) > 0
    assert lab.diff().ok
    again = api.up(cluster)
    assert again.layout == before, "the topology's own Services are back"
    assert again.applied
    assert again.applied.changes > 0
    assert again.diff().ok


def scale(lab: Lab) -> None:
    """One transaction on each node, and one pod of each."""
    found = lab.scale("web", 2)
    assert (found.changes, found.writes) == (2, 2)
    assert pods_behind(lab, "web") == ["pod-1-1", "pod-2-1"]
    assert lab.scale("web", 2).writes == 0


def move_udp(lab: Lab, inside: Client, outside: Client) -> None:
    """A client that keeps its port goes on to another endpoint at once when its own is gone."""
    to_service, to_node = ("10.96.0.7", 7), (lab.layout.nodes[1].address, 30007)
    first, second = inside.ask(*to_service), outside.ask(*to_node)
    assert {first, second} <= set(pods_behind(lab, "echo"))
    lab.remove_endpoint("echo", first)
    moved = inside.ask(*to_service)
    assert moved in pods_behind(lab, "echo")
    if second != first:
        assert outside.ask(*to_node) == second, "of another endpoint nothing is forgotten"
        lab.remove_endpoint("echo", second)
    assert outside.ask(*to_node) in pods_behind(lab, "echo")
    lab.scale("echo", 0)
    assert inside.ask(*to_service) == "ConnectionRefusedError"
    lab.add_endpoint("echo", "pod-2-2")
    assert (inside.ask(*to_service), outside.ask(*to_node)) == ("pod-2-2", "pod-2-2")


def by_the_command(netlab: Netlab, lab: Lab, inside: Client) -> None:
    options = ("--port", "9", "--protocol", "UDP", "--target-port", "8080", "--pod", "pod-2-2")
    document = netlab.ok("service", "add", "new", *options, "--cluster-ip", "10.96.0.8")
    (new,) = document["services"]
    assert new["endpoints"] == ["10.244.1.3:8080"]
    assert new in netlab.ok("status")["services"]
    assert inside.ask("10.96.0.8", 9) == "pod-2-2"
    lab.remove_service("new")
    assert not inside.ask("10.96.0.8", 9).startswith("pod-")
    refused = netlab.run("endpoint", "remove", "web", "pod-9-9")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)


@pytest.mark.long
def test_services_change_on_several_machines(
    netlab: Netlab, monkeypatch: pytest.MonkeyPatch, machines: Make
) -> None:
    """Each has its part of the change, and `up` puts the topology's own back on each."""
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    made = machines("vm-1", "vm-2")
    web = Service("web", port=80, target_port=8080)
    small = Cluster(
        nodes=2, containers=1, dataplane="flannel-host-gw", proxy="nftables", services=[web]
    )
    lab = api.up(small, inventory=made.inventory)
    assert lab.scale("web", 1).changes == 2, "on each node"
    assert pods_behind(lab, "web") == ["pod-1-1"]
    assert lab.diff().ok
    again = api.up(small, inventory=made.inventory)
    assert again.applied
    assert (again.applied.changes, len(pods_behind(again, "web"))) == (2, 4)
    again.down()
    assert isinstance(lab, SpreadLab)
    lab.close()
