"""Namespaces that are being worked on: netlink sockets, and indexes of devices by name."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

from netlab.kernel import devices, namespaces
from netlab.kernel.ahead import Ahead
from netlab.kernel.devices.base import LOOPBACK, bring_up
from netlab.kernel.netlink import Netlink, NetlinkError, Request
from netlab.plan.links import FALLBACK_DEVICES

FIRST_INDEX = 16  # above the fallback tunnel devices that some kernels put into every namespace


class Space:
    """One that is `fresh` has nothing but a loopback device, which comes up with its first send."""

    def __init__(self, name: str, *, fresh: bool) -> None:
        self.name = name
        self.fresh = fresh
        self.netlink = Netlink(namespaces.open_socket(name, socket.AF_NETLINK, socket.SOCK_RAW))
        self.indexes: dict[str, int] = {"lo": LOOPBACK}
        self.queued: list[Request] = []  # sent with the next requests, before them
        self._next = FIRST_INDEX
        if self.fresh:
            self.queued.append(bring_up(LOOPBACK, "lo"))
        else:
            known = devices.dump(self.netlink, FALLBACK_DEVICES)
            self.indexes |= {raw.name: index for index, raw in known.items()}
            self._next = max([FIRST_INDEX - 1, *known]) + 1

    def new_index(self, device: str) -> int:
        """An index for a new device, chosen here so that requests can refer to it at once."""
        index = self.indexes[device] = self._next
        self._next += 1
        return index

    def made(self, device: str, index: int) -> None:
        """Note a device to which the kernel gave an index of its own."""
        self.indexes[device] = index
        self._next = max(self._next, index + 1)


class Spaces:
    """The namespaces of one piece of work; `problems` are the requests refused, in words."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.new: Ahead[Any] | None = None  # those that are being made
        self._open: dict[str, Space] = {}

    def get(self, name: str) -> Space:
        space = self._open.get(name)
        if space is None:
            fresh = self.new is not None and name in self.new
            if self.new and fresh:
                self.new.wait(name)
            space = self._open[name] = Space(name, fresh=fresh)
        return space

    def ready(self, name: str) -> Space:
        """As `get`, with what is queued sent: for work on it that is no request."""
        space = self.get(name)
        self.send(space, [])
        return space

    def send(self, space: Space, requests: list[Request], *, tolerate: Iterable[int] = ()) -> None:
        """Send what is queued, then these."""
        if space.queued:
            requests, space.queued = space.queued + requests, []
        if requests:
            self._note(space, space.netlink.send(requests), tolerate)

    def send_by(
        self, protocol: int, space: Space, requests: list[Request], *, tolerate: Iterable[int] = ()
    ) -> None:
        """Send to another netlink family than that of devices and routes."""
        kind = socket.SOCK_RAW
        netlink = Netlink(namespaces.open_socket(space.name, socket.AF_NETLINK, kind, protocol))
        with contextlib.closing(netlink):
            self._note(space, netlink.send(requests), tolerate)

    def _note(self, space: Space, refused: Iterable[NetlinkError], tolerate: Iterable[int]) -> None:
        self.problems += [f"{space.name}: {item}" for item in refused if item.code not in tolerate]

    def close(self) -> None:
        """Close the sockets and forget the problems: the next piece of work starts afresh."""
        for space in self._open.values():
            space.netlink.close()
        self._open = {}
        self.new = None
        self.problems = []
