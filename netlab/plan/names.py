"""Names and MAC addresses which real systems draw at random, here derived from what they belong to.

A plan is a value: compiled twice, it must be equal, and every node must know the others' MACs.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address

UPLINK = "eth0"  # a machine's device on the underlay
SWITCH_BRIDGE = "br0"
POD_DEVICE = "eth0"


def mac(*owner: str) -> str:
    """A locally administered unicast MAC, as flannel (pkg/mac) and the kernel draw them."""
    digest = bytearray(hashlib.blake2b("/".join(owner).encode(), digest_size=6).digest())
    digest[0] = (digest[0] & 0xFE) | 0x02
    return digest.hex(":")


def host_veth(pod: str) -> str:
    """The host end of a pod's veth: `veth` and 8 hex digits (CNI plugins, pkg/ip)."""
    return "veth" + hashlib.blake2b(pod.encode(), digest_size=4).hexdigest()


def link_local(mac_address: str) -> str:
    """The IPv6 link-local address of a MAC (RFC 4291, modified EUI-64)."""
    raw = bytearray.fromhex(mac_address.replace(":", ""))
    raw[0] ^= 2
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes(raw[:3]) + b"\xff\xfe" + bytes(raw[3:])))
