"""Policies and states of XFRM, which is IPsec's (`ip xfrm`; net/xfrm/xfrm_user.c)."""

from __future__ import annotations

import contextlib
import functools
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from netlab.kernel import namespaces
from netlab.kernel.attributes import attribute, attributes
from netlab.kernel.extras.base import extra
from netlab.kernel.netlink import Netlink, Request, open_netlink
from netlab.plan.routing import Extra

_PROTOCOL = 6  # NETLINK_XFRM
_DELETE_STATE, _GET_STATE = 0x11, 0x12  # XFRM_MSG_DELSA, _GETSA (linux/xfrm.h)
_DELETE_POLICY, _GET_POLICY = 0x14, 0x15  # XFRM_MSG_DELPOLICY, _GETPOLICY
_SET_DEFAULT, _GET_DEFAULT = 0x27, 0x28  # XFRM_MSG_SETDEFAULT, _GETDEFAULT
# struct xfrm_selector: daddr, saddr, ports and masks, family, lengths, proto, ifindex, user
_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")
_POLICY = struct.Struct("=64x32xIIBBBB4x")  # priority, index, direction, action, flags, share
_STATE = struct.Struct("=16s4sB3x16s64x32x12xIIHBBB7x")  # xfrm_id, saddr, …, family, mode, …
_STATE_ID = struct.Struct("=16s4sHBx")  # struct xfrm_usersa_id
_DEFAULT = struct.Struct("=BBB")  # struct xfrm_userpolicy_default: in, forward, out
_ACCEPT = 2  # XFRM_USERPOLICY_ACCEPT; what a kernel that was never told has is 0
_DIRECTIONS = ("in", "out", "fwd")  # beyond are those of single sockets
_ACTIONS = {0: "allow", 1: "block"}
_IDENTIFYING = frozenset({16, 21, 31})  # XFRMA_POLICY_TYPE, _MARK, _IF_ID
_STATES = Request(_GET_STATE, 0, b"", "XFRM states")
_POLICIES = Request(_GET_POLICY, 0, b"", "XFRM policies")
_DEFAULTS = Request(_GET_DEFAULT, 0, bytes(4), "XFRM's default policies")


def read() -> Iterator[Extra]:
    """Those of the current namespace, but for states that the kernel asks a daemon to complete."""
    if not _kernel_has():
        return
    with contextlib.closing(open_netlink(_PROTOCOL)) as netlink:
        for body in netlink.dump(_POLICIES):
            yield from _policy(body)
        for body in netlink.dump(_STATES):
            yield from _state(body)
        yield from _default(netlink)


@functools.cache
def _kernel_has() -> bool:
    """Whether the kernel speaks the protocol: it has a socket of its own in each namespace then.

    To open one would load the module.
    """
    with namespaces.at_home():
        lines = Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]
    return any(line.split()[1] == str(_PROTOCOL) for line in lines)


def _policy(body: bytes) -> Iterator[Extra]:
    selector = body[: _SELECTOR.size]
    priority, index, direction, action, _, _ = _POLICY.unpack_from(body, _SELECTOR.size)
    if direction & 7 >= len(_DIRECTIONS):
        return
    values = dict(attributes(body, _SELECTOR.size + _POLICY.size))
    word = _ACTIONS.get(action, str(action))
    words = f"{_selected(selector)} dir {_DIRECTIONS[direction & 7]} {word} priority {priority}"
    deletion = selector + struct.pack("=IB3x", index, direction)
    yield extra("xfrm policy", words, _DELETE_POLICY, deletion + _given(values), "", _PROTOCOL)


def _state(body: bytes) -> Iterator[Extra]:
    target, spi, protocol, source, _, _, family, *_ = _STATE.unpack_from(body, _SELECTOR.size)
    if not any(spi):
        return
    values = dict(attributes(body, _SELECTOR.size + _STATE.size))
    words = f"src {_address(source, family)} dst {_address(target, family)}"
    words += f" proto {protocol} spi 0x{spi.hex()}"
    deletion = _STATE_ID.pack(target, spi, family, protocol) + _given(values)
    yield extra("xfrm state", words, _DELETE_STATE, deletion, "", _PROTOCOL)


def _default(netlink: Netlink) -> Iterator[Extra]:
    """What happens to packets for which there is no policy, where that is not to let them pass."""
    actions = _DEFAULT.unpack_from(netlink.ask(_DEFAULTS))
    blocked = [
        name for name, action in zip(("in", "fwd", "out"), actions, strict=True) if action == 1
    ]
    if blocked:
        body = _DEFAULT.pack(_ACCEPT, _ACCEPT, _ACCEPT) + b"\0"
        words = f"of {' and '.join(blocked)} block"
        yield extra("xfrm default", words, _SET_DEFAULT, body, "", _PROTOCOL)


def _given(values: dict[int, bytes]) -> bytes:
    return b"".join(attribute(n, data) for n, data in values.items() if n in _IDENTIFYING)


def _selected(selector: bytes) -> str:
    target, source, *ports, family, length, source_length, protocol, _, _ = _SELECTOR.unpack(
        selector
    )
    words = (
        f"src {_address(source, family)}/{source_length} dst {_address(target, family)}/{length}"
    )
    for name, port in (("sport", ports[2]), ("dport", ports[0])):
        words += f" {name} {int.from_bytes(port, 'big')}" if any(port) else ""
    return f"{words} proto {protocol}" if protocol else words


def _address(data: bytes, family: int) -> str:
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, data)
    return socket.inet_ntop(socket.AF_INET, data[:4])
