"""What the objects of a namespace share: a file for each type says both directions."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from netlab.kernel.netlink import Netlink, Request
from netlab.kernel.pyroute import netlink as nl
from netlab.plan.routing import is_ipv6

Indexes = Mapping[str, int]
Devices = Mapping[int, str]  # names by index
NEW = nl.NLM_F_CREATE | nl.NLM_F_EXCL
PUT = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
APPEND = nl.NLM_F_CREATE | nl.NLM_F_APPEND


class ObjectType:
    """A type of objects: `type` is the plan's, `field` its list in a namespace."""

    type: ClassVar[Any]
    field: ClassVar[str]
    rank: ClassVar[int]  # types of a lower one come first, as what others build on

    def made_by_kernel(self, item: Any) -> bool:
        """Whether a new namespace has the object already, or gets it along with another."""
        return False

    def devices(self, item: Any) -> Iterable[str]:
        """The devices without which the object cannot be."""
        return (item.link,)

    def add(self, item: Any, indexes: Indexes) -> Request:
        raise NotImplementedError

    def remove(self, item: Any, indexes: Indexes) -> Request:
        raise NotImplementedError

    def change(self, want: Any, have: Any, indexes: Indexes) -> Iterator[Request]:
        """Make an object into another with the same key."""
        yield self.remove(have, indexes)
        yield self.add(want, indexes)

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Any]:
        """The objects of a namespace, of both families."""
        raise NotImplementedError


def family(address: str) -> int:
    return socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
