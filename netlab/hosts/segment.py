"""Do machines share a segment of Ethernet, and do frames to the MACs of nodes pass? By trying it.

Every machine calls all others, with a frame from a macvlan device such as a node gets; who hears
it answers to that device's MAC. A segment is shared where calls arrive, and fit for nodes where
answers do too: hypervisors may drop what is not from, or not to, the MAC that they gave.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping

import msgspec

from netlab.errors import Unmet
from netlab.hosts.protocol import Tell

_KIND = 0x88B5  # IEEE 802: for local experiments
_EVERYBODY = b"\xff" * 6
_CALL, _ANSWER = b"C", b"A"
_NAME, _BRIDGE, _UP = "probe", 4, 0x1  # MACVLAN_MODE_BRIDGE, IFF_UP
_AGAIN = 0.2  # seconds between two calls


class Segment(msgspec.Struct, frozen=True):
    """A probe of one machine: all machines of it have the cookie, and start at about one time.

    `others` are the names from whom to hear; it lasts `seconds` if some are not heard.
    """

    machine: str
    device: str
    cookie: str
    others: tuple[str, ...]
    seconds: float = 3.0


class Heard(msgspec.Struct, frozen=True):
    """The machines whose calls arrived here, and those whose answers to ours did."""

    calls: tuple[str, ...]
    answers: tuple[str, ...]


def probe_segment(probe: Segment, tell: Tell) -> Heard:
    """Call and listen on the machine's interface. Raises Unmet where that cannot be used."""
    heard: dict[bytes, set[str]] = {_CALL: set(), _ANSWER: set()}
    others = set(probe.others)
    with _node(probe.device) as (mac, opened):
        head = _EVERYBODY + mac + _KIND.to_bytes(2, "big")
        call = _frame(head, _CALL, probe)
        end = time.monotonic() + probe.seconds
        send_at = 0.0
        last = None  # all was heard since then; others may want to be answered still
        while (now := time.monotonic()) < end:
            if now >= send_at:
                opened.send(call)
                send_at = now + _AGAIN
            if last is None and all(others <= names for names in heard.values()):
                last = now
            if last is not None and now - last > 2 * _AGAIN:
                break
            if not select.select([opened], [], [], max(0, send_at - now))[0]:
                continue
            frame = opened.recv(2048)
            what, name = _read(frame, probe)
            if name not in others:
                continue
            heard[what].add(name)
            if what == _CALL:
                back = frame[6:12] + mac + _KIND.to_bytes(2, "big")
                opened.send(_frame(back, _ANSWER, probe))
    return Heard(tuple(sorted(heard[_CALL])), tuple(sorted(heard[_ANSWER])))


def verdict(heard: Mapping[str, Heard]) -> tuple[bool, str]:
    """Whether nodes' frames pass between all machines, and in words what does not, "" if all do."""
    names = list(heard)
    deaf = [
        (there, here)
        for here in names
        for there in names
        if here != there and there not in heard[here].calls
    ]
    pairs = len(names) * (len(names) - 1)
    if len(deaf) == pairs and pairs:
        return False, f"{_list(names)} hear nothing of each other on their underlay interfaces"
    if deaf:
        there, here = deaf[0]
        return False, f"a frame of {there} to all does not arrive at {here}"
    for here in names:
        for there in names:
            if here != there and there not in heard[here].answers:
                return False, (
                    f"{here} and {there} share a segment, but frames to a node's own MAC do not "
                    f"arrive at {here}: have its hypervisor allow promiscuous mode and changed "
                    "MACs on that network (VirtualBox: --nicpromisc2 allow-all)"
                )
    return True, ""


def _list(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _frame(head: bytes, what: bytes, probe: Segment) -> bytes:
    text = f"{probe.cookie} {probe.machine}".encode()
    return (head + what + len(text).to_bytes(2, "big") + text).ljust(60, b"\0")


def _read(frame: bytes, probe: Segment) -> tuple[bytes, str]:
    """Call or answer, and whose; the name is "" for frames of others."""
    length = int.from_bytes(frame[15:17], "big")
    cookie, _, name = frame[17 : 17 + length].decode(errors="replace").partition(" ")
    return frame[14:15], name if cookie == probe.cookie and frame[14:15] in (_CALL, _ANSWER) else ""


@contextlib.contextmanager
def _node(device: str) -> Iterator[tuple[bytes, socket.socket]]:
    """A macvlan device on the machine's interface, as a node has; its MAC, and a socket on it.

    It is in a network namespace of this process's own, and so goes with it.
    """
    from netlab.kernel import syscalls as sys_
    from netlab.kernel.netlink import open_netlink, request
    from netlab.kernel.pyroute import linkmsg, rtnl
    from netlab.kernel.pyroute import netlink as nl

    mac = b"\x02" + os.urandom(5)
    with contextlib.closing(open_netlink()) as machine:
        try:
            parent = socket.if_nametoindex(device)
        except OSError:
            raise Unmet(f"There is no interface {device}", "name another") from None
        sys_.unshare(sys_.CLONE_NEWNET)
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        mode = ("IFLA_INFO_DATA", (("IFLA_MACVLAN_MODE", _BRIDGE),))
        attributes = (
            ("IFLA_IFNAME", _NAME),
            ("IFLA_ADDRESS", mac.hex(":")),
            ("IFLA_LINK", parent),
            ("IFLA_NET_NS_FD", own),
            ("IFLA_LINKINFO", (("IFLA_INFO_KIND", "macvlan"), mode)),
        )
        flags = nl.NLM_F_CREATE | nl.NLM_F_EXCL
        up = {"flags": _UP, "change": _UP}
        made = request(linkmsg, rtnl.RTM_NEWLINK, flags, up, attributes, device)
        refused = machine.send([made])
        os.close(own)
    if refused:
        raise Unmet(f"No macvlan device can be made on {refused[0]}", "name another interface")
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_KIND))
    with contextlib.closing(opened):
        opened.bind((_NAME, _KIND))
        yield mac, opened
