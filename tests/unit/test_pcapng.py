"""pcapng files, read back by scapy; and the order in which frames come into them."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader

from netlab.errors import BadInput
from netlab.probe.engines import pcapng
from netlab.probe.engines.bpf import PASS, REFUSE, on_devices
from netlab.probe.engines.pcapng import ETHERNET, RAW, Frame
from netlab.probe.engines.recorder import Device
from netlab.probe.engines.sinks import Head, Ordered, Ring, Stream

NOW = 1_795_737_870_644_068_536
DEVICES = [Device("node-1", "eth0", ETHERNET), Device("node-1", "flannel0", RAW)]
HEAD = Head("netlab", "icmp", DEVICES)


def frame(time: int, device: int = 0, data: bytes = b"12345") -> Frame:
    return Frame(NOW + time, device, pcapng.OUTBOUND, data, 9000)


def read(path: Path) -> list[tuple[int, str, int, bytes, int]]:
    """Time in nanoseconds, device, link type, frame, and its length on the wire."""
    found = []
    with RawPcapNgReader(str(path)) as reader:
        for data, about in reader:
            assert about.tsresol == 1_000_000_000
            time = (about.tshigh << 32) + about.tslow
            found.append((time, about.ifname.decode(), about.linktype, data, about.wirelen))
    return found


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT)


def test_a_file_has_names_link_types_and_nanoseconds_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    stream = Stream(50, 0, opened(path), HEAD)
    stream.add([frame(30), frame(31)])
    stream.add([frame(10, 1, b"")])
    stream.pass_on(NOW + 70, NOW + 700)
    assert [time for time, *_ in read(path)] == [NOW + 10], "others may still come between"
    stream.add([frame(20)])
    stream.end({"node-1": 7})
    ethernet, raw = ("node-1/eth0", ETHERNET), ("node-1/flannel0", RAW)
    assert read(path) == [
        (NOW + 10, *raw, b"", 9000),
        (NOW + 20, *ethernet, b"12345", 9000),
        (NOW + 30, *ethernet, b"12345", 9000),
        (NOW + 31, *ethernet, b"12345", 9000),
    ]
    dropped = [struct.pack("=HHQ", 5, 8, count) for count in (7, 0)]
    assert [path.read_bytes().count(one) for one in dropped] == [1, 1], "said once, in one block"


def test_a_device_that_comes_later_is_told_before_its_frame(tmp_path: Path) -> None:
    path, devices = tmp_path / "x.pcapng", DEVICES[:1]
    stream = Stream(50, 0, opened(path), Head("netlab", "", devices))
    devices.append(DEVICES[1])
    stream.add([frame(1, 1), frame(2)])
    stream.end({})
    assert [name for _, name, *_ in read(path)] == ["node-1/flannel0", "node-1/eth0"]


def test_frames_of_one_time_stay_in_their_sockets_order() -> None:
    given: list[Frame] = []
    ordered = Ordered(50, 3, given.extend)
    ordered.add([frame(5, data=b"a"), frame(5, data=b"b"), frame(4), frame(6)])
    ordered.end({})
    assert [one.data for one in given] == [b"12345", b"a", b"b"], "and no more than were wanted"
    assert ordered.full


def test_a_clock_that_is_set_back_keeps_nothing_back() -> None:
    given: list[Frame] = []
    ordered = Ordered(50, 0, given.extend)
    ordered.add([frame(1000)])
    ordered.pass_on(NOW, NOW)
    assert given


def test_a_ring_keeps_the_newest_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    ring = Ring(3 * 300)
    ring.add([frame(time, data=bytes(50)) for time in range(5)])
    ring.save(opened(path), HEAD, {})
    assert [time - NOW for time, *_ in read(path)] == [2, 3, 4]
    assert b"2 older packets were forgotten" in path.read_bytes()
    ring.clear()
    ring.save(opened(path), HEAD, {})
    assert ring.counts.total() == 0


Program = Sequence[tuple[int, int, int, int]]


def run(program: Program, device: int, kind: int) -> int:
    """What a program of those few instructions answers for a frame of a device of a type."""
    at = value = 0
    while True:
        code, true, false, k = program[at]
        at += 1
        if code == 0x20:
            value = {8: device, 28: kind}[k - 0xFFFFF000]
        elif code == 0x15:
            at += true if value == k else false
        elif code == 0x05:
            at += k
        else:
            return k


@pytest.mark.parametrize("chosen", [[], [7], [3, 7, 9]])
def test_a_program_asks_for_the_device_and_its_type(chosen: list[int]) -> None:
    program = on_devices(chosen, PASS, REFUSE)
    for device in (3, 7, 9, 11):
        wanted = not chosen or device in chosen
        assert bool(run(program, device, 1)) is wanted
        assert bool(run(program, device, 772)) is wanted
        assert not run(program, device, 65534)
    assert bool(run(on_devices(chosen, REFUSE, PASS), 7, 65534))


def test_what_targets_mean() -> None:
    from netlab.capturing import Capturing
    from netlab.plan.types import Namespace, Plan

    spaces = {name: Namespace(name, "node") for name in ("node-1", "node-2")}
    addresses = {"fd44::2": "node-1", "10.0.0.1": "node-2"} | {name: name for name in spaces}

    class Fake(Capturing):
        plan = Plan("test", (), spaces)

        def target(self, name: str) -> Namespace:
            if name not in addresses:
                raise BadInput(f"no {name}")
            return spaces[addresses[name]]

    lab = Fake()
    assert lab.devices([]) == {"node-1": (), "node-2": ()}
    assert lab.devices(["fd44::2:eth0", "10.0.0.1:lo", "[fd44::2]:cni0"]) == {
        "node-1": ("eth0", "cni0"),
        "node-2": ("lo",),
    }
    assert lab.devices(["node-1:eth0", "fd44::2"]) == {"node-1": ()}
    for wrong in ("node-3", "node-1:", "fd44::3", "node-3:eth0", ""):
        with pytest.raises(BadInput):
            lab.devices([wrong])
