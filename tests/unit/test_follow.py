"""How a packet's answer is found among captured frames."""

from __future__ import annotations

import struct

import pytest

from netlab.probe.engines.capture import Captured
from netlab.probe.engines.follow import _answers

BEGUN = b"\x12\x34\x56\x78"
NUMBER = b"\x12\x34\x56\x79"  # one more: what acknowledges it


def segment(flags: int, acknowledged: bytes) -> bytes:
    """An Ethernet frame with a TCP segment and no data."""
    addresses = bytes([10, 0, 0, 2, 10, 0, 0, 1])
    ip = b"\x45" + bytes(8) + b"\x06" + bytes(2) + addresses
    tcp = struct.pack("!HH4x4sBB6x", 80, 4000, acknowledged, 0x50, flags)
    return bytes(14) + ip + tcp


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (segment(0x12, NUMBER), 1),
        (segment(0x14, NUMBER), 1),
        (segment(0x10, NUMBER), 0),
        (segment(0x12, BEGUN), 0),
        (segment(0x12, BEGUN) + NUMBER, 0),
        (segment(0x12, BEGUN) + NUMBER + b"\x50", 0),
    ],
    ids=["accepted", "refused", "data", "another", "number at the end", "number before the end"],
)
def test_a_syn_s_answer(frame: bytes, found: int) -> None:
    seen = list(_answers([Captured("node-1", "eth0", "in", frame)], BEGUN))
    assert len(seen) == found
