"""Flannel's UDP backend: what a node holds, and what its program does with single packets."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_daemons import until
from tests.kernel.test_repair import sandbox

pytestmark = pytest.mark.needs("veth", "tun")
# A packet for an address of no node's part of the cluster network.
NOWHERE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    sock.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
    sock.connect(("10.244.99.1", 9))
    sock.send(b"x")
    try:
        sock.recv(1)
    except OSError as error:
        print(error.errno)
"""


# So much over TCP, and whether it came as it was sent.
SIZE = 1 << 23
SERVER = """
import hashlib, socket
socket.setdefaulttimeout(20)
with socket.create_server(("", 5999)) as server:
    print("ready", flush=True)
    with server.accept()[0] as sock:
        got = hashlib.sha256()
        while part := sock.recv(1 << 16):
            got.update(part)
        sock.sendall(got.digest())
"""
CLIENT = f"""
import hashlib, os, socket
socket.setdefaulttimeout(20)
content = os.urandom({SIZE})
with socket.create_connection(("10.244.1.2", 5999)) as sock:
    sock.sendall(content)
    sock.shutdown(socket.SHUT_WR)
    print(sock.recv(64) == hashlib.sha256(content).digest())
"""


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Netlab:
    words = ("--set", "underlay=192.168.1.0/24,192.168.2.0/24")
    assert shared.ok("up", "flannel-udp", *words)["ok"], "it needs no common segment"
    return shared


def test_device_and_routes(lab: Netlab) -> None:
    routes = [line.strip() for line in lab.inside("node-1", "ip route").splitlines()]
    assert "10.244.0.0/16 dev flannel0 scope link" in routes
    [address] = lab.show("node-1", "ip -j -4 address show dev flannel0")[0]["addr_info"]
    assert (address["local"], address["prefixlen"]) == ("10.244.0.0", 32)
    [link] = lab.show("node-1", "ip -d -j link show dev flannel0")
    assert (link["mtu"], link["linkinfo"]["info_kind"]) == (1472, "tun")


def test_ttl_is_taken_twice_and_the_mtu_is_that_of_udp(lab: Netlab) -> None:
    assert "ttl=60" in lab.inside("pod-1-1", "ping -c1 -M do -s 1444 10.244.1.2")
    more = ["ping", "-c1", "-M", "do", "-s", "1445", "10.244.1.2"]
    told = lab.run("exec", "pod-1-1", "--", *more)
    assert told.code != 0
    assert "mtu=1472" in told.out + told.err


def test_a_packet_that_arrives_with_ttl_1_dies_without_a_word(lab: Netlab) -> None:
    """The node takes one, the program there one, the other program one, and the node there one."""

    def sent(ttl: int) -> tuple[int, str]:
        done = lab.run("exec", "pod-1-1", "--", *f"ping -c1 -W1 -t {ttl} 10.244.1.2".split())
        return done.code, done.out

    code, told = sent(3)
    assert code == 1
    assert "exceeded" not in told
    code, told = sent(4)
    assert code == 1
    assert "From 10.244.1.0 icmp_seq=1 Time to live exceeded" in told, "by the kernel there"
    assert sent(5)[0] == 0


def test_to_where_no_node_is_the_answer_is_network_unreachable(lab: Netlab) -> None:
    """Which a node takes for a martian by default: it comes in under an address of its own."""
    script = NOWHERE.replace('"', '\\"')
    setting = "/proc/sys/net/ipv4/conf/flannel0/accept_local"
    lab.inside("node-1", f"echo 1 > {setting}")
    assert lab.inside("pod-1-1", f'python3 -c "{script}"').strip() == "101"
    lab.inside("node-1", f"echo 0 > {setting}")


def test_a_program_that_dies_is_seen_and_comes_back(lab: Netlab) -> None:
    one = next(d for d in lab.ok("status")["daemons"] if d["node"] == "node-2")
    sandbox(lab, f"kill -STOP {one['pid']}")
    assert lab.run("exec", "pod-1-1", "--", *["ping", "-c1", "-W1", "10.244.1.2"]).code
    assert lab.run("--json", "status").json["health"]["daemons_down"] == ["node-2/flanneld"]
    sandbox(lab, f"kill -KILL {one['pid']}")
    until(lambda: lab.run("--json", "status").json["health"]["ok"])
    assert lab.ok("verify")["ok"]


def counters(lab: Netlab, target: str, protocol: str) -> dict[str, int]:
    lines = lab.inside(target, "cat /proc/net/snmp").splitlines()
    names, values = (line.split()[1:] for line in lines if line.startswith(f"{protocol}:"))
    return dict(zip(names, map(int, values), strict=True))


def test_the_quick_program_is_the_same_but_for_many_packets_at_once(lab: Netlab) -> None:
    words = ("--set", "underlay=192.168.1.0/24,192.168.2.0/24", "--set", "dataplane.strict=false")
    assert lab.ok("up", "flannel-udp", *words)["ok"]
    assert lab.run("diff").code == 0
    assert "ttl=60" in lab.inside("pod-1-1", "ping -c1 -M do -s 1444 10.244.1.2")
    assert (
        lab.run("exec", "pod-1-1", "--", *["ping", "-c1", "-W1", "-t", "3", "10.244.1.2"]).code == 1
    )
    with lab.start("exec", "pod-2-1", "--", "python3", "-c", SERVER) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        sent = lab.run("exec", "pod-1-1", "--", "python3", "-c", CLIENT)
        assert sent.out == "True\n", sent.err
    [link] = lab.show("node-2", "ip -s -j link show flannel0")
    assert link["stats64"]["rx"]["packets"] < SIZE / 1420 / 2, "segments came joined"
    assert counters(lab, "node-1", "Udp")["OutDatagrams"] < SIZE / 1420 / 2
    assert counters(lab, "node-1", "Ip")["FragCreates"] == 0
    assert counters(lab, "pod-2-1", "Tcp")["InCsumErrors"] == 0
