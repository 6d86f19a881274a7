"""A daemon in each node: it binds a UDP port and writes a route, which is its own to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab import Cluster, flannel
from netlab.plan.names import UPLINK
from netlab.plan.processes import Daemon, File, Owner, Ready
from netlab.plan.routing import route
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec

PROGRAM = """\
import os, signal, socket, subprocess, time

print("hello", os.getcwd(), flush=True)
time.sleep(PAUSE)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5353))
for destination in ("10.99.0.0/24", "10.98.0.0/24"):
    subprocess.run(["ip", "route", "replace", destination, "dev", "eth0", "proto", "bgp"])
if os.fork() == 0:  # a child that would outlive a daemon which is killed
    time.sleep(1000)
open("up", "w").close()
signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Hello(flannel.HostGw):
    """`pause` is how many seconds it takes to get ready, `patience` how many are waited for."""

    name: ClassVar[str] = "hello"
    pause: float = 0.0
    patience: float = 10.0
    backoff: float = 0.5

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        yield from flannel.HostGw.node(self, layout, node)
        yield Daemon(
            name="hello",
            command=("python3", "{folder}/bin/hello.py"),
            files=(
                File("bin/hello.py", PROGRAM.replace("PAUSE", str(self.pause))),
                File("secret", "{folder} of " + node.name + "\n", 0o600),
            ),
            ready=Ready(
                udp=5353,
                file="up",
                command=("test", "-s", "{folder}/secret"),
                seconds=self.patience,
            ),
            backoff=self.backoff,
            owns=Owner(protocols=("bgp",)),
            brings=(route("10.99.0.0/24", UPLINK, protocol="bgp"),),
        )


topology = Cluster(nodes=2, pods_per_node=1, containers=1, dataplane=Hello())
