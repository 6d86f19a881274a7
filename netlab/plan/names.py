"""Names and MAC addresses which real systems draw at random, here derived from what they belong to.

A plan is a value: compiled twice, it must be equal, and every node must know the others' MACs.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address

UPLINK = "eth0"  # a machine's device on the underlay
SWITCH_BRIDGE = "br0"
POD_DEVICE = "eth0"
DEVICE_NAME_MAX = 15  # IFNAMSIZ less the final NUL
# Of a namespace's file: the logs of its processes have their names (63) and an ending beside it.
NETNS_NAME_MAX = 180
HOST_NAME_MAX = 63  # to which kubelet cuts a pod's; the kernel takes 64
# In the switch: its own devices, and folders of /proc/sys/net/ipv4/conf that are no device's.
_NO_PORT = frozenset({"all", "default", "lo", SWITCH_BRIDGE})


def switch_port(machine: str) -> str:
    """The switch's port of a machine: its name, or a hash of one that a device cannot have."""
    if len(machine) <= DEVICE_NAME_MAX and machine not in _NO_PORT:
        return machine
    return "port-" + hashlib.blake2b(machine.encode(), digest_size=5).hexdigest()


def netns(name: str) -> str:
    """The file of a namespace under /run/netns: `prod_web-0` for `prod/web-0`."""
    flat = name.replace("/", "_")
    if len(flat) <= NETNS_NAME_MAX:
        return flat
    digest = hashlib.blake2b(flat.encode(), digest_size=8).hexdigest()
    return f"{flat[: NETNS_NAME_MAX - len(digest) - 1]}_{digest}"


def host_name(name: str) -> str:
    """The host name in a pod or node (kubelet's truncatePodHostnameIfNeeded)."""
    return name.rpartition("/")[2][:HOST_NAME_MAX].rstrip("-.")


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
