"""Captured frames as lines: when, where, which way, and the headers in the words of evidence."""

from __future__ import annotations

import struct
import time
from typing import Any

from netlab.plan import headers as h
from netlab.probe.engines.decode import UNKNOWN, dissect
from netlab.probe.engines.pcapng import ETHERNET, Frame
from netlab.probe.engines.recorder import Device

_FLAGS = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "A": "ACK"}
_WITH_CODE = (3, 5, 11)  # types of ICMP whose code tells more


def line(device: Device, frame: Frame, width: int) -> str:
    """One frame; the device's name takes `width` columns at least."""
    seconds, nanoseconds = divmod(frame.time, 1_000_000_000)
    clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{nanoseconds:09}"
    way = "out" if frame.outbound else "in "
    told = headers(frame.data, ethernet=device.link == ETHERNET)
    return f"{clock} {device!s:{width}} {way} {told}, {frame.length} bytes"


def headers(data: bytes, *, ethernet: bool = True) -> str:
    """The headers of a frame from the outside in, and what its payload is."""
    try:
        found = list(dissect(data, ethernet=ethernet))
    except struct.error:  # scapy's, of an outermost header that is not whole
        return "no whole header"
    told = [_words(header, layer) for header, layer in found]
    for number, (_, layer) in enumerate(found[:-1]):
        if found[number + 1][0] == h.Other(UNKNOWN):  # UDP that carries no packet
            told[number] = f"UDP {layer.sport} > {layer.dport}"
    inner = [(number, one) for number, (one, _) in enumerate(found) if isinstance(one, h.Ip)]
    if inner:
        last, packet = inner[-1]
        told[last] += f" ttl {packet.ttl}"
        if len(inner) > 1:
            within = last - 1 if isinstance(found[last - 1][0], h.Ether) else last
            told[within] = f", inner {told[within]}"
    if any(told[1:]) and isinstance(found[0][0], h.Ether):
        told[0] = ""  # goes without saying
    return " ".join(filter(None, told)).replace(" , ", ", ")


def _words(header: h.Header | None, layer: Any) -> str:
    """A header as evidence says it; more of those that evidence knows by their names alone."""
    if header is None:
        return _payload(layer)
    if not isinstance(header, h.Other):
        return header.line
    name = header.layer
    if name == UNKNOWN:
        return ""
    if name == "TCP":
        flags = [_FLAGS[flag] for flag in str(layer.flags) if flag in _FLAGS]
        return f"TCP {layer.sport} > {layer.dport} {','.join(flags)}".rstrip()
    if name == "ARP":
        if layer.op == 1:
            return f"{layer.psrc} asks for {layer.pdst} by ARP"
        return f"{layer.psrc} is at {layer.hwsrc}, says ARP"
    if name == "ICMPv6ND_NS":
        return f"asks for {layer.tgt} by ICMPv6"
    if name == "ICMPv6ND_NA":
        return f"{layer.tgt} answers by ICMPv6"
    if name.startswith(("ICMPv6", "MLD")):
        return str(layer.name)
    return name


def _payload(layer: Any) -> str:
    """What is known of a payload: ICMP, or of what nobody here reads the protocol's number."""
    name, around = type(layer).__name__, layer.underlayer
    if name == "ICMP":
        code = layer.sprintf(" %ICMP.code%") if layer.type in _WITH_CODE else ""
        return f"ICMP {layer.sprintf('%ICMP.type%')}{code}"
    if name.startswith("ICMPv6"):
        return str(layer.name)
    if type(around).__name__ == "IP":
        return f"protocol {around.proto}{' fragment' if around.frag else ''}"
    if type(around).__name__ == "IPv6":
        return f"protocol {around.nh}"
    return ""
