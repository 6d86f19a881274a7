"""What a lab's folder holds, as JSON and back, straight into the types it is made of. Pure.

A lab is known by its `Design`; the kernel holds the rest. Nothing here knows a path or a process.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from netlab.plan.machines import Spread
from netlab.plan.types import Plan, Reference
from netlab.topology.resolved import Ip, Layout, Network

if TYPE_CHECKING:
    from netlab.plan.dataplane import Dataplane
    from netlab.plan.proxy import Proxy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Design:
    """What a lab is to be, all of it decided before the kernel is touched."""

    layout: Layout
    dataplane: Dataplane
    plan: Plan
    proxy: Proxy | None = None

    @property
    def topology(self) -> str:
        """The name of the topology that it was made from."""
        return self.plan.topology


class Share(msgspec.Struct, frozen=True):
    """What one machine of a lab knows of the rest: its own name, where all is, and all of the plan.

    The plan beside it, in the lab's design, is the machine's part.
    """

    machine: str
    spread: Spread
    whole: Plan


class LayoutFile(msgspec.Struct):
    """A layout with its dataplane and its proxy, if it has one."""

    layout: Layout
    dataplane: Reference
    proxy: Reference | None = None


def encode(value: Any) -> bytes:
    """A value as one JSON document; addresses and networks become text."""
    return msgspec.json.encode(value, enc_hook=str)


def decode(document: bytes, kind: type[T]) -> T:
    """The inverse of `encode`, strictly: raises ValueError for anything that is not a `kind`."""
    return msgspec.json.decode(document, type=kind, dec_hook=_parse)


def as_stored(value: Reference) -> Reference:
    """Plain values as they come back from a file: JSON has no tuples."""
    return decode(encode(value), Reference)


def _parse(_kind: type[Any], text: str) -> Ip | Network:
    return ip_network(text) if "/" in text else ip_address(text)
