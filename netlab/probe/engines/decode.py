"""Frames taken apart to header stacks, by scapy.

Its import takes 0.14 s, so it waits until the first frame; and only the layers in use are imported.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from netlab.plan import headers as h

_IPV6_TYPE = b"\x86\xdd"
_ETHERTYPES = {0x6558: "Ether", 0x0800: "IP", 0x86DD: "IPv6"}
_READERS: dict[str, Callable[[Any], h.Header]] = {
    "Ether": lambda layer: h.Ether(layer.src, layer.dst),
    "IP": lambda layer: h.Ip(layer.src, layer.dst, layer.ttl),
    "IPv6": lambda layer: h.Ip6(layer.src, layer.dst, layer.hlim),
    "UDP": lambda layer: h.Udp(layer.dport),
    "VXLAN": lambda layer: h.Vxlan(layer.vni),
    "GENEVE": lambda layer: h.Geneve(layer.vni),
}
# Where the pod's own packet has its payload: the probe's echo.
UNKNOWN = "unknown payload"
_PAYLOADS = ("ICMP", "ICMPv6EchoRequest", "ICMPv6EchoReply", "Raw", "Padding", "NoPayload")


@functools.lru_cache(maxsize=256)  # a switch passes a frame on as it is, from port to port
def decode(frame: bytes) -> h.Stack:
    """The headers of a frame from the outside in, down to the packet that carries the payload.

    What is in UDP is recognised by its content, whatever the port is: a wrong port is to be
    reported, not overlooked. A layer that is not known here has scapy's name for it.
    """
    return h.Stack(tuple(header for header, _ in dissect(frame) if header))


def dissect(frame: bytes, *, ethernet: bool = True) -> Iterator[tuple[h.Header | None, Any]]:
    """As `decode`, each header with scapy's layer; and last the payload, which is no header.

    `ethernet` is whether the frame begins with that header, else with one of IP.
    """
    _load("scapy.layers.l2")
    layers = importlib.import_module("scapy.layers.inet")
    six = not ethernet and frame[:1] >= b"\x60"
    if six or _IPV6_TYPE in frame:
        inet6 = _load("scapy.layers.inet6")
    first = layers.Ether if ethernet else inet6.IPv6 if six else layers.IP
    return _headers(first(frame))


def _headers(layer: Any) -> Iterator[tuple[h.Header | None, Any]]:
    while (name := type(layer).__name__) not in _PAYLOADS:
        read = _READERS.get(name)
        yield (read(layer) if read else h.Other(_standard(name))), layer
        if name == "UDP":
            content = bytes(layer.payload)
            if _is_wireguard(content):
                yield h.Wireguard(len(content) - h.Wireguard.size), layer.payload
                return
            inside = _inside_udp(content)
            if inside is None:
                yield h.Other(UNKNOWN), layer.payload
                return
            layer = inside
        else:
            layer = layer.payload
    yield None, layer


def _inside_udp(content: bytes) -> Any | None:
    """The layer that UDP carries: GENEVE, VXLAN, or an IP packet as it is (Flannel's UDP)."""
    if len(content) < 16:
        return None
    kind = int.from_bytes(content[2:4], "big")
    if content[0] < 0x40 and content[7] == 0 and kind in _ETHERTYPES:
        return _load("scapy.contrib.geneve").GENEVE(content)
    if content[0] in (0x08, 0x88) and content[7] == 0:  # RFC 7348: a valid VNI; with a GBP tag
        return _load("scapy.layers.vxlan").VXLAN(content)
    if content[0] >> 4 == 4 and int.from_bytes(content[2:4], "big") == len(content):
        return _load("scapy.layers.inet").IP(content)
    if content[0] >> 4 == 6 and int.from_bytes(content[4:6], "big") + 40 == len(content):
        return _load("scapy.layers.inet6").IPv6(content)
    return None


def _is_wireguard(content: bytes) -> bool:
    """Whether UDP carries a WireGuard data message: its type is 4, and what it encrypts is padded
    to 16 bytes."""
    return content[:4] == b"\4\0\0\0" and len(content) >= h.Wireguard.size and not len(content) % 16


def _standard(name: str) -> str:
    return {"Dot1Q": "802.1Q", "Dot1AD": "802.1ad", "IPv6ExtHdrFragment": "fragment"}.get(
        name, name
    )


@functools.cache
def _load(module: str) -> Any:
    """Import a layer.

    scapy keeps a cache in the user's home. Where it cannot, or root left files there that this user
    cannot read, the sandbox's own /run serves.
    """
    try:
        return importlib.import_module(module)
    except OSError:
        os.environ["XDG_CACHE_HOME"] = "/run"
        for name in [name for name in sys.modules if name.partition(".")[0] == "scapy"]:
            del sys.modules[name]
        return importlib.import_module(module)
