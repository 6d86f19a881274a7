"""Generic netlink: families of messages that modules bring, by their names."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

from netlab.kernel.netlink import Netlink, Request, open_netlink, request
from netlab.kernel.pyroute import ctrlmsg
from netlab.kernel.pyroute import netlink as nl
from netlab.kernel.readers import Reader

_read = Reader(ctrlmsg, {"CTRL_ATTR_FAMILY_ID"})


@contextlib.contextmanager
def opened(name: str) -> Iterator[tuple[Netlink, int]]:
    """A socket of the current namespace, and a family's number there; the module is loaded.

    Raises OSError where the kernel has no such family.
    """
    with contextlib.closing(open_netlink(nl.NETLINK_GENERIC)) as netlink:
        named = (("CTRL_ATTR_FAMILY_NAME", name),)
        fields = {"cmd": nl.CTRL_CMD_GETFAMILY, "version": 1}
        answer = netlink.ask(request(ctrlmsg, nl.GENL_ID_CTRL, 0, fields, named))
        yield netlink, int(_read(answer)[1]["CTRL_ATTR_FAMILY_ID"])


def encoded(message: Any, kind: int, subject: object = "") -> Request:
    """A request as pyroute2 itself encodes it, for what is done a few times only."""
    message.encode()
    return Request(kind, 0, bytes(message.data[16:]), subject)


def decoded(message: type[Any], body: bytes) -> Any:
    """A message of a dump as pyroute2 itself decodes it."""
    answer = message(struct.pack("=IHHII", 16 + len(body), 0, 0, 0, 0) + body)
    answer.decode()
    return answer
