"""What a probe's frame looked like on the underlay, and whether that is what it should be.

scapy decodes the frames that are evidence. Its import takes 0.14 s, so it waits until the first
frame; and only the layers in use are imported.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from netlab.probe.capture import Captured
from netlab.probe.icmp import Ping, Pong
from netlab.probe.result import Check

Device = tuple[str, str]  # namespace and name
Pair = tuple[str, str]  # source and destination

NOTHING = "nothing on the underlay"
_ICMP_HEADER = 8
_ECHO_REQUEST = 8
_VXLAN_FLAGS = 0x08  # RFC 7348: the I flag, a valid VNI


@dataclass(frozen=True, slots=True)
class Seen:
    """The headers of a frame that carries a pod's packet.

    `frame` are the MACs on the underlay; `tunnel` is `bare` without one; `outer` to `inner` are the
    tunnel's headers; `packet` and `ttl` are the pod's IP header, the TTL as it passed there.
    """

    frame: Pair
    packet: Pair
    ttl: int
    tunnel: str = "bare"
    outer: Pair | None = None
    udp_port: int | None = None
    vni: int | None = None
    inner: Pair | None = None

    def __str__(self) -> str:
        """The facts in one line."""
        packet = f"{_arrow(self.packet)} ttl {self.ttl}"
        if self.outer is None:
            return f"{_arrow(self.frame)} {packet}"
        udp = f" UDP {self.udp_port}" if self.udp_port is not None else f" {self.tunnel}"
        vni = f" VNI {self.vni}" if self.vni is not None else ""
        inner = f"{_arrow(self.inner)} " if self.inner else ""
        return f"{_arrow(self.outer)}{udp}{vni}, inner {inner}{packet}"

    @property
    def form(self) -> str:
        """The kind of frame in a few words."""
        if self.tunnel == "VXLAN":
            return f"VXLAN, VNI {self.vni}, UDP {self.udp_port}"
        return self.tunnel


@dataclass(frozen=True, slots=True)
class WirePath:
    """A path to be proved on the underlay: an echo that is told from all others by its payload.

    `points` are the switch ports of the underlay where it must be seen once, and how; it must be
    seen nowhere else there. (A switch floods frames to a MAC that it has not learned, so both ends
    must have sent something before.)
    """

    source: str
    target: str
    ping: Ping
    points: Mapping[Device, Seen]

    @property
    def expected(self) -> str:
        if not self.points:
            return NOTHING
        form = next(iter(self.points.values())).form
        ports = " and ".join(self._place(device) for device in self.points)
        return f"{form}, once at the port of {ports}"

    def _place(self, device: Device) -> str:
        """The port's name: with its switch where that of another switch is named alike."""
        alike = sum(name == device[1] for _, name in self.points)
        return f"{device[1]} on {device[0]}" if alike > 1 else device[1]

    def judge(
        self, frames: Sequence[Captured], lost: Mapping[str, str], pong: Pong | None = None
    ) -> Check:
        """The verdict, given all frames that carry this echo's payload, and its outcome."""
        problems, evidence = (
            self._compare(frames, lost) if self.points else self._none(frames, lost)
        )
        if pong and pong.error:
            problems.append(pong.error)
        return Check(
            "wire",
            self.source,
            self.target,
            self.expected,
            "; ".join(problems) or self.expected,
            not problems,
            evidence,
        )

    def _compare(
        self, frames: Sequence[Captured], lost: Mapping[str, str]
    ) -> tuple[list[str], str]:
        problems: list[str] = []
        evidence = ""
        for device, want in self.points.items():
            if device[0] in lost:
                problems.append(lost[device[0]])
                continue
            seen = [decode(f.frame) for f in frames if (f.namespace, f.device) == device]
            evidence = evidence or next((str(one) for one in seen), "")
            problems += _differences(self._place(device), want, seen)
        elsewhere = dict.fromkeys(
            frame.device for frame in frames if (frame.namespace, frame.device) not in self.points
        )
        if elsewhere:
            problems.append(f"also seen at the port of {', '.join(elsewhere)}")
        return problems, evidence

    def _none(self, frames: Sequence[Captured], lost: Mapping[str, str]) -> tuple[list[str], str]:
        if lost:
            return list(lost.values()), ""
        if not frames:
            return [], NOTHING
        where = ", ".join(dict.fromkeys(frame.device for frame in frames))
        return [f"seen on the underlay at the port of {where}"], str(decode(frames[0].frame))


def carrying(frames: Iterable[Captured], marks: Mapping[bytes, int]) -> dict[int, list[Captured]]:
    """The echo requests among `frames` by the number of the mark that their payload begins with.

    All marks have one length and begin with the same 8 bytes, so that this needs no decoding.
    """
    found: dict[int, list[Captured]] = {number: [] for number in marks.values()}
    if not marks:
        return found
    one = next(iter(marks))
    common, length = one[:8], len(one)
    for item in frames:
        at = item.frame.find(common)
        if at < _ICMP_HEADER or item.frame[at - _ICMP_HEADER] != _ECHO_REQUEST:
            continue
        number = marks.get(item.frame[at : at + length])
        if number is not None:
            found[number].append(item)
    return found


@functools.cache
def _load_scapy() -> None:
    """Import the layers in use.

    scapy keeps a cache in the user's home. Where it cannot, or root left files there that this user
    cannot read, the sandbox's own /run serves.
    """
    try:
        importlib.import_module("scapy.layers.vxlan")
    except OSError:
        os.environ["XDG_CACHE_HOME"] = "/run"
        for name in [name for name in sys.modules if name.partition(".")[0] == "scapy"]:
            del sys.modules[name]
        importlib.import_module("scapy.layers.vxlan")


@functools.lru_cache(maxsize=64)  # a switch passes a frame on as it is, from port to port
def decode(frame: bytes) -> Seen | None:
    """Take a frame apart down to the pod's IP header; None where there is none in it."""
    _load_scapy()
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    outside = Ether(frame)
    if IP not in outside:
        return None
    outer = outside[IP]
    macs = (outside.src, outside.dst)
    payload = outer.payload
    if isinstance(payload, UDP):
        return _decode_vxlan(macs, outer, payload)
    if isinstance(payload, IP):
        return Seen(macs, _ends(payload), payload.ttl, "IPIP", _ends(outer))
    return Seen(macs, _ends(outer), outer.ttl)


def _decode_vxlan(macs: Pair, outer: Any, udp: Any) -> Seen | None:
    """Whatever its port is: a wrong one is to be reported, not overlooked."""
    from scapy.layers.inet import IP
    from scapy.layers.vxlan import VXLAN

    content = bytes(udp.payload)
    if not content or not content[0] & _VXLAN_FLAGS:
        return Seen(macs, _ends(outer), outer.ttl, "UDP", _ends(outer), udp.dport)
    vxlan = VXLAN(content)
    if IP not in vxlan:
        return None
    packet = vxlan[IP]
    inner = (vxlan.payload.src, vxlan.payload.dst)
    return Seen(macs, _ends(packet), packet.ttl, "VXLAN", _ends(outer), udp.dport, vxlan.vni, inner)


def _ends(header: Any) -> Pair:
    return header.src, header.dst


def _arrow(pair: Pair) -> str:
    return f"{pair[0]} > {pair[1]}"


_LABELS = {
    "frame": "frame",
    "packet": "packet",
    "ttl": "ttl",
    "tunnel": "form",
    "outer": "outer addresses",
    "udp_port": "UDP port",
    "vni": "VNI",
    "inner": "inner frame",
}


def _differences(where: str, want: Seen, seen: Sequence[Seen | None]) -> list[str]:
    """What is wrong at one port, in words; nothing where exactly the right frame passed once."""
    if not seen:
        return [f"not seen at the port of {where}"]
    if len(seen) > 1:
        forms = " and ".join(one.form if one else "undecodable" for one in seen)
        return [f"seen {len(seen)} times at the port of {where} ({forms})"]
    one = seen[0]
    if one is None:
        return [f"undecodable at the port of {where}"]
    if one.tunnel != want.tunnel:
        return [f"{one.form}, not {want.form}, at the port of {where}"]
    words = [
        f"{_LABELS[field.name]} {_text(getattr(one, field.name))}, not "
        f"{_text(getattr(want, field.name))}"
        for field in fields(Seen)
        if getattr(one, field.name) != getattr(want, field.name)
    ]
    return [f"{'; '.join(words)} at the port of {where}"] if words else []


def _text(value: Pair | str | int | None) -> str:
    return _arrow(value) if isinstance(value, tuple) else str(value)
