"""Calico's dataplanes: what a node holds, written out by hand, and what happens when a part dies.

BIRD is the real one: its sessions are read from itself, its routes from `ip`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import Any

import pytest

from netlab.kernel.processes.daemons import program_path
from tests.kernel.conftest import Netlab
from tests.kernel.test_daemons import until
from tests.kernel.test_repair import sandbox

pytestmark = pytest.mark.needs("veth", "iptables-nft", "ipset")
TWO_SUBNETS = ("--set", "underlay=192.168.1.0/24,192.168.2.0/24")
CROSS_SUBNET = ("--set", "dataplane.mode=CrossSubnet")
FELIX = ("--set", "dataplane.felix_routes=true")
# In hexadecimal: the outer header's protocol 4, then the inner header's version and length.
SNIFF = """
python3 - <<'P'
import socket, subprocess
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
raw.bind(("eth0", 0))
raw.settimeout(5)
ping = subprocess.Popen(["ip", "netns", "exec", "pod-1-1", "ping", "-c1", "-Q", "0xb9", "{to}"],
                        stdout=subprocess.DEVNULL)
while True:
    frame = raw.recv(2000)
    if frame[23] == 4 and frame[54 - 20 + 9] == 1:
        print(frame[14:62].hex())
        break
ping.wait()
P
"""


def routes(netlab: Netlab, lab: str, node: str = "node-1") -> list[str]:
    return [line.strip() for line in netlab.inside(node, "ip route", lab).splitlines()]


def daemon(netlab: Netlab, lab: str, node: str, name: str = "bird") -> Any:
    found = netlab.run("--json", "-l", lab, "status").json["daemons"]
    return next(one for one in found if (one["node"], one["name"]) == (node, name))


def signalled(netlab: Netlab, lab: str, node: str, number: signal.Signals) -> None:
    """Send a signal to a node's BIRD; status tells no PID of one that is stopped."""
    own = f'[ "$(ip netns identify $pid)" = {node} ] && kill -{number.name[3:]} $pid'
    sandbox(netlab, f"for pid in $(pgrep -x bird); do {own}; done; true", lab)


@pytest.fixture(scope="module")
def labs(shared: Netlab) -> Netlab:
    for name, words in {
        "bgp": ("calico-bgp",),
        "vxlan": ("calico-vxlan",),
        "ipip": ("calico-ipip", *TWO_SUBNETS, *CROSS_SUBNET),
        "felix": ("calico-ipip", *FELIX),
    }.items():
        assert shared.ok("-l", name, "up", *words)["ok"]
    return shared


def test_routes_of_each_mode(labs: Netlab) -> None:
    """Those of BIRD and felix, and a /32 for each pod as the CNI plugin writes it."""
    own = ["blackhole 10.244.0.0/26 proto bird metric 1024"]
    common = ["default via 192.168.0.254 dev eth0"]
    common += ["192.168.0.0/24 dev eth0 proto kernel scope link src 192.168.0.1"]
    bgp = [line for line in routes(labs, "bgp") if " dev cali" not in line]
    assert sorted(bgp) == sorted(
        [*common, *own]
        + [
            f"10.244.0.{64 * n}/26 via 192.168.0.{n + 1} dev eth0 proto bird metric 1024"
            for n in (1, 2)
        ]
    )
    pods = [line for line in routes(labs, "bgp") if " dev cali" in line]
    assert [(line.split()[0], line.partition("scope")[2]) for line in pods] == [
        ("10.244.0.0", " link metric 1024"),
        ("10.244.0.1", " link metric 1024"),
    ]
    vxlan = [line for line in routes(labs, "vxlan") if " dev cali" not in line]
    assert sorted(vxlan) == sorted(
        [*common, "blackhole 10.244.0.0/26 proto 80"]
        + [
            f"10.244.0.{64 * n}/26 via 10.244.0.{64 * n} dev vxlan.calico onlink mtu 1450"
            for n in (1, 2)
        ]
    )
    far, near = "10.244.0.64/26 via 192.168.2.1", "10.244.0.128/26 via 192.168.1.2"
    ipip = routes(labs, "ipip")
    assert f"{far} dev tunl0 proto bird metric 1024 onlink" in ipip
    assert f"{near} dev eth0 proto bird metric 1024" in ipip
    felix = [line for line in routes(labs, "felix") if "tunl0" in line or "blackhole" in line]
    assert felix == [
        "blackhole 10.244.0.0/26 proto 80",
        "10.244.0.64/26 via 192.168.0.2 dev tunl0 proto 80 onlink mtu 1480",
        "10.244.0.128/26 via 192.168.0.3 dev tunl0 proto 80 onlink mtu 1480",
    ]


def test_a_pod_is_behind_a_veth_without_address_and_has_a_gateway_that_nobody_has(
    labs: Netlab,
) -> None:
    addresses = labs.show("node-1", "ip -j address", "bgp")
    ports = [link for link in addresses if link["ifname"].startswith("cali")]
    assert [link["address"] for link in ports] == ["ee:ee:ee:ee:ee:ee"] * 2
    assert [one for link in ports for one in link["addr_info"]] == []
    assert [line.strip() for line in labs.inside("pod-1-1", "ip route", "bgp").splitlines()] == [
        "default via 169.254.1.1 dev eth0",
        "169.254.1.1 dev eth0 scope link",
    ]
    labs.inside("pod-1-1", "ping -c1 10.244.0.64", "bgp")
    assert "ee:ee:ee:ee:ee:ee" in labs.inside("pod-1-1", "ip neigh show 169.254.1.1", "bgp")


def test_bird_s_own_words_are_those_of_a_full_mesh(labs: Netlab) -> None:
    socket = f"{labs.state}/bgp/daemons/node-1/bird/bird.ctl"
    command = f"{shutil.which('birdc', path=program_path())} -s {socket}"
    lines = sandbox(labs, f"{command} show protocols", "bgp").splitlines()
    sessions = [line.split() for line in lines if " BGP " in line]
    assert [words[0] for words in sessions] == ["Mesh_192_168_0_2", "Mesh_192_168_0_3"]
    assert all("Established" in words for words in sessions)


def test_a_packet_in_the_tunnel(labs: Netlab) -> None:
    """Outer: protocol 4, TTL and DF of the inner, its ECN, no DSCP; read byte by byte."""
    [line] = sandbox(labs, f"ip netns exec node-2 sh -c '{_quoted(SNIFF)}'", "ipip").split()
    packet = bytes.fromhex(line)
    outer, inner = packet[:20], packet[20:]
    assert (outer[0], outer[9], outer[12:16]) == (0x45, 4, bytes([192, 168, 1, 1]))
    assert outer[16:20] == bytes([192, 168, 2, 1])
    assert (inner[0], inner[1], inner[9]) == (0x45, 0xB9, 1)
    assert outer[1] == 0x01, "ECN is copied, DSCP is not"
    assert outer[6] == inner[6] == 0x40, "DF as inside"
    # The router between the segments took one from the outer TTL alone.
    assert (outer[8], inner[8]) == (62, 63)
    assert int.from_bytes(outer[2:4], "big") == int.from_bytes(inner[2:4], "big") + 20


def _quoted(script: str) -> str:
    return script.format(to="10.244.0.64").replace("'", "'\\''")


def test_the_largest_packet_and_one_byte_more(labs: Netlab) -> None:
    labs.inside("pod-1-1", "ping -c1 -M do -s 1452 10.244.0.64", "ipip")
    told = labs.run(
        "-l", "ipip", "exec", "pod-1-1", "--", "ping", "-c1", "-Mdo", "-s1453", "10.244.0.64"
    )
    assert told.code != 0
    assert "mtu=1480" in told.out + told.err


def test_a_tunnel_takes_packets_of_calico_s_nodes_alone(labs: Netlab) -> None:
    rules = labs.inside("node-1", "iptables-nft -S cali-INPUT", "ipip")
    taken = "-m set --match-set cali40all-hosts-net src -m addrtype --dst-type LOCAL -j ACCEPT"
    assert taken in rules
    assert rules.rstrip().endswith("-j DROP")


def test_a_bird_that_hangs_is_seen_and_comes_back(labs: Netlab) -> None:
    """Held for 3 s: then the others withdraw what it told them."""
    signalled(labs, "bgp", "node-3", signal.SIGSTOP)
    block = "10.244.0.128/26"
    until(lambda: not any(block in line for line in routes(labs, "bgp")))
    health = labs.run("--json", "-l", "bgp", "status").json["health"]
    assert health["daemons_down"] == ["node-3/bird"]
    missing = labs.run("-l", "bgp", "diff")
    assert missing.code == 1
    assert f"route {block} via 192.168.0.3 dev eth0 proto bird (awaited of bird)" in missing.out
    to_node_3 = ["ping", "-c1", "-W1", "10.244.0.128"]
    assert labs.run("-l", "bgp", "exec", "pod-1-1", "--", *to_node_3).code
    signalled(labs, "bgp", "node-3", signal.SIGCONT)
    until(lambda: any(block in line for line in routes(labs, "bgp")))
    assert labs.ok("-l", "bgp", "verify")["ok"]


def test_a_dead_reflector_is_survived_when_there_are_two(netlab: Netlab) -> None:
    for count in (1, 2):
        words = ("calico-rr", "--nodes", "4", "--set", f"dataplane.reflectors={count}")
        netlab.ok("-l", f"rr-{count}", "up", *words, "--pods-per-node", "1")
        signalled(netlab, f"rr-{count}", "node-1", signal.SIGSTOP)
    other = "10.244.0.192/26"
    until(lambda: not any(other in line for line in routes(netlab, "rr-1", "node-3")))
    time.sleep(1)  # the second lab's hold time is over too
    assert any(other in line for line in routes(netlab, "rr-2", "node-3"))
    netlab.inside("pod-3-1", "ping -c1 -W1 10.244.0.192", "rr-2")
    assert netlab.run(
        "-l", "rr-1", "exec", "pod-3-1", "--", "ping", "-c1", "-W1", "10.244.0.192"
    ).code


def test_the_stand_in_of_ipip_dies_is_seen_and_comes_back(labs: Netlab) -> None:
    if not any(one["name"] == "ipip" for one in labs.ok("-l", "felix", "status")["daemons"]):
        return  # this kernel has ipip, and so no program stands in for it
    pid = daemon(labs, "felix", "node-2", "ipip")["pid"]
    sandbox(labs, f"kill -STOP {pid}", "felix")
    done = labs.run("-l", "felix", "exec", "pod-1-1", "--", "ping", "-c1", "-W1", "10.244.0.64")
    assert done.code != 0
    sandbox(labs, f"kill -KILL {pid}", "felix")
    until(lambda: daemon(labs, "felix", "node-2", "ipip")["ready"])
    assert labs.ok("-l", "felix", "verify")["ok"]


def test_a_configuration_that_bird_refuses_is_told_with_its_line(netlab: Netlab) -> None:
    """More nodes than one segment has addresses are refused before; BIRD's own words are kept."""
    netlab.ok("up", "calico-bgp", "--no-verify")
    config = netlab.state / "calico-bgp" / "daemons" / "node-1" / "bird" / "bird.cfg"
    config.write_text("nonsense;\n" + config.read_text())
    pid = daemon(netlab, "calico-bgp", "node-1")["pid"]
    sandbox(netlab, f"kill -KILL {pid}")
    until(lambda: "bird.cfg:1:" in netlab.run("logs", "node-1", "bird").out)
    assert not netlab.run("--json", "status").json["health"]["ok"]
    assert os.path.exists(config)
    assert netlab.ok("up", "calico-bgp")["ok"]


@pytest.mark.long
@pytest.mark.needs("ipip")
def test_the_kernel_s_own_tunl0_is_taken_and_repaired(netlab: Netlab) -> None:
    """It is in every namespace, where it can be neither made nor deleted."""
    words = ("calico-ipip", "--nodes", "2", "--pods-per-node", "1")
    document = netlab.ok("up", *words)
    assert document["verify"]["carrier"] == "IP in IP by the kernel"
    tunnel = netlab.show("node-1", "ip -d -j link show tunl0")[0]
    assert (tunnel["linkinfo"]["info_kind"], tunnel["mtu"]) == ("ipip", 1480)
    assert netlab.ok("diff")["ok"]
    netlab.inside("node-1", "ip link set tunl0 mtu 1400 && ip addr flush dev tunl0")
    found = netlab.run("--json", "diff").json
    assert [item["object"] for item in found["missing"]] == ["address 10.244.0.0/32 dev tunl0"]
    assert [item["differences"] for item in found["changed"]] == [["mtu is 1400, not 1480"]]
    assert netlab.ok("up", *words)["ok"]
    stand_in = netlab.run("plan", "calico-ipip", "--set", "dataplane.driver=user-space")
    assert stand_in.code == 2
    assert "leave driver=user-space out" in stand_in.err
