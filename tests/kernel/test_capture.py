"""Captures: every device's frames with its name, in the order of the path, and what is lost."""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from scapy.utils import RawPcapNgReader

import netlab
from netlab import Lab
from netlab.errors import BadInput
from netlab.probe.engines import sockets
from tests.kernel import host
from tests.kernel.conftest import COMMAND, Netlab
from tests.kernel.test_rootless import User, user

__all__ = ["user"]
FAR = "10.244.1.2"


class Seen(NamedTuple):
    name: str
    out: bool
    link: int
    frame: bytes

    def __str__(self) -> str:
        return f"{self.name} {'out' if self.out else 'in'}"


def read(path: Path | str) -> list[Seen]:
    found, last = [], 0
    with RawPcapNgReader(str(path)) as reader:
        for data, about in reader:
            stamp = (about.tshigh << 32) + about.tslow
            assert stamp >= last, "in the order of time"
            last = stamp
            found.append(Seen(about.ifname.decode(), about.direction == 2, about.linktype, data))
    return found


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Lab:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETLAB_STATE", str(shared.state))
        made = netlab.up("flannel-vxlan", nodes=2, pods_per_node=1)
    ping(made)
    return made


def ping(lab: Lab, target: str = FAR, count: int = 1) -> None:
    words = ("ping", "-c", str(count), "-i", "0.002", "-W", "1", target)
    assert lab.pod("pod-1-1").run(*words).code == 0


def test_a_ping_is_seen_along_its_path(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "ping.pcapng"
    targets = ("pod-1-1:eth0", "node-1", f"{FAR}:eth0", "node-2:flannel.1", "node-2:eth0")
    with lab.capture(*targets, filter="icmp or udp", file=file) as capture:
        ping(lab)
    veth = next(name for name in capture.devices if name.startswith("node-1/veth"))
    there = [
        *("pod-1-1/eth0 out", f"{veth} in", "node-1/cni0 in", "node-1/flannel.1 out"),
        *("node-1/eth0 out", "node-2/eth0 in", "node-2/flannel.1 in", "pod-2-1/eth0 in"),
    ]
    back = [
        *("pod-2-1/eth0 out", "node-2/flannel.1 out", "node-2/eth0 out", "node-1/eth0 in"),
        *("node-1/flannel.1 in", "node-1/cni0 out", f"{veth} out", "pod-1-1/eth0 in"),
    ]
    assert [str(one) for one in read(file)] == there + back
    assert (capture.packets, capture.lost) == (16, 0)


def test_a_filter_and_a_ring(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "ring.pcapng"
    with lab.capture("pod-1-1:eth0", filter="icmp[icmptype] == icmp-echo", ring=5 * 360) as capture:
        ping(lab, count=8)
        capture.save(file)
        sequence = [struct.unpack("!H", one.frame[40:42])[0] for one in read(file)]
        assert sequence == [4, 5, 6, 7, 8], "the newest"
        capture.clear()
        capture.save(file)
        assert read(file) == []
        ping(lab)
        capture.save(file)
        assert len(read(file)) == 1
        with pytest.raises(BadInput, match="cannot be written"):
            capture.save(tmp_path / "no" / "file")
    assert capture.packets == 1


def test_a_device_that_is_made_meanwhile(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "late.pcapng"
    with lab.capture("node-1", file=file) as capture:
        made = lab.node("node-1").run(
            *("sh", "-c"),
            "ip link add late0 type veth peer late1 && ip link set late1 up && ip link set late0 up"
            " && ip addr add 10.99.0.1/24 dev late0 && ping -c1 -W0.5 10.99.0.2; "
            "ip link del late0",
        )
        assert made.code == 0, made.stderr
    assert "node-1/late0" not in capture.devices
    asked = [one for one in read(file) if one.frame[38:42] == socket.inet_aton("10.99.0.2")]
    assert [str(one) for one in asked[:2]] == ["node-1/late0 out", "node-1/late1 in"]


def test_a_frame_has_its_tag(lab: Lab, tmp_path: Path) -> None:
    """The kernel takes that off a frame before it shows it."""
    file, tagged = tmp_path / "vlan.pcapng", bytes(12) + b"\x81\0\x60\x05\x88\xb5" + bytes(50)
    with lab.capture("node-1", file=file):
        send = f"import socket\ns=socket.socket(17,3)\ns.bind(('eth0',0))\ns.send({tagged!r})"
        assert lab.pod("pod-1-1").run("python3", "-c", send).code == 0
    frames = {one.frame for one in read(file) if b"\x88\xb5" in one.frame[:20]}
    assert frames == {tagged}


def test_what_is_lost_is_said(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_BUFFER", 1)
    file, flood = tmp_path / "flood.pcapng", 2000
    with lab.capture("pod-1-1:eth0", filter="udp", file=file) as capture:
        burst = f"import socket\ns=socket.socket(2,2)\nfor _ in range({flood}):"
        lab.pod("pod-1-1").run("python3", "-c", f"{burst} s.sendto(b'', ('10.244.9.9', 9))")
    assert capture.lost > 0
    assert capture.packets + capture.lost == flood
    assert len(read(file)) == capture.packets
    assert capture.recorded.lost_in == {"pod-1-1": capture.lost}
    assert struct.pack("=HHQ", 5, 8, capture.lost) in file.read_bytes()


def test_devices_without_an_ethernet_header(netlab: Netlab, tmp_path: Path) -> None:
    netlab.ok("up", "flannel-udp", "--nodes", "2", "--pods-per-node", "1", "--no-verify")
    file = tmp_path / "tun.pcapng"
    running = started(netlab, "node-1:flannel0", "-w", str(file), "-f", "icmp", "-c", "2")
    netlab.inside("pod-1-1", f"ping -c1 {FAR}")
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (0, "", "2 packets, 0 lost\n")
    assert [(str(one), one.link, one.frame[0]) for one in read(file)] == [
        ("node-1/flannel0 out", 101, 0x45),
        ("node-1/flannel0 in", 101, 0x45),
    ]
    done = netlab.run("capture", "node-1:flannel0", "-f", "arp", "-d", "0.01")
    assert done.code == 2
    assert "without an Ethernet header" in done.err


def started(netlab: Netlab, *words: str) -> subprocess.Popen[str]:
    """A capture whose sockets are open."""
    running = netlab.start("capture", *words)
    assert running.stderr
    assert running.stderr.readline().startswith("capturing on ")
    return running


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_capture_is_complete(
    lab: Lab, shared: Netlab, tmp_path: Path, ending: signal.Signals
) -> None:
    file = tmp_path / "x.pcapng"
    running = started(shared, "pod-1-1", "pod-2-1", "-w", str(file), "-f", "icmp", "--json")
    ping(lab)
    os.killpg(running.pid, ending)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (0, "4 packets, 0 lost\n")
    assert '"packets": 4' in out
    assert len(read(file)) == 4
    assert file.read_bytes().count(struct.pack("=HHQ", 5, 8, 0)) == 4, "two devices of each pod"


def test_lines_on_a_terminal_and_a_reader_that_leaves(lab: Lab, shared: Netlab) -> None:
    running = started(shared, "pod-1-1:eth0", "node-1:eth0", "-f", "icmp or udp", "-c", "2")
    ping(lab)
    out, err = running.communicate(timeout=20)
    assert err == "2 packets, 0 lost\n"
    pod, node = out.splitlines()
    assert f"pod-1-1/eth0 out 10.244.0.2 > {FAR} ttl 64 ICMP echo-request, 98 bytes" in pod
    assert "node-1/eth0  out 192.168.0.1 > 192.168.0.2 UDP 8472 VNI 1, inner " in node
    assert f" 10.244.0.2 > {FAR} ttl 63 ICMP echo-request, 148 bytes" in node

    running = started(shared, "pod-1-1:eth0", "-w", "-")
    assert running.stdout
    os.read(running.stdout.fileno(), 10)
    running.stdout.close()
    assert running.stderr
    assert running.wait(20) == 0, "although nothing passes"
    assert "netlab:" not in running.stderr.read()
    running.stderr.close()


def test_it_ends_with_who_started_it(lab: Lab, shared: Netlab) -> None:
    before = host.processes(shared.state)
    running = started(shared, "-d", "600")
    running.kill()
    running.communicate()
    deadline = time.monotonic() + 10
    while len(host.processes(shared.state)) > len(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(host.processes(shared.state)) == len(before)


def test_it_holds_nothing_of_its_caller(lab: Lab) -> None:
    reading, writing = os.pipe()
    with lab.capture("pod-1-1"):
        os.close(writing)
        assert os.read(reading, 1) == b"", "nobody else has the other end"
    os.close(reading)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda lab: lab.capture("pod-1-1:eth7"), "it has eth0, lo"),
        (lambda lab: lab.capture("pod-9-9"), "There is no target 'pod-9-9'"),
        (lambda lab: lab.capture(filter="no such"), "as libpcap says: "),
        (lambda lab: lab.capture(filter="vlan 5"), "where the tags are"),
        (lambda lab: lab.capture(file="x", ring=5), "not both"),
        (lambda lab: lab.capture(ring=-1), "not a number of bytes"),
        (lambda lab: lab.capture(file="/nonexistent/x"), "cannot be written"),
        (lambda lab: lab.capture(file="/"), "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(
    lab: Lab, work: Callable[[Lab], netlab.Capture], words: str
) -> None:
    gc.collect()  # what earlier tests left in cycles has descriptors too
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(BadInput, match=words), work(lab):
        pass
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_and_a_capture_to_a_file_that_is_to_be_saved(lab: Lab, tmp_path: Path) -> None:
    with (
        pytest.raises(netlab.NetlabError, match="No space left"),
        lab.capture("pod-1-1:eth0", file="/dev/full"),
    ):
        ping(lab)
    with lab.capture("pod-1-1:eth0", file=tmp_path / "x") as capture, pytest.raises(BadInput):
        capture.save(tmp_path / "y")


def test_a_user_captures(user: User) -> None:
    user.ok("up", "flannel-vxlan", "--nodes", "2", "--pods-per-node", "1", "--no-verify")
    words = ("capture", "pod-1-1:eth0", "-f", "icmp", "-c", "2", "-d", "30")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(user.ok, *words)
        while not found.done():
            user.run("exec", "pod-1-1", "--", "ping", "-c1", FAR)
    assert found.result() == {
        "packets": 2,
        "lost": 0,
        "devices": {"pod-1-1/eth0": 2},
        "lost_in": {},
        "file": None,
    }


def test_a_terminal_gets_no_file(shared: Netlab, lab: Lab) -> None:
    ours, its = os.openpty()
    done = subprocess.run(
        [*COMMAND, "capture", "-w", "-"],
        env=shared.environment,
        stdout=its,
        stderr=subprocess.PIPE,
        text=True,
        timeout=20,
    )
    os.close(its)
    os.close(ours)
    assert done.returncode == 2
    assert "nothing for a terminal" in done.stderr
