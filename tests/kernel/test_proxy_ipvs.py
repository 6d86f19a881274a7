"""kube-proxy's IPVS mode on a kernel that has it: its messages, and one small lab."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from netlab.kernel.rulesets import ipvs
from netlab.kernel.rulesets.spelling import respelled
from netlab.plan.rulesets import IpvsTable, RealServer, VirtualServer
from tests.kernel.conftest import REPOSITORY, Netlab
from tests.kernel.sandboxed import sandboxed

pytestmark = pytest.mark.needs("dummy", "ip_vs", "ip_vs_rr", "iptables-nft", "ipset")

REAL = tuple(RealServer(address=f"10.244.0.{number}", port=8080) for number in (2, 3, 4))
WEB = VirtualServer(address="10.96.0.10", port=80, persistence=10, real=REAL)
DNS = VirtualServer(
    address="fd00::a",
    port=53,
    protocol="udp",
    scheduler="mh",
    flags=("flag-2",),
    real=(RealServer(address="fd00:1::2", port=53, weight=0),),
)
TABLE = IpvsTable(servers=(WEB, DNS))


@sandboxed
def test_the_kernel_tells_what_it_was_given() -> None:
    def found() -> object:
        return respelled(TABLE, TABLE, ipvs.listed())

    # Without its table `local` the kernel takes no IPv4 address for a real server's.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ipvs.apply([TABLE], [], [])
    assert found() == TABLE
    other = IpvsTable(servers=(replace(WEB, persistence=0, real=REAL[1:]),))
    ipvs.apply([], [(other, TABLE)], [])
    assert found() == other
    ipvs.apply([], [(TABLE, other)], [])
    assert found() == TABLE
    ipvs.apply([], [], [TABLE])
    assert ipvs.listed() == IpvsTable()


# Asks each HOST:PORT who it is, the first by UDP too; the last is one that must refuse.
ASK = """
import socket, sys
def ask(host, port):
    with socket.create_connection((host, int(port)), 10) as to:
        to.settimeout(10)
        to.sendall(b"who\\n")
        return to.makefile().read()
*served, refusing = [word.rsplit(":", 1) for word in sys.argv[1:]]
for target in served:
    print(ask(*target), end="")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(10)
    udp.sendto(b"who", (served[0][0], int(served[0][1])))
    print(udp.recv(999).decode(), end="")
try:
    ask(*refusing)
except ConnectionRefusedError:
    print("refused")
"""
# A real server is removed, as `ipvsadm -d` does.
REMOVE = """
from msgspec.structs import replace
from netlab.kernel.rulesets import ipvs
table = ipvs.listed()
web = table.by_key["tcp 10.96.0.10:80"]
less = replace(web, real=tuple(one for one in web.real if one.address != "10.244.1.2"))
servers = tuple(less if one is web else one for one in table.servers)
ipvs.apply([], [(replace(table, servers=servers), table)], [])
"""
LAB = """
from netlab import Cluster, Service, ServicePort, flannel
topology = Cluster(
    nodes=2,
    pods_per_node=2,
    cluster_cidr=("10.244.0.0/16", "fd44::/56"),
    service_cidr=("10.96.0.0/12", "fd00:10:96::/112"),
    dataplane=flannel.HostGw(),
    proxy="ipvs",
    services=[
        Service(
            "web",
            ports=(
                ServicePort(80, 8080, "TCP", 30080, "tcp"),
                ServicePort(80, 8080, "UDP", 30080, "udp"),
            ),
            cluster_ip="10.96.0.10",
            dual_stack=True,
            pods=("pod-1-2", "pod-2-1"),
        ),
        Service("empty", port=80, pods=(), node_port=30082, cluster_ip="10.96.0.12"),
        Service("own", port=80, target_port=8080, pods=("pod-1-1",), cluster_ip="10.96.0.13"),
    ],
)
"""


def test_a_lab(netlab: Netlab, topology: Callable[[str], str]) -> None:
    path = topology(LAB)
    netlab.ok("up", path, "--no-verify")

    def asked(target: str, *where: str) -> list[str]:
        return netlab.inside(target, f"python3 -c '{ASK}' {' '.join(where)}").splitlines()

    web, empty = "10.96.0.10:80", "10.96.0.12:80"
    services = netlab.ok("status")["services"]
    (web6,) = {f"{ip}:80" for one in services for ip in one["cluster_ips"] if ":" in ip}
    for target in ("pod-1-1", "node-1"):
        # Twice, as real servers follow each other; then (of the pod) itself, by masquerading.
        words = asked(target, web, web, web6, web6, "10.96.0.13:80", empty)
        assert {word.split()[0] for word in words[:2]} == {"pod-1-2", "pod-2-1"}, words
        assert {word.split()[0] for word in words[2:4]} == {"pod-1-2", "pod-2-1"}, words
        assert words[4].split()[0] == "pod-1-1"
        assert words[5].split()[0] in ("pod-1-2", "pod-2-1")  # by UDP
        assert words[6:] == ["refused"]
    words = asked("external", "192.168.0.1:30080", "192.168.0.1:30082")
    assert words[0].split()[0] in ("pod-1-2", "pod-2-1")
    assert words[1].split()[0] in ("pod-1-2", "pod-2-1")
    assert words[2:] == ["refused"]
    ping = netlab.inside("pod-1-1", "ping -c 1 -W 5 10.96.0.12 || true")
    assert "Destination Port Unreachable" in ping

    remove = f"PYTHONPATH={REPOSITORY} {sys.executable} -c '{REMOVE}'"
    netlab.inside("node-1", remove)
    found = netlab.run("diff")
    assert found.code == 1
    missing = "virtual server tcp 10.96.0.10:80: real server 10.244.1.2:8080 is missing"
    assert missing in found.out
    netlab.ok("up", path, "--no-verify")
    assert netlab.ok("diff")["ok"]
