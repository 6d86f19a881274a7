"""Packet headers as plain values, composed by `/` from the outside in, as scapy composes layers.

One value serves the MTU (`size`), the evidence on the wire (compared layer by layer with what was
captured), and the report. A field that is None matches anything.
"""

from __future__ import annotations

from typing import ClassVar

from netlab.plan.links import Value


class Header(Value, frozen=True):
    """One header; `size` is its length in bytes without options."""

    name: ClassVar[str] = ""
    size: ClassVar[int] = 0

    def __truediv__(self, inner: Header | Stack) -> Stack:
        return Stack((self,)) / inner


class Ether(Header, frozen=True):
    name: ClassVar[str] = "Ethernet"
    size: ClassVar[int] = 14
    source: str | None = None
    destination: str | None = None


class Ip(Header, frozen=True):
    """An IPv4 header; `ttl` as it passed where it was seen."""

    name: ClassVar[str] = "IP"
    size: ClassVar[int] = 20
    source: str | None = None
    destination: str | None = None
    ttl: int | None = None


class Ip6(Header, frozen=True):
    """An IPv6 header; `ttl` is its hop limit."""

    name: ClassVar[str] = "IPv6"
    size: ClassVar[int] = 40
    source: str | None = None
    destination: str | None = None
    ttl: int | None = None


class Udp(Header, frozen=True):
    """`port` is the destination port."""

    name: ClassVar[str] = "UDP"
    size: ClassVar[int] = 8
    port: int | None = None


class Vxlan(Header, frozen=True):
    name: ClassVar[str] = "VXLAN"
    size: ClassVar[int] = 8
    vni: int | None = None


class Stack(Value, frozen=True):
    """Headers from the outside in. The empty stack is a packet that crosses as it is."""

    headers: tuple[Header, ...] = ()

    def __truediv__(self, inner: Header | Stack) -> Stack:
        more = inner.headers if isinstance(inner, Stack) else (inner,)
        return Stack(self.headers + more)

    def __bool__(self) -> bool:
        return bool(self.headers)

    @property
    def size(self) -> int:
        """Bytes that these headers take: what a tunnel's MTU is smaller by."""
        return sum(header.size for header in self.headers)


BARE = Stack()


def ip(source: str | None = None, destination: str | None = None, ttl: int | None = None) -> Header:
    """An IP header of the family of its addresses."""
    kind = Ip6 if ":" in (source or destination or "") else Ip
    return kind(source, destination, ttl)
