"""A namespace that is being worked on: its netlink socket, and indexes of its devices by name."""

from __future__ import annotations

import socket

from netlab.kernel import messages as m
from netlab.kernel import namespaces, observe
from netlab.kernel.netlink import Netlink

FIRST_INDEX = 16  # above the fallback tunnel devices that some kernels put into every namespace


class Space:
    """Made with the socket of a namespace that is new, or without, to learn what is there."""

    def __init__(self, name: str, sock: socket.socket | None = None) -> None:
        self.name = name
        fresh = sock is not None
        self.netlink = Netlink(sock or namespaces.open_socket(name, socket.AF_NETLINK, 3))
        self.indexes: dict[str, int] = {"lo": m.LOOPBACK}
        self._next = FIRST_INDEX
        if not fresh:
            known = observe.links(self.netlink)
            self.indexes |= {item.link.name: index for index, item in known.items()}
            self._next = max([FIRST_INDEX - 1, *known]) + 1

    def new_index(self, device: str) -> int:
        """An index for a new device, chosen here so that requests can refer to it at once."""
        index = self.indexes[device] = self._next
        self._next += 1
        return index
